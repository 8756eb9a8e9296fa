"""Trained runs, opened for analysis."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from moelib import device
from moelib.config import Frozen, Training
from moelib.data import Dataset, load_data
from moelib.dependencies import source_digest
from moelib.kinds import TrainNumbers
from moelib.model import Classifier, build_model
from moelib.provenance import digest, observe
from moelib.record import N, Record, read_record, write_record
from moelib.run import Run
from moelib.train import load_weights


@dataclass(frozen=True)
class Trained:
    """A run with the weights that its protocol selects, on its device."""

    run: Run  # what was trained, even if the study has changed since; its analyses are the study's
    record: Record[TrainNumbers]
    training: Training  # resolved
    model: Classifier
    dataset: Dataset

    def write(self, numbers: N, sizes: Frozen, source: str, seconds: float) -> Record[N]:
        """Write the record of an analysis of these weights: its sizes, its module, its time."""
        record = Record[type(numbers)](
            kind=numbers.kind,
            study=self.run.study,
            head=self.run.head,
            seed=self.run.seed,
            inputs={
                "train": self.record.digest,
                "config": digest([sizes.model_dump_json().encode()]),
                "data": self.dataset.digest,
                "source": source_digest(source),
            },
            numbers=numbers,
            provenance=observe(self.training.device, seconds),
        )
        return write_record(self.run.record_path(numbers.kind), record)


@contextmanager
def opened(run: Run, dataset: Dataset | None = None) -> Iterator[Trained]:
    """Open a finished run for one analysis, locked, in the numerical format of its training.

    Raises:
        ConfigError: the device of the training is not there, or another process works on the run.
        RecordError, CheckpointError: the run is not trained, or its files are damaged.
    """
    record = read_record(run.record_path("train"), TrainNumbers)
    study = record.study.model_copy(update={"analyses": run.study.analyses})
    run, training = Run(study, run.head, run.seed), device.resolve(study.training)
    with run.locked(), device.numerics(training) as on:
        dataset = (dataset or load_data(study.data)).to(on)
        model = build_model(run, dataset)
        load_weights(run, model, record, study.protocol.checkpoint)
        memory = torch.channels_last if training.channels_last else torch.contiguous_format
        yield Trained(run, record, training, model.to(on, memory_format=memory), dataset)
