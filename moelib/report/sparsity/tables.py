"""Where sparsity pays, as frames: speed-ups beside their ideal, crossovers, accuracy for time."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from moelib.records.benchmarks import BenchmarkNumbers, Case, ScaleNumbers, ScalePoint
from moelib.records.record import Record
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.frames import Trained, test_correct
from moelib.report.statistics.intervals import median_interval
from moelib.report.timing import pairs, ratio, with_ends
from moelib.study.executors import choose
from moelib.study.heads import family

SIZE = ["features", "hidden", "batch", "experts"]  # one dense head serves all k of a size
RESAMPLES = 1000  # of test images and rounds


def scale(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """One row per point of `timed`: how many times faster than dense, beside the ideal E/k.

    `speedup` is the median over rounds of the time of the dense head of equal total parameters by
    that of the sparse one, `overhead` the time of the sparse head by that of the dense head of
    equal active parameters; each with quartiles, and `surely` is the low end of the interval of the
    median speed-up. Equal parameters are those of the experts: the gate is timed on top. `regret`
    is the median time by the lowest of all executors, without the time of choosing.
    """
    rows = []
    for point, chosen in timed(record):
        times = point.sparse[chosen]
        median = np.median(times)
        rows.append(
            {
                **point.model_dump(exclude={"sparse", "total", "active"}),
                "device": record.provenance.device,
                "chosen": chosen,
                "share": point.k / point.experts,
                "ideal": point.experts / point.k,
                "sparse_ms": median,
                "total_ms": np.median(point.total),
                "active_ms": np.median(point.active),
                **ratio("speedup", point.total, times),
                "surely": median_interval(pairs(point.total, times)).low,
                **ratio("overhead", times, point.active),
                "regret": median / min(map(np.median, point.sparse.values())),
            }
        )
    return pd.DataFrame(rows)


def timed(record: Record[ScaleNumbers]) -> list[tuple[ScalePoint, str]]:
    """The points of which the executor was timed that the rule chooses now, each with it.

    The benchmark leaves `batched` out of the largest sizes, and the rule may choose it there: for
    k = E, and for k = E / 2 where experts are small.
    """
    on_cpu = record.provenance.device == record.provenance.cpu
    chosen = [
        choose(
            point.batch,
            point.k,
            experts=point.experts,
            features=point.features,
            hidden=point.hidden,
            has_grouped="grouped" in point.sparse,
            on_cpu=on_cpu,
        )
        for point in record.numbers.points
    ]
    choices = zip(record.numbers.points, chosen, strict=True)
    return [(point, executor) for point, executor in choices if executor in point.sparse]


def crossovers(scale: pd.DataFrame) -> pd.DataFrame:
    """One row per size of which several k < E were timed: up to which share k/E sparse wins.

    Sparse wins where the interval of its median speed-up lies above 1. `crossover` is the largest
    share at which it and all smaller ones win, NaN where the smallest does not. `open`: that is the
    largest share of the table, so that the end of winning was not seen.
    """
    selecting = scale[scale["k"] < scale["experts"]].sort_values("share")
    selecting = selecting.assign(wins=selecting["surely"] > 1)
    selecting["wins"] = selecting.groupby(SIZE)["wins"].cummin()
    selecting["won"] = selecting["share"].where(selecting["wins"])
    sizes = selecting.groupby(SIZE)
    table = sizes.agg(crossover=("won", "max"), open=("wins", "all"))
    return table[sizes.size() > 1].reset_index()


def aim_curve(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """The rows of `scale` of the size of the aim at every batch, by precision and batch.

    `met`: whether the aim is, None at other batches than its own.
    """
    aim, table = record.numbers.aim, scale(record)
    size = aim.model_dump(include={"experts", "k", "features", "hidden"})
    table = table[(table[[*size]] == pd.Series(size)).all(axis=1)]
    met = (table["speedup"] >= aim.speedup) & (table["overhead"] <= aim.overhead)
    table = table.assign(met=met.astype(object).where(table["batch"] == aim.batch, None))
    return table.sort_values(["dtype", "batch"], ascending=[False, True])


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
