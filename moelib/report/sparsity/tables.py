"""Where sparsity pays, as frames: speed-ups beside their ideal, crossovers, accuracy for time."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from moelib.records.benchmarks import BenchmarkNumbers, Case, ScaleNumbers, ScalePoint
from moelib.records.record import Record
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.frames import Trained, test_correct
from moelib.report.statistics.intervals import median_interval
from moelib.report.timing import pairs, quartiles, ratio, with_ends
from moelib.study.executors import choose
from moelib.study.heads import family

BYTES = {"float32": 4, "bfloat16": 2}
SIZE = ["experts", "features", "hidden", "batch", "dtype"]  # one dense head serves all k of a size
RESAMPLES = 1000  # of test images and rounds


def scale(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """One row per point: how many times faster than dense, beside the ideal E/k.

    By the executor that the rule chooses now; where it is not timed there is no row. `speedup` is
    the median over rounds of the time of the dense head of equal total parameters by that of the
    sparse one, `overhead` the time of the sparse head by that of the dense head of equal active
    parameters; each with quartiles, and `surely` is the low end of the interval of the median
    speed-up. Equal parameters are those of the experts: the gate is timed on top. `regret` is the
    median time of that executor by the lowest of all executors, without the time of choosing.
    `arithmetic` is the speed-up in multiply-accumulates, which unlike E/k counts the gate. `macs`
    are those that the plan needs, and `intensity` is operations per byte of weights, features and
    logits, each moved once.
    """
    rows = []
    for point, chosen in by_rule(record):
        if chosen not in point.sparse:
            continue
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
    size = record.numbers.aim.model_dump(include={"experts", "k", "features", "hidden"})
    table = scale(record)
    here = table[(table[[*size]] == pd.Series(size)).all(axis=1)]
    return here.sort_values(["dtype", "batch"], ascending=[False, True])


def aims(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """The rows of `scale` for which an aim was set beforehand, and whether it was met."""
    aim, table = record.numbers.aim, aim_curve(record)
    return table[table["batch"] == aim.batch].assign(
        met=lambda t: (t["speedup"] >= aim.speedup) & (t["overhead"] <= aim.overhead)
    )


def by_rule(record: Record[ScaleNumbers]) -> list[tuple[ScalePoint, str]]:
    """All points, each with the executor that the rule chooses now, which may not be timed there.

    The benchmark leaves `batched` out of the largest sizes, and the rule may choose it there: for
    k = E, and for k = E / 2 where experts are small.
    """
    on_cpu = record.provenance.device == record.provenance.cpu
    return [
        (
            point,
            choose(
                point.batch,
                point.k,
                **point.model_dump(include={"experts", "features", "hidden"}),
                has_grouped="grouped" in point.sparse,
                on_cpu=on_cpu,
            ),
        )
        for point in record.numbers.points
    ]


def _demand(setting: dict, classes: int) -> tuple[float, float]:
    """Multiply-accumulates and bytes that a plan with equal shares cannot do without."""
    n, d, h, k, experts = (setting[x] for x in ("batch", "features", "hidden", "k", "experts"))
    macs = n * (d * experts + k * (d * h + h * classes + classes))
    weights = d * experts + min(experts, n * k) * (d * h + h * classes)
    return macs, BYTES[setting["dtype"]] * (weights + n * (d + classes))


# -- accuracy for latency --------------------------------------------------------------------------


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
    accuracy = accuracy_tables.means(trained).set_index("head").rename(columns={"mean": "accuracy"})
    accuracy = accuracy[["accuracy", "low", "high", "seeds"]]
    cases = [case for case in benchmark.cases if case.setting["head"] in accuracy.index]
    table = pd.DataFrame(
        {
            **case.setting,
            "family": family(case.setting["head"]),
            **accuracy.loc[case.setting["head"]],
            **_times(case),
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
    draws = generator.multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    for _, points in table.groupby(["part", "batch"]):
        table.loc[points.index, "efficient"] = pareto_front(points["ratio"], points["accuracy"])
        values = draws @ np.array([right[head] for head in points["head"]]).T  # (draw, head)
        values = values / points["seeds"].to_numpy()
        ratios = np.array(
            [pairs(cases[i].candidate, cases[i].baseline) for i in points.index]
        )  # (head, round)
        rounds = generator.integers(ratios.shape[1], size=(RESAMPLES, ratios.shape[1]))
        medians = np.median(ratios[:, rounds], axis=2).T  # (draw, head)
        fronts = [pareto_front(*pair) for pair in zip(medians, values, strict=True)]
        table.loc[points.index, "stays"] = np.mean(fronts, axis=0)
    return table.astype({"efficient": bool})


def _times(case: Case) -> dict[str, float]:
    """Of a head in rounds with the reference: the median ratio, the time it means, their ends."""
    interval = np.array(median_interval(pairs(case.candidate, case.baseline)))
    milliseconds = np.median(case.baseline) * interval
    return {**with_ends("ratio", *interval), **with_ends("ms", *milliseconds)}


def pareto_front(cost: Iterable[float], value: Iterable[float]) -> np.ndarray:
    """Which points (n,) of bool lie on the Pareto front: nothing is cheaper without being worse.

    A point is dominated by another that costs no more and is worth no less, and differs in one.
    """
    cost, value = np.asarray(cost, dtype=float), np.asarray(value, dtype=float)
    no_dearer = cost[:, None] <= cost  # (other, point)
    no_worse = value[:, None] >= value
    better = (cost[:, None] < cost) | (value[:, None] > value)
    return ~(no_dearer & no_worse & better).any(axis=0)
