"""What is added and what is switched, as frames: parts of a mixture, keys of the protocol."""

from collections.abc import Mapping
from itertools import chain

import pandas as pd

from moelib.records.record import Record
from moelib.report import effects
from moelib.report.accuracy import tables as accuracy_tables
from moelib.study.heads import Linear, Soft, Sparse, Switch, Uniform
from moelib.study.protocol import PROTOCOLS

PARTS = {  # what is added: (head with it, head without it)
    "soft-losses": ("soft", "soft-free"),
    "sparse-losses": ("sparse", "sparse-free"),
    "switch-losses": ("switch", "switch-free"),
    "soft-gate": ("soft", "uniform"),
    "sparse-gate": ("sparse", "frozen"),
    "dense-layer": ("dense", "linear"),
}
KEY_KINDS = {  # keys of the protocol that mean something to some kinds of heads alone
    "noise_at_evaluation": Sparse,
    "kl": Soft,
    "load": Sparse,
    "ties": Sparse,
    "top_1_weight": Switch,
}


def with_controls(records: Mapping[str, list[Record]]) -> dict[str, list[Record]]:
    """The studies with records that compare many variants, heads without a choice among them."""
    return {
        study: runs
        for study, runs in records.items()
        if any(isinstance(record.study.heads[record.head], Linear | Uniform) for record in runs)
    }


def parts(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """What each part of a mixture adds to test accuracy, in points, paired by seed (`PARTS`)."""
    rows = []
    for study, runs in records.items():
        accuracies = accuracy_tables.finals(runs).pivot(
            index="seed", columns="head", values="test_accuracy"
        )
        for part, (complete, reduced) in PARTS.items():
            if {complete, reduced} <= set(accuracies):
                values = (100 * (accuracies[complete] - accuracies[reduced])).dropna()
                if len(values):
                    rows.append(effects.row(study, study, part, values))
    return effects.frame(rows)


def switches(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Test accuracy with one key of the protocol as the authors ran it, minus without; in points.

    Runs of one head and seed of two studies of the same data, backbone and training are compared
    if, for this head, their protocols differ in one key alone. The key is the panel.
    """
    runs = list(chain.from_iterable(records.values()))
    pairs: dict[tuple[str, str, str], dict[int, float]] = {}
    for ours in (run for run in runs if run.study.name.startswith(effects.SWITCHED)):
        for theirs in runs:
            key = _only_key(ours, theirs)
            if key is not None:
                difference = ours.numbers.test.accuracy - theirs.numbers.test.accuracy
                # Several studies may hold the same run without the key: it counts once.
                by_seed = pairs.setdefault((ours.study.name, key, ours.head), {})
                by_seed.setdefault(ours.seed, 100 * difference)
    return effects.frame(
        effects.row(study, key, head, [*by_seed.values()])
        for (study, key, head), by_seed in pairs.items()
    )


def _only_key(ours: Record, theirs: Record) -> str | None:
    """The one key of the protocol, not as corrected in `ours`, that parts two runs; else None."""
    same = ("data", "backbone", "training")
    alike = (ours.head, ours.seed) == (theirs.head, theirs.seed) and all(
        getattr(ours.study, name) == getattr(theirs.study, name) for name in same
    )
    head = ours.study.heads[ours.head]
    if not alike or head != theirs.study.heads[theirs.head]:
        return None
    mine, other = ours.study.protocol.model_dump(), theirs.study.protocol.model_dump()
    keys = [
        key
        for key in mine
        if key != "base"
        and mine[key] != other[key]
        and isinstance(head, KEY_KINDS.get(key, object))
    ]
    (key,) = keys if len(keys) == 1 else (None,)
    return key if key and mine[key] != PROTOCOLS["corrected"].model_dump()[key] else None
