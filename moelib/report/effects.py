"""Effects of heads, as frames of one shape: one row per study, panel and head.

Columns: study, panel, head, seeds, value, low, high, by_seed (a tuple) and paper. Ends are NaN with
one seed, whose spread is unknown; `paper` is NaN where the paper has no such number.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from moelib.records.record import Record
from moelib.report import comparisons, paper
from moelib.report.statistics.hypotheses import (
    ABOVE,
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    decisions,
    over_seeds,
)
from moelib.report.statistics.intervals import ALIKE, Interval, seed_interval, verdict

COLUMNS = ["study", "panel", "head", "seeds", "value", "low", "high", "by_seed", "paper"]
MANY = 8  # heads, above which a study compares variants of them too
MAIN = ("dense", "soft", "sparse", "switch", "frozen")
MOST_STUDIES = 4  # studies in one figure
SWITCHED = "protocol-"  # names of studies that differ from another one in a key of the protocol


def few_heads(records: Mapping[str, list[Record]]) -> dict[str, list[Record]]:
    """The studies that compare kinds of heads on trained backbones: some at most.

    Of a study of many heads those remain that are called what they are. Of more than `MOST_STUDIES`
    those with the paper's backbone come first, then the order of `records`; the tables hold all.
    """
    few = {
        study: main
        for study, runs in records.items()
        if not study.startswith(SWITCHED)
        and (main := _main_heads(runs))
        and _backbone(main) != "random_features"
    }
    as_paper = [study for study, runs in few.items() if _backbone(runs) == paper.BACKBONE]
    names = list(dict.fromkeys([*[*few][:1], *as_paper, *few]))[:MOST_STUDIES]
    return {study: runs for study, runs in few.items() if study in names}


def _main_heads(runs: list[Record]) -> list[Record]:
    many = len({head for record in runs for head in record.study.heads}) > MANY
    return [record for record in runs if record.head in MAIN] if many else runs


def _backbone(runs: list[Record]) -> str:
    return runs[0].study.backbone.kind


def by_head(
    tables: Mapping[str, pd.DataFrame],
    measure: str,
    quoted: Mapping[str, float] | None = None,
    scale: float = 1,
) -> pd.DataFrame:
    """Means over seeds of a measure of runs, with their t-intervals.

    Args:
        tables: by study, one row per run, with the measure as a column.
        measure: its name.
        quoted: the paper's numbers by head, if it has them.
        scale: what values are multiplied by: 100 for points.
    """
    return frame(
        row(study, study, head, scale * runs[measure], (quoted or {}).get(head, np.nan))
        for study, table in tables.items()
        if len(table)
        for head, runs in table.groupby("head", sort=False)
    )


def ratios(
    tables: Mapping[str, pd.DataFrame], measure: str, quoted: Mapping[str, dict]
) -> pd.DataFrame:
    """A measure of runs, times that of the dense head: a panel for each split, as are `quoted`."""
    rows = []
    for study, table in tables.items():
        for row in comparisons.ratios(table, measure).itertuples():
            references = paper.over_dense(quoted[row.split]) if row.split in quoted else {}
            ends = (row.ratio, row.low, row.high, row.by_seed, references.get(row.head, np.nan))
            rows.append((study, f"{study}, {row.split} images", row.head, row.seeds, *ends))
    return frame(rows)


def verdicts(effects: pd.DataFrame, null: float = 0) -> pd.Series:
    """Whether each value is told from that of no effect, and on which side of it it lies."""
    intervals = effects[["value", "low", "high"]].itertuples(index=False)
    words = [verdict(Interval(*interval), null) for interval in intervals]
    return pd.Series(words, effects.index, dtype=object)


def corrected_verdicts(effects: pd.DataFrame, null: float = 0, log: bool = False) -> pd.Series:
    """As `verdicts`, by t tests over seeds after Holm's correction for all rows (Holm 1979).

    Args:
        effects: of one study and panel, each of two seeds or more.
        null: the value of no effect.
        log: test logarithms, as of ratios.
    """
    scale = np.log if log else np.asarray
    kinds = [
        over_seeds(row.head, scale(row.by_seed) - scale(null), ABOVE, 0.0)
        for row in effects.itertuples()
    ]
    words = {SUPPORTED: "higher", CONTRADICTED: "lower", INCONCLUSIVE: ALIKE}
    decided = decisions([(part.p_for, part.p_against) for part in kinds])
    return pd.Series([words[d.verdict] for d in decided], effects.index, dtype=object)


def row(
    study: str, panel: str, head: str, values: Sequence[float], quoted: float = np.nan
) -> tuple:
    """The mean of values, one for each seed, with its t-interval, as a row of `COLUMNS`."""
    values = tuple(values)
    ends = (*seed_interval(values), values, quoted)
    return (study, panel, head, len(values), *ends)


def frame(rows: Iterable[tuple]) -> pd.DataFrame:
    """Rows as a frame of effects."""
    return pd.DataFrame(list(rows), columns=COLUMNS)
