"""A linear model of latency, fitted to sparse and dense heads of many sizes."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from moelib.records.benchmarks import ScaleNumbers, ScalePoint
from moelib.records.record import Record
from moelib.report.sparsity.tables import BYTES, by_rule

TERMS = {
    "call": "fixed, of a dense head",
    "routing": "fixed, of routing",
    "experts": "per expert that is visited on its own",
    "gigamacs": "per 10^9 multiply-accumulates",
    "gigabytes": "per GB of weights",
    "gigavalues": "per 10^9 features, hidden units and logits that are written or gathered",
}


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
    points = [
        (point, chosen)
        for point, chosen in by_rule(record)
        if chosen in point.sparse and point.dtype == "float32"
    ]
    rows = {}
    for point, chosen in points:
        times = point.sparse[chosen]
        rows[_sparse_key(point)] = {**_sparse_terms(point, chosen), "ms": np.median(times)}
        for times, experts in ((point.total, point.experts), (point.active, point.k)):
            size = experts * point.hidden
            terms = _terms(point, size, gates=0, executed=1, visited=1, alone=False)
            rows.setdefault(_dense_key(point, experts), {**terms, "ms": np.median(times)})
    index = pd.MultiIndex.from_tuples(rows, names=["head", "features", "hidden", "batch", "E", "k"])
    table = pd.DataFrame(list(rows.values()), index=index)
    x, weights = table[list(TERMS)], {"sample_weight": table["ms"] ** -2}  # of relative errors
    model = LinearRegression(fit_intercept=False, positive=True)
    batches = index.get_level_values("batch")
    table["predicted"] = cross_val_predict(
        *(model, x, table["ms"]), groups=batches, cv=LeaveOneGroupOut(), params=weights
    )
    coefficients = pd.Series(model.fit(x, table["ms"], **weights).coef_, index=list(TERMS))
    error = (table["predicted"] / table["ms"] - 1).abs().groupby("head")
    errors = error.quantile([0.5, 0.9]).unstack().set_axis(["median", "nine_in_ten"], axis=1)
    wins, foreseen = [], []
    for point, _ in points:
        if point.k < point.experts:
            sparse = table.loc[_sparse_key(point)]
            dense = table.loc[_dense_key(point, point.experts)]
            # Of its own rounds: the same dense head may have been timed in others too.
            wins.append(sparse["ms"] < np.median(point.total))
            foreseen.append(sparse["predicted"] < dense["predicted"])
    won, right = np.mean(wins), np.mean(np.equal(wins, foreseen))
    return CostModel(coefficients, table.reset_index(), errors, right, max(won, 1 - won))


def _sparse_terms(point: ScalePoint, chosen: str) -> dict[str, float]:
    experts, alone = point.experts, chosen != "batched"  # only the chosen experts, one by one
    executed = point.k if alone else experts
    visited = min(experts, point.batch * point.k) if alone else experts
    return _terms(point, point.hidden, experts, executed, visited, alone)


def _terms(
    point: ScalePoint, hidden: int, gates: int, executed: int, visited: int, alone: bool
) -> dict[str, float]:
    """`TERMS` of a head of so many gates, experts for each image, and experts in all."""
    n, d = point.batch, point.features
    return {
        "call": 1,
        "routing": int(gates > 0),
        "experts": visited if alone else 0,
        "gigamacs": n * (d * gates + executed * d * hidden) / 1e9,
        "gigabytes": BYTES[point.dtype] * visited * d * hidden / 1e9,
        "gigavalues": n * (executed * (hidden + d * alone) + gates) / 1e9,
    }


def _sparse_key(point: ScalePoint) -> tuple:
    return ("sparse", point.features, point.hidden, point.batch, point.experts, point.k)


def _dense_key(point: ScalePoint, experts: int) -> tuple:
    """Of a dense head as large as so many experts, whatever it was timed beside."""
    return ("dense", point.features, experts * point.hidden, point.batch, 1, 1)
