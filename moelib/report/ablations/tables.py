"""What is added and what is switched, as frames: parts of a mixture, keys of the protocol."""

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np
import pandas as pd

from moelib.records.record import Record
from moelib.report import effects
from moelib.report.ablations.contrasts import PARTS, Arm, paired_differences
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.frames import flat
from moelib.study.heads import Linear, Uniform


def with_controls(records: Mapping[str, list[Record]]) -> dict[str, list[Record]]:
    """The studies with records that compare many variants, heads without a choice among them."""
    return {
        study: runs
        for study, runs in records.items()
        if any(isinstance(record.study.heads[record.head], Linear | Uniform) for record in runs)
    }


def parts(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """What each part of a mixture adds to test accuracy, in points, paired by seed (`PARTS`).

    A row is named after the head that has the part, and the part.
    """
    accuracy = accuracy_tables.finals(flat(records))
    pairs = [(part, contrast) for part, family in PARTS.items() for contrast in family]
    rows = []
    for study, (part, contrast) in product(records, pairs):
        heads = (contrast.arm.head, contrast.reference.head)
        complete, reduced = reversed(heads) if part == "losses" else heads
        pair = contrast._replace(arm=Arm(study, complete), reference=Arm(study, reduced))
        gains = 100 * paired_differences(pair, accuracy)
        if len(gains):
            rows.append(effects.row(study, study, f"{complete}-{part}", gains))
    return effects.frame(rows)


def of_judged(judged: pd.DataFrame, panels: Iterable[str]) -> pd.DataFrame:
    """The differences that were judged as effects, in points, each in a panel."""
    return effects.frame(
        effects.row(row.study, panel, row.head, 100 * np.array(row.by_seed))
        for row, panel in zip(judged.itertuples(), panels, strict=True)
    )
