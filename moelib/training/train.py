"""Training of one run: the same to the last bit, whether or not it was interrupted."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
from torch import nn
from tqdm import tqdm

from moelib.records.atomic import remove_leftovers
from moelib.records.freshness import training_inputs, up_to_date
from moelib.records.kinds import Epoch, TrainNumbers
from moelib.records.provenance import device_name, observe
from moelib.records.record import N, Record, RecordError, read_record, write_record
from moelib.study.base import ConfigError
from moelib.study.machine import refuse_machine
from moelib.study.run import Run
from moelib.study.training import Training
from moelib.training import device
from moelib.training.backbones import build_backbone
from moelib.training.checkpoint import CheckpointError, load_tensors
from moelib.training.data import Dataset, load_data
from moelib.training.filters import refuse_unknown_filters
from moelib.training.loop import Loop
from moelib.training.seeding import seeded
from moelib.training.step import Forward

WRITTEN = ("state.safetensors", "last.safetensors", "best_validation.safetensors", "train.json")

Watch = Callable[[Sequence[Epoch]], None]  # gets the finished epochs after each of them


def train(
    run: Run, dataset: Dataset | None = None, *, watch: Watch | None = None
) -> Record[TrainNumbers]:
    """Train a run, test it once, and write its record and weights.

    Continues where an earlier process was killed. A run whose record is up to date is not trained
    again. `watch` gets all finished epochs after each of them; its time counts as the epoch's.

    Raises:
        ConfigError: the device or data are not there, the net cannot fit into memory, the images do
            not suit the backbone or the batches, or are fewer than an analysis wants, or another
            process is at work on the run.
        TrainingError: the loss is not finite; the state after the last finished epoch is kept.
        CheckpointError: the state that an earlier process left is damaged.
    """
    return ensure_trained(run, dataset or load_data(run.study.data), watch=watch)


class WatchedLoop(Loop):
    """A training that shows its epochs to who watches: what it computes is the loop's alone."""

    watch: Watch | None = None

    def _train_epoch(self, epoch: int, forward: Forward, bar: tqdm) -> Epoch:
        finished = super()._train_epoch(epoch, forward, bar)
        if self.watch is not None:
            self.watch([*self.state.epochs, finished])
        return finished


def ensure_trained(
    run: Run, dataset: Dataset, *, weights: bool = False, watch: Watch | None = None
) -> Record[TrainNumbers]:
    """The record of a finished run; a run that is not finished is trained now.

    Several analyses may ask at the same time. With `weights`, a run is finished only if its weights
    are there too: records are published without them. So a record of this training that another
    machine made, and whose weights are not here, is shown, and not replaced by one of this machine.

    Raises:
        ConfigError, TrainingError, CheckpointError: as `train` does.
        ConfigError: such a record is here, and its weights are wanted.
    """
    published = _trained_elsewhere(run, dataset)
    if published is not None:
        return show_published(run, published, weights)
    training = device.resolve(run.study.training)
    study = run.study.model_copy(update={"training": training})
    inputs = training_inputs(study, run.head, run.seed, dataset.digest, torch.__version__)
    record = _finished(run, inputs, weights)
    if record is not None:
        return record
    refuse_machine(run.study, [run.head])
    _refuse_large_samples(run, dataset)
    refuse_unknown_filters(run, dataset)
    _refuse_lone_pixel(run, training, dataset)
    with run.locked(), device.numerics(training) as on:
        for name in WRITTEN:
            remove_leftovers(run.folder / name)
        with seeded(run.seed, on):  # only keeps the caller's generators as they were
            # A state is of one machine, as its record will be.
            machine = {"machine": device_name(training.device)}
            loop = WatchedLoop(run, training, dataset.to(on), inputs | machine)
            loop.watch = watch
            numbers, seconds = loop.train()
        record = Record[TrainNumbers](
            kind="train",
            study=study,
            head=run.head,
            seed=run.seed,
            inputs=inputs,
            numbers=numbers,
            provenance=observe(training.device, sum(seconds), seconds),
        )
        return write_record(run.record_path("train"), record)


