"""What inference costs, as frames: latencies, memory, sparsity against its ideal, the best trades.

A record is of one device, and its times are compared with times of the same record alone.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from moelib import comparisons
from moelib.frames import Trained, run_columns
from moelib.kinds import BenchmarkNumbers, EfficiencyNumbers, ScaleNumbers
from moelib.record import Record

Efficient = Iterable[Record[EfficiencyNumbers]]
BYTES = {"float32": 4, "bfloat16": 2}
PAPER_BATCH = 256  # images, for which the paper's latencies were taken
FOLDS = 5  # of the cost model's test: each size is predicted from the other four fifths of them
SIZE = ["experts", "features", "hidden", "batch", "dtype"]  # one dense head serves all k of a size


# -- inference as it is ---------------------------------------------------------------------------


def work(records: Efficient) -> pd.DataFrame:
    """One row per run: parameters, multiply-accumulates, and the head's share of them.

    `ceiling`: how many times faster the whole model would be if its head took no work at all.
    """
    rows = []
    for record in records:
        found = record.numbers.work
        total = found.head_macs + found.backbone_macs
        rows.append(
            {
                **run_columns(record),
                **found.model_dump(),
                "head_share": found.head_macs / total,
                "ceiling": total / found.backbone_macs,
            }
        )
    return pd.DataFrame(rows)


def latencies(records: Efficient) -> pd.DataFrame:
    """One row per run and timed way: median and quartiles of its ms, and times the reference's.

    `ratio` is the median over pairs of this way's time by that of the reference (of the same part,
    batch, and compilation), with its quartiles; NaN where the part has no reference.
    """
    rows = []
    for record in records:
        panels = {}
        for timed in record.numbers.timed:
            panels.setdefault((timed.part, timed.batch, timed.compiled), []).append(timed)
        for (part, batch, compiled), panel in panels.items():
            beside = [t.milliseconds for t in panel if t.what == "reference"]
            for timed in panel:
                rows.append(
                    {
                        **run_columns(record),
                        "part": part,
                        "what": timed.what,
                        "executor": timed.executor,
                        "routing": timed.routing,
                        "compiled": compiled,
                        "batch": batch,
                        **_quartiles("ms", timed.milliseconds),
                        "images_per_second": 1e3 * batch / np.median(timed.milliseconds),
                        **_ratio("ratio", timed.milliseconds, *beside),
                        "ratios": _pairs(timed.milliseconds, *beside),
                        "device": record.provenance.device,
                        "threads": record.provenance.threads,
                    }
                )
    return pd.DataFrame(rows)


def chosen(latencies: pd.DataFrame) -> pd.DataFrame:
    """The rows of the analysed heads: eager, by the executor of the rule, on learned routing."""
    table = latencies[(latencies["what"] == "this head") & ~latencies["compiled"]]
    by_rule = (table["executor"] == "auto") & (table["routing"] == "learned")
    return table[table["executor"].isna() | by_rule]


def whole_models(records: Efficient) -> pd.DataFrame:
    """The rows of `chosen` of the whole models, at the largest batch up to the paper's."""
    whole = chosen(latencies(records)).query("part == 'model'")
    batches = whole.loc[whole["batch"] <= PAPER_BATCH, "batch"]
    return whole[whole["batch"] == (batches.max() if len(batches) else whole["batch"].min())]


def footprints(records: Efficient) -> pd.DataFrame:
    """One row per run and batch: MiB of the weights, and of a forward pass beyond them."""
    return pd.DataFrame(
        {**run_columns(record), **footprint.model_dump()}
        for record in records
        for footprint in record.numbers.footprints
    )


# -- where sparsity pays --------------------------------------------------------------------------


