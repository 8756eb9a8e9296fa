"""What inference costs, as frames: latencies, memory, sparsity against its ideal, the best trades.

A record is of one device, and its times are compared with times of the same record alone.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from sklearn.model_selection import LeaveOneGroupOut

from moelib.records.kinds import (
    BenchmarkNumbers,
    Case,
    EfficiencyNumbers,
    ScaleNumbers,
    ScalePoint,
)
from moelib.records.record import Record
from moelib.report import comparisons
from moelib.report.frames import Trained, run_columns, test_correct
from moelib.report.statistics import median_interval
from moelib.study.executors import choose
from moelib.study.heads import family

Efficient = Iterable[Record[EfficiencyNumbers]]
BYTES = {"float32": 4, "bfloat16": 2}
PAPER_BATCH = 256  # images, for which the paper's latencies were taken
RESAMPLES = 1000  # of test images and rounds
SIZE = ["experts", "features", "hidden", "batch", "dtype"]  # one dense head serves all k of a size
AT = ("experts", "k", "features", "hidden", "batch")  # where an aim was set


# -- inference as it is ---------------------------------------------------------------------------


def work(records: Efficient) -> pd.DataFrame:
    """One row per run: parameters, multiply-accumulates, and the head's share of them.

    `ceiling`: how many times faster the whole model would be if its head took no work at all. It
    and the share are of the multiply-accumulates that are executed for a single image, which may be
    more than the plan needs.
    """
    rows = []
    for record in records:
        found = record.numbers.work
        total = found.executed_macs + found.backbone_macs
        rows.append(
            {
                **run_columns(record),
                **found.model_dump(),
                "head_share": found.executed_macs / total,
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


def headless(latencies: pd.DataFrame) -> pd.DataFrame:
    """The eager rows of the backbone alone: what a model would gain in time by a head that is free.

    `gain` is the median over pairs of the time of the whole model with the reference head by that
    of its backbone, with its quartiles.
    """
    table = latencies[(latencies["what"] == "backbone") & ~latencies["compiled"]]
    gains = [_quartiles("gain", 1 / np.array(ratios)) for ratios in table["ratios"]]
    return table.assign(**pd.DataFrame(gains, index=table.index))


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

    By the executor that the rule chooses now; points of `untimed` have no row. `speedup` is the
    median over rounds of the time of the dense head of equal total parameters by that of the sparse
    one, `overhead` the time of the sparse head by that of the dense head of equal active
    parameters; each with quartiles, and `surely` is the low end of the interval of the median
    speed-up. Equal parameters are those of the experts: the gate is timed on top. `regret` is the
    median time of that executor by the lowest of all executors, without the time of choosing.
    `arithmetic` is the speed-up in multiply-accumulates, which unlike E/k counts the gate. `macs`
    are those that the plan needs, and `intensity` is operations per byte of weights, features and
    logits, each moved once.
    """
    rows = []
    for point, chosen in _timed(record):
        of = point.model_dump(exclude={"sparse", "total", "active"}) | {"chosen": chosen}
        macs, moved = _demand(of, record.numbers.classes)
        dense = (
            point.batch * point.experts * point.hidden * (point.features + record.numbers.classes)
        )
        sparse = point.sparse[chosen]
        fastest = min(np.median(times) for times in point.sparse.values())
        rows.append(
            {
                **of,
                "share": point.k / point.experts,
                "ideal": point.experts / point.k,
                "arithmetic": dense / macs,
                **_quartiles("sparse_ms", sparse),
                "total_ms": np.median(point.total),
                "active_ms": np.median(point.active),
                **_ratio("speedup", point.total, sparse),
                "surely": median_interval(_pairs(point.total, sparse)).low,
                **_ratio("overhead", sparse, point.active),
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


def aimed(record: Record[ScaleNumbers]) -> pd.DataFrame:
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
    points = [(point, chosen) for point, chosen in _timed(record) if point.dtype == "float32"]
    rows = {}
    for point, chosen in points:
        size = (point.features, point.hidden, point.batch)
        key = ("sparse", *size, point.experts, point.k)
        rows[key] = {**_sparse_terms(point, chosen), "ms": np.median(point.sparse[chosen])}
        for times, experts in ((point.total, point.experts), (point.active, point.k)):
            units = experts * point.hidden  # what a dense head is, whatever it was timed beside
            key = ("dense", point.features, units, point.batch, 1, 1)
            rows.setdefault(key, {**_dense_terms(point, units), "ms": np.median(times)})
    index = pd.MultiIndex.from_tuples(rows, names=["head", "features", "hidden", "batch", "E", "k"])
    table = pd.DataFrame(list(rows.values()), index=index)
    folds = LeaveOneGroupOut().split(table, groups=index.get_level_values("batch"))
    predicted = pd.concat(
        table.iloc[test].assign(predicted=table.iloc[test][list(TERMS)] @ _fit(table.iloc[known]))
        for known, test in folds
    ).reindex(index)
    error = (predicted["predicted"] / predicted["ms"] - 1).abs()
    errors = error.groupby("head").quantile([0.5, 0.9]).unstack()
    wins, foreseen = [], []
    for point, _ in points:
        if point.k < point.experts:
            sparse = predicted.loc[
                ("sparse", point.features, point.hidden, point.batch, point.experts, point.k)
            ]
            units = point.experts * point.hidden
            dense = predicted.loc[("dense", point.features, units, point.batch, 1, 1)]
            # Of its own rounds: the same dense head may have been timed in others too.
            wins.append(sparse["ms"] < np.median(point.total))
            foreseen.append(sparse["predicted"] < dense["predicted"])
    won = np.mean(wins)
    right = np.mean(np.equal(wins, foreseen))
    errors.columns = ["median", "nine_in_ten"]
    return CostModel(_fit(table), predicted.reset_index(), errors, right, max(won, 1 - won))


def untimed(record: Record[ScaleNumbers]) -> list[ScalePoint]:
    """Points at which the executor that the rule chooses now was not timed.

    The benchmark leaves `batched` out of the largest sizes, and the rule may choose it there: for
    k = E, and for k = E / 2 where experts are small.
    """
    return [point for point, executor in _by_rule(record) if executor not in point.sparse]


def _timed(record: Record[ScaleNumbers]) -> list[tuple[ScalePoint, str]]:
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


def _demand(of: dict, classes: int) -> tuple[float, float]:
    """Multiply-accumulates and bytes that a plan with equal shares cannot do without."""
    n, d, h, k, experts = (of[x] for x in ("batch", "features", "hidden", "k", "experts"))
    macs = n * (d * experts + k * (d * h + h * classes + classes))
    weights = d * experts + min(experts, n * k) * (d * h + h * classes)
    return macs, BYTES[of["dtype"]] * (weights + n * (d + classes))


# -- accuracy for latency -------------------------------------------------------------------------


def tradeoff(trained: Trained, benchmark: BenchmarkNumbers) -> pd.DataFrame:
    """One row per head, part and batch of the benchmark: accuracy and time, and their intervals.

    `ratio` is the median over rounds of the head's time by that of the reference head, `ms` that
    times the reference's median; `_low` and `_high` are the interval of the median ratio, NaN with
    too few rounds. So what slows down some rounds moves no head against the others.

    `efficient`: no other head of the same part and batch is as accurate and as fast, and better in
    one. `stays` is the share of resamples in which that is so: test images are drawn with
    replacement, the same for all heads, and so are the benchmark's rounds. Other seeds are not
    drawn: `stays` says nothing of them.
    """
    trained = list(trained)
    accuracy = comparisons.accuracy(trained).set_index("head")
    cases = [case for case in benchmark.cases if case.setting["head"] in accuracy.index]
    table = pd.DataFrame(
        {
            **case.setting,
            "family": family(case.setting["head"]),
            "accuracy": accuracy.loc[case.setting["head"], "mean"],
            "low": accuracy.loc[case.setting["head"], "low"],
            "high": accuracy.loc[case.setting["head"], "high"],
            "seeds": accuracy.loc[case.setting["head"], "seeds"],
            **_relative(case),
        }
        for case in cases
    )
    if table.empty:
        return table
    right = {  # in how many seeds
        head: np.sum([test_correct(r) for r in trained if r.head == head], axis=0)  # (image,)
        for head in accuracy.index
    }
    generator = np.random.default_rng(0)
    images = len(next(iter(right.values())))
    # In whole numbers, whose sums are exact: a tie is one, and rounding does not break it.
    drawn = generator.multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    for _, points in table.groupby(["part", "batch"]):
        table.loc[points.index, "efficient"] = efficient(points["ratio"], points["accuracy"])
        values = drawn @ np.array([right[head] for head in points["head"]]).T  # (draw, head)
        values = values / points["seeds"].to_numpy()
        ratios = np.array([_times_reference(cases[i]) for i in points.index])  # (head, round)
        rounds = generator.integers(ratios.shape[1], size=(RESAMPLES, ratios.shape[1]))
        medians = np.median(ratios[:, rounds], axis=2).T  # (draw, head)
        fronts = [efficient(*pair) for pair in zip(medians, values, strict=True)]
        table.loc[points.index, "stays"] = np.mean(fronts, axis=0)
    return table.astype({"efficient": bool})


def _times_reference(case: Case) -> tuple[float, ...]:
    return _pairs(case.candidate, case.baseline)


def _relative(case: Case) -> dict[str, float]:
    found = median_interval(_times_reference(case))
    reference = {"ratio": 1.0, "ms": np.median(case.baseline)}
    return {
        f"{name}{end}": value * unit
        for name, unit in reference.items()
        for end, value in zip(("", "_low", "_high"), found, strict=True)
    }


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
    """One row per case of a benchmark: median times, and the quartiles of the paired ratios.

    What was set is in words in `case`, and in a column for each key. `met` says whether the median
    ratio reaches the aim, "" where there was none.
    """
    rows = []
    for case in numbers.cases:
        low, median, high = case.ratio_quartiles()
        aim = case.target_ratio
        rows.append(
            {
                **case.setting,
                "case": ", ".join(f"{key} {value}" for key, value in case.setting.items()),
                "baseline": np.median(case.baseline),
                "candidate": np.median(case.candidate),
                "repeats": len(case.baseline),
                "ratio": median,
                "low": low,
                "high": high,
                "target": aim,
                "met": "" if aim is None else "yes" if median >= aim else "no",
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
