"""Trained runs, opened for analysis."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record, read_record
from moelib.study.base import ConfigError
from moelib.study.heads import Sparse
from moelib.study.run import Run
from moelib.study.training import Training
from moelib.training import device
from moelib.training.data import Dataset, Split, load_data
from moelib.training.model import Classifier, build_model
from moelib.training.train import load_weights


@dataclass(frozen=True)
class Trained:
    """A run with the weights that its protocol selects, on its device."""

    run: Run  # what was trained, even if the study has changed since; its analyses are the study's
    record: Record[TrainNumbers]
    training: Training  # resolved
    model: Classifier
    dataset: Dataset
    gate_noise_removed: bool  # that the protocol keeps in evaluation; the record keeps the protocol


@contextmanager
def opened(
    run: Run, task: str, dataset: Dataset | None = None, *, exact: bool = False
) -> Iterator[Trained]:
    """Open a finished run for the analysis `task`, in the numerical format of its training.

    No other process can make the same analysis of it meanwhile.

    Curvature needs a loss that is a fixed function of the weights, free of coarse rounding: with
    `exact` it is in float32, whatever the training used, and without the gate noise that a protocol
    may keep in evaluation.

    Raises:
        ConfigError: the device of the training is not there, or another process works on the run.
        RecordError, CheckpointError: the run is not trained, or its files are damaged.
    """
    record = read_record(run.record_path("train"), TrainNumbers)
    study = record.study.model_copy(update={"analyses": run.study.analyses})
    training, protocol = study.training, study.protocol
    if exact:
        training = training.model_copy(update={"precision": "fp32"})
        protocol = protocol.model_copy(update={"noise_at_evaluation": False})
    built = study.model_copy(update={"protocol": protocol})
    noise_removed = protocol != study.protocol and isinstance(study.heads[run.head], Sparse)
    run, training = Run(study, run.head, run.seed), device.resolve(training)
    with run.locked(task), device.numerics(training) as on:
        dataset = (dataset or load_data(study.data)).to(on)
        model = build_model(Run(built, run.head, run.seed), dataset)
        load_weights(run, model, record, study.protocol.checkpoint)
        memory = torch.channels_last if training.channels_last else torch.contiguous_format
        model = model.to(on, memory_format=memory)
        yield Trained(run, record, training, model, dataset, noise_removed)


def subset(dataset: Dataset, name: str, count: int, seed: int) -> Split:
    """The first images of a random permutation of a split: the same ones for every run of a study.

    A smaller subset is the beginning of a larger one.

    Args:
        dataset: the images.
        name: train, validation or test.
        count: images that are wanted.
        seed: of the permutation.

    Raises:
        ConfigError: the split has fewer images.
    """
    split = getattr(dataset, name)
    if count > len(split):
        raise ConfigError(
            f"analyses.*.images is {count}, and the {name} split has only {len(split)} images."
        )
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return split.take(order[:count].to(split.labels.device))
