"""What each chapter compares, as frames of one shape: an effect per study, panel and head.

Columns: study, panel, head, seeds, value, low, high, by_seed (a tuple) and paper. Ends are NaN with
one seed, whose spread is unknown; `paper` is NaN where the paper has no such number.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from moelib.records.record import Record
from moelib.report import comparisons, costs, frames, paper
from moelib.report.statistics import Interval, median_interval, t_interval

COLUMNS = ["study", "panel", "head", "seeds", "value", "low", "high", "by_seed", "paper"]
MANY = 8  # heads, above which a study compares sizes of heads, and has a figure of its own


def few_heads(records: Mapping[str, list[Record]]) -> dict[str, list[Record]]:
    """The studies with records that compare kinds of heads, and not many sizes of each."""
    return {
        study: found
        for study, found in records.items()
        if found and len({record.head for record in found}) <= MANY
    }


def accuracy(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Test accuracy minus that of the dense head, in points, paired by seed."""
    quoted = paper.beyond_dense(paper.TEST_ACCURACY)
    return _table(
        _row(study, study, head, 100 * runs["difference"], quoted)
        for study, found in records.items()
        for head, runs in _by_head(comparisons.seed_differences(found))
    )


def balance(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Coefficient of variation of gate mass over experts, on test images."""
    return _used(records, "gate_mass_variation", paper.GATE_MASS_VARIATION)


def information(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Mutual information of class and expert on test images, nats."""
    return _used(records, "information", paper.INFORMATION)


def sharpness(records: Mapping[str, list[Record]], measure: str) -> pd.DataFrame:
    """A measure of curvature, times that of the dense head, on training and on test images."""
    quoted = {"lambda_max": paper.EIGENVALUE, "trace": paper.TRACE}.get(measure, {})
    return _ratios({s: frames.curvature(found) for s, found in records.items()}, measure, quoted)


def surface(records: Mapping[str, list[Record]], kind: str) -> pd.DataFrame:
    """The rise of the loss at the farthest step along a kind of direction, times dense."""
    rises = {s: frames.rises(frames.sweeps(found)) for s, found in records.items()}
    quoted = {"train": paper.RISE} if kind == frames.EIGENVECTOR else {}
    return _ratios(rises, kind, quoted)


def latency(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Time of inference, times that of a dense head of as many hidden units, at one batch.

    The interval is of the median over pairs of calls in one process, and not over seeds.
    """
    rows = []
    for study, found in records.items():
        whole = costs.whole_models(found)
        times = costs.chosen(costs.latencies(found))
        times = times[times["batch"] == whole["batch"].max()]
        for part, name in (("head", "head alone"), ("model", "whole model")):
            for row in times[times["part"] == part].itertuples():
                panel = f"{study}, {name}, batch {row.batch}"
                middle = median_interval(row.ratios) if row.ratios else Interval(*(np.nan,) * 3)
                rows.append((study, panel, row.head, 1, *middle, (), np.nan))
    return _table(rows)


def _used(
    records: Mapping[str, list[Record]], measure: str, quoted: Mapping[str, float]
) -> pd.DataFrame:
    tables = {
        s: frames.usage_summary(found).query("split == 'test'") for s, found in records.items()
    }
    return _table(
        _row(study, study, head, runs[measure], quoted)
        for study, table in tables.items()
        for head, runs in table.groupby("head", sort=False)
    )


def _ratios(
    tables: Mapping[str, pd.DataFrame], measure: str, quoted: Mapping[str, dict]
) -> pd.DataFrame:
    rows = []
    for study, table in tables.items():
        for row in comparisons.ratios(table, measure).itertuples():
            said = paper.over_dense(quoted[row.split]) if row.split in quoted else {}
            ends = (row.ratio, row.low, row.high, row.by_seed, said.get(row.head, np.nan))
            rows.append((study, f"{study}, {row.split} images", row.head, row.seeds, *ends))
    return _table(rows)


def _by_head(table: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    return table.groupby("head", sort=False) if len(table) else ()


def _row(study: str, panel: str, head: str, values: Sequence[float], quoted: Mapping) -> tuple:
    values = tuple(values)
    middle = t_interval(values) if len(values) > 1 else Interval(values[0], np.nan, np.nan)
    return (study, panel, head, len(values), *middle, values, quoted.get(head, np.nan))


def _table(rows: Iterable[tuple]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)
