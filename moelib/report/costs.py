"""What inference costs, as frames: latencies, memory, the best trades of it for accuracy.

A record is of one device, and its times are compared with times of the same record alone.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.records.kinds import EfficiencyNumbers
from moelib.records.record import Record
from moelib.report import comparisons
from moelib.report.frames import Trained, run_columns, test_correct
from moelib.report.statistics import median_interval
from moelib.study.heads import family

Efficient = Iterable[Record[EfficiencyNumbers]]
PAPER_BATCH = 256  # images, for which the paper's latencies were taken
RESAMPLES = 1000  # of test images and rounds


# -- inference as it is ---------------------------------------------------------------------------


def work(records: Efficient) -> pd.DataFrame:
    """One row per run: parameters, multiply-accumulates, and the head's share of them.

    `ceiling`: how many times faster the whole model would be if its head took no work at all. It
    and the share are of the multiply-accumulates that are executed for a single image, which may be
    more than the plan needs.
    """
    rows = []
    for record in records:
        counts = record.numbers.work
        total = counts.executed_macs + counts.backbone_macs
        rows.append(
            {
                **run_columns(record),
                **counts.model_dump(),
                "head_share": counts.executed_macs / total,
                "ceiling": total / counts.backbone_macs,
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
        for (part, batch, compiled), timings in panels.items():
            reference = [t.milliseconds for t in timings if t.what == "reference"]
            for timed in timings:
                rows.append(
                    {
                        **run_columns(record),
                        "part": part,
                        "what": timed.what,
                        "executor": timed.executor,
                        "routing": timed.routing,
                        "compiled": compiled,
                        "batch": batch,
                        **quartiles("ms", timed.milliseconds),
                        "images_per_second": 1e3 * batch / np.median(timed.milliseconds),
                        **ratio("ratio", timed.milliseconds, *reference),
                        "ratios": pairs(timed.milliseconds, *reference),
                    }
                )
    return pd.DataFrame(rows)


def analysed_heads(latencies: pd.DataFrame) -> pd.DataFrame:
    """The rows of the analysed heads: eager, by the executor of the rule, on learned routing."""
    table = latencies[(latencies["what"] == "this head") & ~latencies["compiled"]]
    by_rule = (table["executor"] == "auto") & (table["routing"] == "learned")
    return table[table["executor"].isna() | by_rule]


def whole_models(records: Efficient) -> pd.DataFrame:
    """The rows of `analysed_heads` of the whole models, at the largest batch up to the paper's."""
    whole = analysed_heads(latencies(records)).query("part == 'model'")
    batches = whole.loc[whole["batch"] <= PAPER_BATCH, "batch"]
    return whole[whole["batch"] == (batches.max() if len(batches) else whole["batch"].min())]


def headless(latencies: pd.DataFrame) -> pd.DataFrame:
    """The eager rows of the backbone alone: what a model would gain in time by a head that is free.

    `gain` is the median over pairs of the time of the whole model with the reference head by that
    of its backbone, with its quartiles.
    """
    table = latencies[(latencies["what"] == "backbone") & ~latencies["compiled"]]
    gains = [quartiles("gain", 1 / np.array(ratios)) for ratios in table["ratios"]]
    return table.assign(**pd.DataFrame(gains, index=table.index))


def footprints(records: Efficient) -> pd.DataFrame:
    """One row per run and batch: MiB of the weights, and of a forward pass beyond them."""
    return pd.DataFrame(
        {**run_columns(record), **footprint.model_dump()}
        for record in records
        for footprint in record.numbers.footprints
    )


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
    accuracy = comparisons.accuracy(trained).set_index("head").rename(columns={"mean": "accuracy"})
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
    return {
        **dict(zip(("ratio", "ratio_low", "ratio_high"), interval, strict=True)),
        **dict(zip(("ms", "ms_low", "ms_high"), milliseconds, strict=True)),
    }


def pareto_front(cost: Iterable[float], value: Iterable[float]) -> np.ndarray:
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


def quartiles(name: str, values: Iterable[float]) -> dict[str, float]:
    """Columns of the median of values, and of their quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {name: median, f"{name}_low": low, f"{name}_high": high}


def pairs(times: Iterable[float], reference: Iterable[float] | None = None) -> tuple[float, ...]:
    """Times by those of the reference, each with its like; () without a reference."""
    if reference is None:
        return ()
    return tuple(a / b for a, b in zip(times, reference, strict=True))


def ratio(
    name: str, times: Iterable[float], reference: Iterable[float] | None = None
) -> dict[str, float]:
    """`quartiles` of the `pairs`; NaN without a reference."""
    ratios = pairs(times, reference)
    if not ratios:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    return quartiles(name, ratios)
