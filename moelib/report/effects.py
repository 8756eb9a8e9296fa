"""Effects of heads, as frames of one shape: one row per study, panel and head.

Columns: study, panel, head, seeds, value, low, high, by_seed (a tuple) and paper. Ends are NaN with
one seed, whose spread is unknown; `paper` is NaN where the paper has no such number.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from moelib.records.record import Record
from moelib.report import comparisons, paper
from moelib.report.loading import planned_heads
from moelib.report.statistics import hypotheses
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
        and (main := _main_heads(study, runs))
        and trains_backbone(main[0])
    }
    as_paper = [s for s, (run, *_) in few.items() if run.study.backbone.kind == paper.BACKBONE]
    names = list(dict.fromkeys([*[*few][:1], *as_paper, *few]))[:MOST_STUDIES]
    return {study: runs for study, runs in few.items() if study in names}


def trains_backbone(record: Record) -> bool:
    """Whether the features are trained with the head, and through its gate."""
    return record.study.backbone.kind != "random_features"


def _main_heads(study: str, runs: list[Record]) -> list[Record]:
    # Of what only some heads have, such as experts, the study may have fewer heads than it lists.
    heads = max(planned_heads(study), len({record.head for record in runs}))
    return [record for record in runs if record.head in MAIN] if heads > MANY else runs


def by_head(
    values: pd.DataFrame, measure: str, quoted: Mapping[str, float] | None = None, scale: float = 1
) -> pd.DataFrame:
    """Means over seeds of a measure of runs, with their t-intervals; a panel for each study.

    Args:
        values: one row per run, with columns study, head and the measure; or empty.
        measure: its name.
        quoted: the paper's numbers by head, if it has them.
        scale: what values are multiplied by: 100 for points.
    """
    if values.empty:
        return frame([])
    means = comparisons.mean_differences(
        values.assign(difference=scale * values[measure]), fewest=1
    )
    theirs = means["head"].map(quoted or {})
    return means.assign(panel=means["study"], value=means["difference"], paper=theirs)[COLUMNS]


def ratios(values: pd.DataFrame, measure: str, quoted: Mapping[str, dict]) -> pd.DataFrame:
    """A measure of runs, times that of the dense head: a panel for each split, as are `quoted`."""
    if values.empty:
        return frame([])
    table = comparisons.ratios(values, measure)
    theirs = {split: paper.over_dense(numbers) for split, numbers in quoted.items()}
    return table.assign(
        panel=table["study"] + ", " + table["split"] + " images",
        value=table["ratio"],
        paper=[theirs.get(row.split, {}).get(row.head, np.nan) for row in table.itertuples()],
    )[COLUMNS]


def beside_paper(effects: pd.DataFrame, records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """The effects with the paper's numbers only beside studies of its net."""
    own = [s for s, (run, *_) in records.items() if run.study.backbone.kind == paper.BACKBONE]
    return effects.assign(paper=effects["paper"].where(effects["study"].isin(own)))


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
    tests = [
        hypotheses.over_seeds(row.head, scale(row.by_seed) - scale(null), hypotheses.ABOVE, 0.0)
        for row in effects.itertuples()
    ]
    words = {hypotheses.SUPPORTED: "higher", hypotheses.CONTRADICTED: "lower"}
    decided = hypotheses.decisions([(test.p_for, test.p_against) for test in tests])
    return pd.Series([words.get(d.verdict, ALIKE) for d in decided], effects.index, dtype=object)


def row(study: str, panel: str, head: str, values: Sequence[float]) -> tuple:
    """The mean of values, one for each seed, with its t-interval, as a row of `COLUMNS`."""
    values = tuple(map(float, values))
    return (study, panel, head, len(values), *seed_interval(values), values, np.nan)


def frame(rows: Iterable[tuple]) -> pd.DataFrame:
    """Rows as a frame of effects."""
    return pd.DataFrame(list(rows), columns=COLUMNS)
