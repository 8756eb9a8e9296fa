"""What is added and what is switched, as frames: parts of a mixture, keys of the protocol."""

from collections.abc import Mapping
from itertools import chain

import pandas as pd

from moelib.records.record import Record
from moelib.report import effects
from moelib.report.ablations.contrasts import DEPARTURES, UNPAIRED, paired_differences
from moelib.report.accuracy import tables as accuracy_tables
from moelib.study.heads import Linear, Uniform

PARTS = {  # what is added: (head with it, head without it)
    "soft-losses": ("soft", "soft-free"),
    "sparse-losses": ("sparse", "sparse-free"),
    "switch-losses": ("switch", "switch-free"),
    "soft-gate": ("soft", "uniform"),
    "sparse-gate": ("sparse", "frozen"),
    "dense-layer": ("dense", "linear"),
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
    """Test accuracy with a departure of the authors' code, minus without; in points, by seed.

    The departure is the panel. `UNPAIRED` is among them: another order of batches.
    """
    accuracy = accuracy_tables.finals(chain.from_iterable(records.values()))
    rows = []
    for contrast in (*DEPARTURES, *UNPAIRED) if len(accuracy) else ():
        points = 100 * paired_differences(contrast, accuracy, "test_accuracy")
        if len(points):
            study, head = contrast.arm
            rows.append(effects.row(study, contrast.question, head, points))
    return effects.frame(rows)
