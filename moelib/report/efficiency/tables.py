"""What inference costs, as frames: work, latencies and memory of runs, benchmarks.

A record is of one device, and its times are compared with times of the same record alone.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from moelib.records.benchmarks import BenchmarkNumbers
from moelib.records.record import Record
from moelib.report.effects import COLUMNS
from moelib.report.frames import Efficient, run_columns
from moelib.report.statistics.intervals import median_interval
from moelib.report.timing import pairs, quartiles, ratio
from moelib.study.heads import has_experts

ALL_EXPERTS = "batched"  # the executor that computes all experts, whatever is chosen
PAPER_BATCH = 256  # images, for which the paper's latencies were taken
PARTS = {"head": "head alone", "model": "whole model"}  # that are timed beside the reference's


def work(records: Efficient) -> pd.DataFrame:
    """One row per run: parameters, multiply-accumulates, and the head's share of them.

    `ceiling`: how many times faster the whole model would be if its head took no work at all. It
    and the share are of the multiply-accumulates that are executed for a single image, which may be
    more than the plan needs.
    """
    table = pd.DataFrame(
        {**run_columns(record), **record.numbers.work.model_dump()} for record in records
    )
    total = table["executed_macs"] + table["backbone_macs"]
    return table.assign(
        head_share=table["executed_macs"] / total, ceiling=total / table["backbone_macs"]
    )


def latencies(records: Efficient) -> pd.DataFrame:
    """One row per run and timed way: median and quartiles of its ms, and times the reference's.

    `ratio` is the median over pairs of this way's time by that of the reference (of the same part,
    batch, and compilation), with its quartiles; NaN where the part has no reference.
    """
    rows = []
    for record in records:
        references = {
            (timed.part, timed.batch, timed.compiled): timed.milliseconds
            for timed in record.numbers.timed
            if timed.what == "reference"
        }
        for timed in record.numbers.timed:
            times = timed.milliseconds
            reference = references.get((timed.part, timed.batch, timed.compiled))
            rows.append(
                {
                    **run_columns(record),
                    **timed.model_dump(exclude={"milliseconds"}),
                    **quartiles("ms", times),
                    "images_per_second": 1e3 * timed.batch / np.median(times),
                    **ratio("ratio", times, reference),
                    "ratios": pairs(times, reference),
                }
            )
    return pd.DataFrame(rows)


def analysed_heads(latencies: pd.DataFrame) -> pd.DataFrame:
    """The rows of the analysed heads: eager, by the executor of the rule, on learned routing."""
    table = latencies[(latencies["what"] == "this head") & ~latencies["compiled"]]
    by_rule = (table["executor"] == "auto") & (table["routing"] == "learned")
    return table[table["executor"].isna() | by_rule]


def executors(records: Efficient) -> pd.DataFrame:
    """The rows of heads alone that leave experts out: one per batch and executor that is timed.

    Eager, on learned routing. `chosen` says whether the rule chooses that executor at that batch;
    `beside_all` are its times by those of the executor of all experts, round by round, and () where
    that one is not timed.
    """
    tables = []
    for record in records:
        head = record.study.heads[record.head]
        if has_experts(head) and head.chosen < head.experts:
            table = latencies([record]).query("part == 'head' and routing == 'learned'")
            table = table[~table["compiled"] & (table["executor"] != "auto")]
            of_all = table[table["executor"] == ALL_EXPERTS].set_index("batch")["ratios"]
            by_rule = table["batch"].astype(str).map(record.numbers.chosen)
            beside_all = [pairs(row.ratios, of_all.get(row.batch)) for row in table.itertuples()]
            tables.append(table.assign(chosen=by_rule == table["executor"], beside_all=beside_all))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def whole_models(records: Efficient) -> pd.DataFrame:
    """The rows of `analysed_heads` of the whole models, at the largest batch up to the paper's."""
    whole = analysed_heads(latencies(records)).query("part == 'model'")
    batches = whole.loc[whole["batch"] <= PAPER_BATCH, "batch"]
    return whole[whole["batch"] == (batches.max() if len(batches) else whole["batch"].min())]


def effects(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Time of inference, times that of a dense head of as many hidden units, at one batch.

    The interval is of the median over pairs of calls in one process, and not over seeds: of these
    there are 0. Beside the columns of effects: `part`, head or model, and `batch`.
    """
    rows = []
    for study, runs in records.items():
        batch = whole_models(runs)["batch"].max()
        times = analysed_heads(latencies(runs)).query("batch == @batch")
        for row in times.sort_values("part", kind="stable").itertuples():
            panel = f"{study}, {PARTS[row.part]}, batch {batch}"
            effect = (study, panel, row.head, 0, *median_interval(row.ratios), (), np.nan)
            rows.append((*effect, row.part, batch))
    return pd.DataFrame(rows, columns=[*COLUMNS, "part", "batch"])


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
                "case": ", ".join(_in_words(key, value) for key, value in case.setting.items()),
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


def _in_words(key: str, value: object) -> str:
    """What was set, without the key where the value says what it is."""
    return str(value) if key == "quantity" else f"{key.replace('_', ' ')} {value}"
