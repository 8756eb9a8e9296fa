"""What each chapter compares, as frames of one shape: an effect per study, panel and head.

Columns: study, panel, head, seeds, value, low, high, by_seed (a tuple) and paper. Ends are NaN with
one seed, whose spread is unknown; `paper` is NaN where the paper has no such number.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from moelib.records.record import Record
from moelib.report import comparisons, costs, frames, paper
from moelib.report.statistics import Interval, median_interval, seed_interval, verdict
from moelib.study.protocol import PROTOCOLS

COLUMNS = ["study", "panel", "head", "seeds", "value", "low", "high", "by_seed", "paper"]
MANY = 8  # heads, above which a study compares variants of them too
MAIN = ("dense", "soft", "sparse", "switch", "frozen")
MOST_STUDIES = 4  # studies in one figure
SWITCHED = "protocol-"  # names of studies that differ from another one in a key of the protocol
KEY_KINDS = {  # keys of the protocol that mean something to some kinds of heads alone
    "noise_at_evaluation": ("sparse",),
    "kl": ("soft",),
    "load": ("sparse",),
    "ties": ("sparse",),
    "top_1_weight": ("switch",),
}
PARTS = {  # what is added: (head with it, head without it)
    "soft-losses": ("soft", "soft-free"),
    "sparse-losses": ("sparse", "sparse-free"),
    "switch-losses": ("switch", "switch-free"),
    "soft-gate": ("soft", "uniform"),
    "sparse-gate": ("sparse", "frozen"),
    "dense-layer": ("dense", "linear"),
}


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
    as_paper = [study for study, runs in few.items() if _backbone(runs) == "resnet18"]
    names = list(dict.fromkeys([*[*few][:1], *as_paper, *few]))[:MOST_STUDIES]
    return {study: runs for study, runs in few.items() if study in names}


def _main_heads(runs: list[Record]) -> list[Record]:
    many = len({head for record in runs for head in record.study.heads}) > MANY
    return [record for record in runs if record.head in MAIN] if many else runs


def _backbone(runs: list[Record]) -> str:
    return runs[0].study.backbone.kind


def with_controls(records: Mapping[str, list[Record]]) -> dict[str, list[Record]]:
    """The studies with records that compare many variants, heads without a choice among them."""
    return {
        study: runs
        for study, runs in records.items()
        if {record.study.heads[record.head].kind for record in runs} & {"linear", "uniform"}
    }


def parts(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """What each part of a mixture adds to test accuracy, in points, paired by seed (`PARTS`)."""
    rows = []
    for study, runs in records.items():
        accuracies = frames.finals(runs).pivot(index="seed", columns="head", values="test_accuracy")
        for part, (complete, reduced) in PARTS.items():
            if {complete, reduced} <= set(accuracies):
                values = (100 * (accuracies[complete] - accuracies[reduced])).dropna()
                if len(values):
                    rows.append(_row(study, study, part, values, {}))
    return _table(rows)


def switches(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Test accuracy with one key of the protocol as the authors ran it, minus without; in points.

    Runs of one head and seed of two studies of the same data, backbone and training are compared
    if, for this head, their protocols differ in one key alone. The key is the panel.
    """
    runs = list(chain.from_iterable(records.values()))
    pairs: dict[tuple[str, str, str], dict[int, float]] = {}
    for ours in (run for run in runs if run.study.name.startswith(SWITCHED)):
        for theirs in runs:
            key = _only_key(ours, theirs)
            if key is not None:
                difference = ours.numbers.test.accuracy - theirs.numbers.test.accuracy
                # Several studies may hold the same run without the key: it counts once.
                by_seed = pairs.setdefault((ours.study.name, key, ours.head), {})
                by_seed.setdefault(ours.seed, 100 * difference)
    return _table(
        _row(study, key, head, [*by_seed.values()], {})
        for (study, key, head), by_seed in pairs.items()
    )


