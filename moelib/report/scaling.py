"""Where sparsity pays, as frames: speed-ups beside their ideal, crossovers, a cost model."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from sklearn.model_selection import LeaveOneGroupOut

from moelib.records.benchmarks import ScaleNumbers, ScalePoint
from moelib.records.record import Record
from moelib.report.costs import pairs, quartiles, ratio
from moelib.report.statistics import median_interval
from moelib.study.executors import choose

BYTES = {"float32": 4, "bfloat16": 2}
SIZE = ["experts", "features", "hidden", "batch", "dtype"]  # one dense head serves all k of a size
AT = ("experts", "k", "features", "hidden", "batch")  # where an aim was set


def scale(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """One row per point: how many times faster than dense, beside the ideal E/k.

    By the executor that the rule chooses now; `untimed_points` have no row. `speedup` is the median
    over rounds of the time of the dense head of equal total parameters by that of the sparse
    one, `overhead` the time of the sparse head by that of the dense head of equal active
    parameters; each with quartiles, and `surely` is the low end of the interval of the median
    speed-up. Equal parameters are those of the experts: the gate is timed on top. `regret` is the
    median time of that executor by the lowest of all executors, without the time of choosing.
    `arithmetic` is the speed-up in multiply-accumulates, which unlike E/k counts the gate. `macs`
    are those that the plan needs, and `intensity` is operations per byte of weights, features and
    logits, each moved once.
    """
    rows = []
    for point, chosen in _timed_points(record):
        setting = point.model_dump(exclude={"sparse", "total", "active"}) | {"chosen": chosen}
        macs, moved = _demand(setting, record.numbers.classes)
        dense = (
            point.batch * point.experts * point.hidden * (point.features + record.numbers.classes)
        )
        sparse = point.sparse[chosen]
        fastest = min(np.median(times) for times in point.sparse.values())
        rows.append(
            {
                **setting,
                "share": point.k / point.experts,
                "ideal": point.experts / point.k,
                "arithmetic": dense / macs,
                **quartiles("sparse_ms", sparse),
                "total_ms": np.median(point.total),
                "active_ms": np.median(point.active),
                **ratio("speedup", point.total, sparse),
                "surely": median_interval(pairs(point.total, sparse)).low,
                **ratio("overhead", sparse, point.active),
                "regret": np.median(sparse) / fastest,
                "macs": macs,
                "intensity": 2 * macs / moved,
                "gigaflops": 2 * macs / np.median(sparse) / 1e6,
            }
        )
    return pd.DataFrame(rows)


def crossovers(scale: pd.DataFrame) -> pd.DataFrame:
    """One row per size of which several k < E were timed: up to which share k/E sparse wins.

    Sparse wins where the interval of its median speed-up lies above 1. `crossover` is the largest
    share at which it and all smaller ones win, NaN where the smallest does not. `open`: that is the
    largest share of the table, so that the end of winning was not seen.
    """
    rows = []
    selecting = scale[scale["k"] < scale["experts"]]
    for size, points in selecting.groupby(SIZE, sort=False):
        if len(points) < 2:
            continue
        points = points.sort_values("share")
        winning = points[(points["surely"] > 1).cummin()]
        best = points.loc[points["speedup"].idxmax()]
        rows.append(
            {
                **dict(zip(SIZE, size, strict=True)),
                "crossover": winning["share"].max(),
                "open": len(winning) == len(points),
                "best": best["speedup"],
                "best_k": best["k"],
                "of_ideal": best["speedup"] / best["ideal"],
                "of_arithmetic": best["speedup"] / best["arithmetic"],
            }
        )
    return pd.DataFrame(rows)


def aim_curve(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """The rows of `scale` of the size of the aim at every batch, by precision and batch."""
    aim, table = record.numbers.aim, scale(record)
    size = [name for name in AT if name != "batch"]
    here = (table[size] == pd.Series({name: getattr(aim, name) for name in size})).all(axis=1)
    return table[here].sort_values(["dtype", "batch"], ascending=[False, True])


def aims(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """The rows of `scale` for which an aim was set beforehand, and whether it was met."""
    aim, table = record.numbers.aim, aim_curve(record)
    return table[table["batch"] == aim.batch].assign(
        met=lambda t: (t["speedup"] >= aim.speedup) & (t["overhead"] <= aim.overhead)
    )


class CostModel(NamedTuple):
    """A linear model of latency, and how well it predicts heads unlike those it was fitted to."""

    coefficients: pd.Series  # ms per unit of each term of `TERMS`, none negative
    predictions: pd.DataFrame  # of every head while all of its batch were left out of the fit
    errors: pd.DataFrame  # of sparse and dense heads: median and 90 % quantile of |error|
    right: float  # share of sparse heads, k < E, rightly put before or behind dense (equal total)
    majority: float  # what the more frequent answer would reach


TERMS = {
    "call": "fixed, of a dense head",
    "routing": "fixed, of routing",
    "experts": "per expert that is visited on its own",
    "gigamacs": "per 10^9 multiply-accumulates",
    "gigabytes": "per GB of weights",
    "gigavalues": "per 10^9 features, hidden units and logits that are written or gathered",
}


def cost_model(record: Record[ScaleNumbers]) -> CostModel:
    """Fit latency = sum_j b_j x_j with b_j >= 0 (`TERMS`), least squares of the relative error.

    Of all heads in float32, sparse ones by the executor of the rule, each different dense head
    once. It is tested on each batch by a fit to the others: heads of one batch share whatever makes
    them alike, and the smallest and the largest batch lie beyond all that their fit has seen. The
    coefficients are of the fit to all.
    """
    points = [
        (point, chosen) for point, chosen in _timed_points(record) if point.dtype == "float32"
    ]
    rows = {}
    for point, chosen in points:
        times = point.sparse[chosen]
        rows[_sparse_key(point)] = {**_sparse_terms(point, chosen), "ms": np.median(times)}
        for times, experts in ((point.total, point.experts), (point.active, point.k)):
            terms = _dense_terms(point, experts * point.hidden)
            rows.setdefault(_dense_key(point, experts), {**terms, "ms": np.median(times)})
    index = pd.MultiIndex.from_tuples(rows, names=["head", "features", "hidden", "batch", "E", "k"])
    table = pd.DataFrame(list(rows.values()), index=index)
    folds = LeaveOneGroupOut().split(table, groups=index.get_level_values("batch"))
    predicted = pd.concat(
        table.iloc[test].assign(predicted=table.iloc[test][list(TERMS)] @ _fit(table.iloc[train]))
        for train, test in folds
    ).reindex(index)
    error = (predicted["predicted"] / predicted["ms"] - 1).abs()
    errors = error.groupby("head").quantile([0.5, 0.9]).unstack()
    wins, foreseen = [], []
    for point, _ in points:
        if point.k < point.experts:
            sparse = predicted.loc[_sparse_key(point)]
            dense = predicted.loc[_dense_key(point, point.experts)]
            # Of its own rounds: the same dense head may have been timed in others too.
            wins.append(sparse["ms"] < np.median(point.total))
            foreseen.append(sparse["predicted"] < dense["predicted"])
    won = np.mean(wins)
    right = np.mean(np.equal(wins, foreseen))
    errors.columns = ["median", "nine_in_ten"]
    return CostModel(_fit(table), predicted.reset_index(), errors, right, max(won, 1 - won))


def _sparse_key(point: ScalePoint) -> tuple:
    return ("sparse", point.features, point.hidden, point.batch, point.experts, point.k)


def _dense_key(point: ScalePoint, experts: int) -> tuple:
    """Of a dense head as large as so many experts, whatever it was timed beside."""
    return ("dense", point.features, experts * point.hidden, point.batch, 1, 1)


def untimed_points(record: Record[ScaleNumbers]) -> list[ScalePoint]:
    """Points at which the executor that the rule chooses now was not timed.

    The benchmark leaves `batched` out of the largest sizes, and the rule may choose it there: for
    k = E, and for k = E / 2 where experts are small.
    """
    return [point for point, executor in _by_rule(record) if executor not in point.sparse]


def _timed_points(record: Record[ScaleNumbers]) -> list[tuple[ScalePoint, str]]:
    """The other points, each with that executor."""
    return [(point, executor) for point, executor in _by_rule(record) if executor in point.sparse]


def _by_rule(record: Record[ScaleNumbers]) -> list[tuple[ScalePoint, str]]:
    """All points, each with the executor that the rule chooses now."""
    on_cpu = record.provenance.device == record.provenance.cpu
    chosen = (
        choose(
            point.batch,
            point.k,
            **point.model_dump(include={"experts", "features", "hidden"}),
            has_grouped="grouped" in point.sparse,
            on_cpu=on_cpu,
        )
        for point in record.numbers.points
    )
    return list(zip(record.numbers.points, chosen, strict=True))


def _fit(table: pd.DataFrame) -> pd.Series:
    weighted = table[list(TERMS)].div(table["ms"], axis=0)
    coefficients, _ = nnls(weighted.to_numpy(), np.ones(len(table)))
    return pd.Series(coefficients, index=list(TERMS))


def _sparse_terms(point: ScalePoint, chosen: str) -> dict[str, float]:
    n, d, h, k, experts = point.batch, point.features, point.hidden, point.k, point.experts
    alone = chosen != "batched"  # only the chosen experts, one by one
    visited = min(experts, n * k) if alone else experts
    executed = k if alone else experts
    return {
        "call": 1,
        "routing": 1,
        "experts": visited if alone else 0,
        "gigamacs": n * (d * experts + executed * d * h) / 1e9,
        "gigabytes": BYTES[point.dtype] * visited * d * h / 1e9,
        "gigavalues": n * (executed * (h + d * alone) + experts) / 1e9,
    }


def _dense_terms(point: ScalePoint, hidden: int) -> dict[str, float]:
    n, d = point.batch, point.features
    return {
        "call": 1,
        "routing": 0,
        "experts": 0,
        "gigamacs": n * d * hidden / 1e9,
        "gigabytes": BYTES[point.dtype] * d * hidden / 1e9,
        "gigavalues": n * hidden / 1e9,
    }


def _demand(setting: dict, classes: int) -> tuple[float, float]:
    """Multiply-accumulates and bytes that a plan with equal shares cannot do without."""
    n, d, h, k, experts = (setting[x] for x in ("batch", "features", "hidden", "k", "experts"))
    macs = n * (d * experts + k * (d * h + h * classes + classes))
    weights = d * experts + min(experts, n * k) * (d * h + h * classes)
    return macs, BYTES[setting["dtype"]] * (weights + n * (d + classes))
