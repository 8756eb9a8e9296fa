"""What all tables share: the columns of a run, its splits and epochs, its test images.

A table is a tidy pandas frame: one row per observation, one column per variable. Frames of runs
start with the columns study, head, seed. Accuracies are shares, entropies in nats.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from moelib.records import kinds
from moelib.records.record import Record
from moelib.study.base import Frozen

RUN = ["study", "head", "seed"]  # the columns that say of which run a row is
Trained = Iterable[Record[kinds.TrainNumbers]]
Analysed = Iterable[Record[kinds.UtilizationNumbers]]
Sharp = Iterable[Record[kinds.SharpnessNumbers]]
Surfaces = Iterable[Record[kinds.SurfaceNumbers]]
Efficient = Iterable[Record[kinds.EfficiencyNumbers]]


def run_of(record: Record) -> tuple[str, str, int]:
    """Of which run a record is: its study, head and seed."""
    return record.study.name, record.head, record.seed


def run_columns(record: Record) -> dict[str, str | int]:
    """The same as columns: the first ones of every frame of runs."""
    return dict(zip(RUN, run_of(record), strict=True))


def flat(records: Mapping[str, list[Record]]) -> list[Record]:
    """The records of all studies."""
    return [record for runs in records.values() for record in runs]


def of_split(frame: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of one split, of a frame that may be empty, without columns even."""
    return frame[frame["split"] == split] if len(frame) else frame


def scalars(numbers: Frozen) -> dict[str, float]:
    """The fields of numbers that are one number each, as columns."""
    return {name: value for name, value in numbers if isinstance(value, int | float)}


def splits(records: Iterable[Record]):
    """The columns of each run and split, the run's record, and its numbers of that split."""
    for record in records:
        for split in ("train", "test"):
            yield run_columns(record) | {"split": split}, record, getattr(record.numbers, split)


def epochs(records: Trained):
    """The columns of each run, epoch and split, and the metrics there."""
    for record in records:
        for epoch in record.numbers.epochs:
            columns = run_columns(record) | {"epoch": epoch.epoch}
            yield columns | {"split": "train"}, epoch.train
            yield columns | {"split": "validation"}, epoch.validation


def test_correct(record: Record[kinds.TrainNumbers]) -> np.ndarray:
    """Which test images (n,) the run classifies rightly, decoded from the record's bits."""
    packed = np.frombuffer(bytes.fromhex(record.numbers.test_correct), dtype=np.uint8)
    return np.unpackbits(packed, count=record.numbers.images["test"]).astype(bool)


test_correct.__test__ = False  # a function of frames, and not one of pytest's
