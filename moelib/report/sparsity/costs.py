"""A linear model of latency, fitted to sparse and dense heads of many sizes."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from moelib.records.benchmarks import ScaleNumbers
from moelib.records.record import Record
from moelib.report.sparsity.tables import scale

TERMS = {
    "call": "fixed, for a dense head",
    "routing": "fixed, for routing",
    "experts": "per expert visited on its own",
    "gigamacs": "per 10^9 multiply-accumulates",
    "gigabytes": "per GB of weights",
    "gigavalues": "per 10^9 features, hidden units and logits written or gathered",
}
HEAD = ["head", "features", "hidden", "batch", "experts", "k"]  # what tells heads apart


class CostModel(NamedTuple):
    """A linear model of latency, and how well it predicts heads unlike those it was fitted to."""

    coefficients: pd.Series  # ms per unit of each term of `TERMS`, none negative
    predictions: pd.DataFrame  # of every head while all of its batch were left out of the fit
    errors: pd.DataFrame  # of sparse and dense heads: median and 90 % quantile of |error|
    right: float  # share of sparse heads, k < E, rightly put before or behind dense (equal total)
    majority: float  # what the more frequent answer would reach


def fit(record: Record[ScaleNumbers]) -> CostModel:
    """Fit latency = sum_j b_j x_j with b_j >= 0 (`TERMS`), least squares of the relative error.

    Of all heads in float32, sparse ones by the executor of the rule, each different dense head
    once. It is tested on each batch by a fit to the others: heads of one batch share whatever makes
    them alike, and the smallest and the largest batch lie beyond all that their fit has seen. The
    coefficients are of the fit to all.
    """
    points = scale(record).query("dtype == 'float32'").reset_index(drop=True)
    sparse, total = _sparse(points), _dense(points, "experts", "total_ms")
    heads = pd.concat([sparse, total, _dense(points, "k", "active_ms")]).sort_index(kind="stable")
    table = heads.drop_duplicates(HEAD, ignore_index=True)
    x, ms = _terms(table), table["ms"]
    weights = {"sample_weight": ms**-2}  # of relative errors
    model = LinearRegression(fit_intercept=False, positive=True)
    held_out = {"groups": table["batch"], "cv": LeaveOneGroupOut(), "params": weights}
    table["predicted"] = cross_val_predict(model, x, ms, **held_out)
    coefficients = pd.Series(model.fit(x, ms, **weights).coef_, index=list(TERMS))
    error = (table["predicted"] / ms - 1).abs().groupby(table["head"])
    errors = error.quantile([0.5, 0.9]).unstack().set_axis(["median", "nine_in_ten"], axis=1)

    predicted = table.set_index(HEAD)["predicted"]
    sparse, total = (heads.join(predicted, on=HEAD)["predicted"] for heads in (sparse, total))
    selecting = points["k"] < points["experts"]
    # Of its own rounds: the same dense head may have been timed in others too.
    wins = (points["sparse_ms"] < points["total_ms"])[selecting]
    foreseen = (sparse < total)[selecting]
    majority = max(wins.mean(), 1 - wins.mean())
    return CostModel(coefficients, table, errors, (wins == foreseen).mean(), majority)


def _sparse(points: pd.DataFrame) -> pd.DataFrame:
    """The sparse heads of all points; not `batched`, they visit only the chosen experts."""
    alone, experts = points["chosen"] != "batched", points["experts"]
    reached = np.minimum(experts, points["batch"] * points["k"])
    return points.assign(
        head="sparse",
        ms=points["sparse_ms"],
        gates=experts,
        executed=points["k"].where(alone, experts),
        visited=reached.where(alone, experts),
        alone=alone,
    )


def _dense(points: pd.DataFrame, count: str, ms: str) -> pd.DataFrame:
    """The dense heads as large as so many experts of each point, timed beside it."""
    one = {"head": "dense", "experts": 1, "k": 1, "executed": 1, "visited": 1}
    hidden = points[count] * points["hidden"]
    return points.assign(**one, hidden=hidden, ms=points[ms], gates=0, alone=False)


def _terms(heads: pd.DataFrame) -> pd.DataFrame:
    """`TERMS` of heads, of which each image passes all gates and the executed experts."""
    n, d, h, gates = (heads[name] for name in ("batch", "features", "hidden", "gates"))
    executed, visited, alone = (heads[name] for name in ("executed", "visited", "alone"))
    return pd.DataFrame(
        {
            "call": 1,
            "routing": gates > 0,
            "experts": visited * alone,
            "gigamacs": n * (d * gates + executed * d * h) / 1e9,
            "gigabytes": 4 * visited * d * h / 1e9,  # float32
            "gigavalues": n * (executed * (h + d * alone) + gates) / 1e9,
        }
    )
