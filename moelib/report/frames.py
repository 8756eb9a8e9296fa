"""What all tables share: the columns of a run, its splits and epochs, its test images.

A table is a tidy pandas frame: one row per observation, one column per variable. Frames of runs
start with the columns study, head, seed. Accuracies are shares, entropies in nats.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from moelib.records.kinds import (
    EfficiencyNumbers,
    SharpnessNumbers,
    SurfaceNumbers,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.records.record import Record

RUN = ["study", "head", "seed"]  # the columns that say of which run a row is
Trained = Iterable[Record[TrainNumbers]]
Analysed = Iterable[Record[UtilizationNumbers]]
Sharp = Iterable[Record[SharpnessNumbers]]
Surfaces = Iterable[Record[SurfaceNumbers]]
Efficient = Iterable[Record[EfficiencyNumbers]]


def run_columns(record: Record) -> dict:
    """Say of which run a record is: the first columns of every frame of runs."""
    return {"study": record.study.name, "head": record.head, "seed": record.seed}


def of_split(frame: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of one split, of a frame that may be empty, without columns even."""
    return frame[frame["split"] == split] if len(frame) else frame


def splits(records: Iterable[Record]):
    """Each record with the name and the numbers of each of its splits."""
    for record in records:
        yield record, "train", record.numbers.train
        yield record, "test", record.numbers.test


def epochs(records: Trained):
    """Each record with its epochs, and of each the name and the metrics of both splits."""
    for record in records:
        for epoch in record.numbers.epochs:
            yield record, epoch, "train", epoch.train
            yield record, epoch, "validation", epoch.validation


def test_correct(record: Record[TrainNumbers]) -> np.ndarray:
    """Which test images (n,) the run classifies rightly, decoded from the record's bits."""
    packed = np.frombuffer(bytes.fromhex(record.numbers.test_correct), dtype=np.uint8)
    return np.unpackbits(packed, count=record.numbers.images["test"]).astype(bool)


test_correct.__test__ = False  # a function of frames, and not one of pytest's