def load_weights(run: Run, model: nn.Module, record: Record[TrainNumbers], which: str) -> None:
    """Put the weights `which` (last or best_validation) of a finished run into a model.

    Raises:
        CheckpointError: they are missing, damaged, or not those of the record.
    """
    path = run.folder / f"{which}.safetensors"
    tensors, _, sha256 = load_tensors(path)
    if sha256 != record.numbers.weights[which]:
        raise CheckpointError(f"The weights {path} are not those of the record beside them.")
    model.load_state_dict(tensors)


def _finished(run: Run, inputs: dict[str, str], weights: bool) -> Record[TrainNumbers] | None:
    """The record of a run that needs no more training."""
    record = up_to_date(run.record_path("train"), TrainNumbers, inputs)
    if record is None or (weights and not _has_weights(run, record)):
        return None
    print("This run is finished: not trained again.")
    return record


def _trained_elsewhere(run: Run, dataset: Dataset) -> Record[TrainNumbers] | None:
    """A record of this very training by another machine, format or torch, without its weights."""
    try:
        record = read_record(run.record_path("train"), TrainNumbers)
    except RecordError:
        return None
    training = resolved_elsewhere(run.study.training, record.study.training, record)
    if training is None:
        return None
    study, version = run.study.model_copy(update={"training": training}), record.inputs["torch"]
    inputs = training_inputs(study, run.head, run.seed, dataset.digest, version)
    return None if record.inputs != inputs or _has_weights(run, record) else record


def resolved_elsewhere(asked: Training, there: Training, record: Record) -> Training | None:
    """What is asked, on the device and in the format of a record; None if it is the same here.

    Args:
        asked: the training of a study, before it is resolved for this machine.
        there: that of the record, which its machine resolved.
        record: of the training.
    """
    formats = ("precision", "channels_last", "compile")
    resolved = {name: getattr(there, name) for name in formats if getattr(asked, name) == "auto"}
    training = asked.model_copy(update={"device": there.device, **resolved})
    with suppress(ConfigError):  # of a device that is not here
        here = device.resolve(asked), device_name(asked.device), torch.__version__
        if here == (training, record.provenance.device, record.inputs["torch"]):
            return None
    return training


def show_published(run: Run, record: Record[N], weights: bool) -> Record[N]:
    """The record of a training that another machine made, unless its `weights` are wanted.

    Raises:
        ConfigError: they are, and are not here.
    """
    trained = f"trained on {record.provenance.device} with torch {record.inputs['torch']}"
    if weights:
        raise ConfigError(
            f"The run was {trained}, and its weights are not in {run.folder}. Training it here "
            "would replace that record: move the folder away, or name another folder of results "
            "with MOELIB_RESULTS."
        )
    print(f"This run was {trained}: its record is shown, and it is not trained again.")
    return record


def _has_weights(run: Run, record: Record[TrainNumbers]) -> bool:
    try:
        return all(
            load_tensors(run.folder / f"{which}.safetensors")[2] == sha256
            for which, sha256 in record.numbers.weights.items()
        )
    except CheckpointError:
        return False


def _refuse_large_samples(run: Run, dataset: Dataset) -> None:
    """Refuse analyses of more images than there are before the training that they would follow."""
    for analysis, sizes in run.study.analyses:
        images = getattr(sizes, "images", 0)
        for name in getattr(sizes, "splits", ("train", "test")):
            count = len(getattr(dataset, name))
            if images > count:
                raise ConfigError(
                    f"analyses.{analysis}.images is {images}, and the {name} split has only "
                    f"{count} images."
                )


def _refuse_lone_pixel(run: Run, training: Training, dataset: Dataset) -> None:
    count, channels = len(dataset.train), dataset.train.images.shape[-1]
    if training.batch_size > 1 and count % training.batch_size != 1:
        return
    with torch.device("meta"):  # shapes alone
        backbone = build_backbone(run.study.backbone, channels)
        image = torch.empty(1, channels, *dataset.train.images.shape[1:3])
    try:
        backbone(image)
    except ValueError:  # of batch normalisation, which needs two values per channel
        raise ConfigError(
            f"{count} training images in batches of {training.batch_size} leave one image to a "
            "batch, and the backbone shrinks it to one pixel: batch normalisation needs two. "
            "Another training.batch_size or fewer halvings in the backbone help."
        ) from None