def scale(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """One row per point: how many times faster than dense, beside the ideal E/k.

    `speedup` is the median over pairs of the time of the dense head of equal total parameters by
    that of the sparse one; `overhead` the time of the sparse head by that of the dense head of
    equal active parameters; each with quartiles. `macs` are those that the plan needs, and
    `intensity` is operations per byte of weights, features and logits, each moved once.
    """
    rows = []
    for point in record.numbers.points:
        of = point.model_dump(exclude={"sparse", "total", "active"})
        macs, moved = _demand(of, record.numbers.classes)
        rows.append(
            {
                **of,
                "share": point.k / point.experts,
                "ideal": point.experts / point.k,
                **_quartiles("sparse_ms", point.sparse),
                "total_ms": np.median(point.total),
                "active_ms": np.median(point.active),
                **_ratio("speedup", point.total, point.sparse),
                **_ratio("overhead", point.sparse, point.active),
                "macs": macs,
                "intensity": 2 * macs / moved,
                "gigaflops": 2 * macs / np.median(point.sparse) / 1e6,
            }
        )
    return pd.DataFrame(rows)


def crossovers(scale: pd.DataFrame) -> pd.DataFrame:
    """One row per size: the largest share k/E at which sparse beats dense, NaN where none does.

    Sparse beats dense where even the lower quartile of its speed-up is above 1.
    """
    rows = []
    for size, points in scale.groupby(SIZE, sort=False):
        faster = points[points["speedup_low"] > 1]
        best = points.loc[points["speedup"].idxmax()]
        rows.append(
            {
                **dict(zip(SIZE, size, strict=True)),
                "crossover": faster["share"].max() if len(faster) else np.nan,
                "best": best["speedup"],
                "best_k": best["k"],
                "of_ideal": best["speedup"] / best["ideal"],
            }
        )
    return pd.DataFrame(rows)


class CostModel(NamedTuple):
    """A linear model of latency, and how well it predicts sizes that it was not fitted to."""

    coefficients: pd.Series  # ms per unit of each term of `TERMS`, none negative
    predictions: pd.DataFrame  # the held-out points: measured and predicted ms
    median_error: float  # of |predicted / measured - 1| over held-out points
    error_90: float  # its 90 % quantile
    right_order: float  # share of held-out pairs sparse, dense that are put in the right order


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

    It is tested on sizes left out of the fit, a fifth of them at a time; all points of a size are
    left out together. The coefficients are of the fit to all points of float32.
    """
    points = [point for point in record.numbers.points if point.dtype == "float32"]
    rows = []
    for point in points:
        size = point.model_dump(include=set(SIZE))
        of = {"size": tuple(size.values()), "k": point.k, **size}
        rows.append({**of, "head": "sparse", **_terms(point), "ms": np.median(point.sparse)})
        for head, experts in (("total", point.experts), ("active", point.k)):
            terms = _dense_terms(point, experts * point.hidden)
            rows.append({**of, "head": head, **terms, "ms": np.median(getattr(point, head))})
    table = pd.DataFrame(rows)
    sizes = list(dict.fromkeys(table["size"]))
    order = np.random.default_rng(0).permutation(len(sizes))
    fold = table["size"].map({sizes[i]: rank % FOLDS for rank, i in enumerate(order)})
    held_out = []
    for left_out in range(FOLDS):
        test = table[fold == left_out]
        fitted = _fit(table[fold != left_out])
        held_out.append(test.assign(predicted=test[list(TERMS)] @ fitted))
    held_out = pd.concat(held_out).sort_index()
    error = (held_out["predicted"] / held_out["ms"] - 1).abs()
    wide = held_out.pivot_table(index=["size", "k"], columns="head", values=["ms", "predicted"])
    right = (wide["ms"]["sparse"] < wide["ms"]["total"]) == (
        wide["predicted"]["sparse"] < wide["predicted"]["total"]
    )
    return CostModel(
        _fit(table), held_out, float(error.median()), float(error.quantile(0.9)), right.mean()
    )


def _fit(table: pd.DataFrame) -> pd.Series:
    weighted = table[list(TERMS)].div(table["ms"], axis=0)
    coefficients, _ = nnls(weighted.to_numpy(), np.ones(len(table)))
    return pd.Series(coefficients, index=list(TERMS))


def _terms(point) -> dict[str, float]:
    n, d, h, k, experts = point.batch, point.features, point.hidden, point.k, point.experts
    alone = point.executor != "batched"  # only the chosen experts, one by one
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


def _dense_terms(point, hidden: int) -> dict[str, float]:
    n, d = point.batch, point.features
    return {
        "call": 1,
        "routing": 0,
        "experts": 0,
        "gigamacs": n * d * hidden / 1e9,
        "gigabytes": BYTES[point.dtype] * d * hidden / 1e9,
        "gigavalues": n * hidden / 1e9,
    }


def _demand(of: dict, classes: int) -> tuple[float, float]:
    """Multiply-accumulates and bytes that a plan with equal shares cannot do without."""
    n, d, h, k, experts = (of[x] for x in ("batch", "features", "hidden", "k", "experts"))
    macs = n * (d * experts + k * (d * h + h * classes))
    weights = d * experts + min(experts, n * k) * (d * h + h * classes)
    return macs, BYTES[of["dtype"]] * (weights + n * (d + classes))


# -- accuracy for latency -------------------------------------------------------------------------


def tradeoff(trained: Trained, benchmark: BenchmarkNumbers) -> pd.DataFrame:
    """One row per head, part and batch of the benchmark: accuracy and its interval, ms, quartiles.

    `efficient`: no other head of the same part and batch is both as accurate and as fast.
    """
    accuracy = comparisons.accuracy(trained).set_index("head")
    rows = []
    for case in benchmark.cases:
        if case.setting["head"] in accuracy.index:
            known = accuracy.loc[case.setting["head"]]
            rows.append(
                {
                    **case.setting,
                    "accuracy": known["mean"],
                    "low": known["low"],
                    "high": known["high"],
                    "seeds": known["seeds"],
                    **_quartiles("ms", case.candidate),
                    **_ratio("ratio", case.candidate, case.baseline),
                }
            )
    table = pd.DataFrame(rows)
    table["efficient"] = False
    for _, points in table.groupby(["part", "batch"]):
        table.loc[points.index, "efficient"] = efficient(points["ms"], points["accuracy"])
    return table


def efficient(cost: Iterable[float], value: Iterable[float]) -> np.ndarray:
    """Which points (n,) of bool lie on the Pareto front: nothing is cheaper without being worse.

    A point is dominated by another that costs no more and is worth no less, and differs in one.
    """
    cost, value = np.asarray(cost, dtype=float), np.asarray(value, dtype=float)
    no_dearer = cost[:, None] <= cost  # (other, point)
    no_worse = value[:, None] >= value
    better = (cost[:, None] < cost) | (value[:, None] > value)
    return ~(no_dearer & no_worse & better).any(axis=0)


# -- benchmarks -----------------------------------------------------------------------------------


def speed(numbers: BenchmarkNumbers) -> pd.DataFrame:
    """One row per case of a benchmark: median times, and the quartiles of the paired ratios."""
    rows = []
    for case in numbers.cases:
        low, median, high = case.ratio_quartiles()
        rows.append(
            {
                "case": ", ".join(f"{key} {value}" for key, value in case.setting.items()),
                "unit": numbers.unit,
                "baseline": np.median(case.baseline),
                "candidate": np.median(case.candidate),
                "repeats": len(case.baseline),
                "ratio": median,
                "low": low,
                "high": high,
                "target": case.target_ratio,
            }
        )
    return pd.DataFrame(rows)


# -- medians --------------------------------------------------------------------------------------


def _quartiles(name: str, values: Iterable[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return {name: median, f"{name}_low": low, f"{name}_high": high}


def _pairs(times: Iterable[float], reference: Iterable[float] | None = None) -> tuple[float, ...]:
    if reference is None:
        return ()
    return tuple(a / b for a, b in zip(times, reference, strict=True))


def _ratio(
    name: str, times: Iterable[float], reference: Iterable[float] | None = None
) -> dict[str, float]:
    pairs = _pairs(times, reference)
    if not pairs:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    return _quartiles(name, pairs)