def _only_key(ours: Record, theirs: Record) -> str | None:
    """The one key of the protocol, not as corrected in `ours`, that parts two runs; else None."""
    same = ("data", "backbone", "training")
    alike = (ours.head, ours.seed) == (theirs.head, theirs.seed) and all(
        getattr(ours.study, name) == getattr(theirs.study, name) for name in same
    )
    if not alike or ours.study.heads[ours.head] != theirs.study.heads[theirs.head]:
        return None
    kind = ours.study.heads[ours.head].kind
    mine, other = ours.study.protocol.model_dump(), theirs.study.protocol.model_dump()
    keys = [
        key
        for key in mine
        if key != "base" and mine[key] != other[key] and kind in KEY_KINDS.get(key, (kind,))
    ]
    (key,) = keys if len(keys) == 1 else (None,)
    return key if key and mine[key] != PROTOCOLS["corrected"].model_dump()[key] else None


def accuracy(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Test accuracy minus that of the dense head, in points, paired by seed."""
    quoted = paper.beyond_dense(paper.TEST_ACCURACY)
    differences = {study: comparisons.seed_differences(runs) for study, runs in records.items()}
    return by_head(differences, "difference", quoted, scale=100)


def balance(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Coefficient of variation of gate mass over experts, on test images."""
    return _used(records, "gate_mass_variation", paper.GATE_MASS_VARIATION)


def information(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Mutual information of class and expert on test images, nats."""
    return _used(records, "information", paper.INFORMATION)


def sharpness(records: Mapping[str, list[Record]], measure: str = "lambda_max") -> pd.DataFrame:
    """A measure of curvature, times that of the dense head, on training and on test images."""
    quoted = {"lambda_max": paper.EIGENVALUE, "trace": paper.TRACE}.get(measure, {})
    return _ratios({s: frames.curvature(runs) for s, runs in records.items()}, measure, quoted)


def surface(records: Mapping[str, list[Record]], kind: str) -> pd.DataFrame:
    """The rise of the loss at the farthest step along a kind of direction, times dense."""
    rises = {s: frames.rises(frames.sweeps(runs)) for s, runs in records.items()}
    quoted = {"train": paper.RISE} if kind == frames.EIGENVECTOR else {}
    return _ratios(rises, kind, quoted)


def latency(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Time of inference, times that of a dense head of as many hidden units, at one batch.

    The interval is of the median over pairs of calls in one process, and not over seeds: of these
    there are 0.
    """
    rows = []
    for study, runs in records.items():
        whole = costs.whole_models(runs)
        times = costs.analysed_heads(costs.latencies(runs))
        times = times[times["batch"] == whole["batch"].max()]
        for part, name in (("head", "head alone"), ("model", "whole model")):
            for row in times[times["part"] == part].itertuples():
                panel = f"{study}, {name}, batch {row.batch}"
                middle = median_interval(row.ratios) if row.ratios else Interval(*(np.nan,) * 3)
                rows.append((study, panel, row.head, 0, *middle, (), np.nan))
    return _table(rows)


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
    return _table(
        _row(study, study, head, scale * runs[measure], quoted or {})
        for study, table in tables.items()
        if len(table)
        for head, runs in table.groupby("head", sort=False)
    )


def verdicts(effects: pd.DataFrame, null: float = 0) -> pd.Series:
    """Whether each value is told from that of no effect, and on which side of it it lies."""
    intervals = effects[["value", "low", "high"]].itertuples(index=False)
    words = [verdict(Interval(*interval), null) for interval in intervals]
    return pd.Series(words, effects.index, dtype=object)


def _used(
    records: Mapping[str, list[Record]], measure: str, quoted: Mapping[str, float]
) -> pd.DataFrame:
    usage = {s: frames.usage_summary(runs).query("split == 'test'") for s, runs in records.items()}
    return by_head(usage, measure, quoted)


def _ratios(
    tables: Mapping[str, pd.DataFrame], measure: str, quoted: Mapping[str, dict]
) -> pd.DataFrame:
    rows = []
    for study, table in tables.items():
        for row in comparisons.ratios(table, measure).itertuples():
            references = paper.over_dense(quoted[row.split]) if row.split in quoted else {}
            ends = (row.ratio, row.low, row.high, row.by_seed, references.get(row.head, np.nan))
            rows.append((study, f"{study}, {row.split} images", row.head, row.seeds, *ends))
    return _table(rows)


def _row(study: str, panel: str, head: str, values: Sequence[float], quoted: Mapping) -> tuple:
    values = tuple(values)
    ends = (*seed_interval(values), values, quoted.get(head, np.nan))
    return (study, panel, head, len(values), *ends)


def _table(rows: Iterable[tuple]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)
