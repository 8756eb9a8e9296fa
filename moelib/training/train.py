"""Training of one run: the same to the last bit, whether or not it was interrupted."""

import json
import time
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from moelib.heads.balance import balance_losses
from moelib.heads.gates import without_evaluation_noise
from moelib.heads.routing import Routing
from moelib.records.atomic import remove_leftovers
from moelib.records.dependencies import source_digest
from moelib.records.kinds import Epoch, Metrics, TrainNumbers
from moelib.records.provenance import digest, observe
from moelib.records.record import Record, RecordError, read_record, write_record
from moelib.study.base import ConfigError
from moelib.study.heads import Balance
from moelib.study.run import Run
from moelib.study.training import Training
from moelib.training import device
from moelib.training.augment import random_crop_flip
from moelib.training.backbones import build_backbone
from moelib.training.checkpoint import CheckpointError, load_tensors, save_tensors
from moelib.training.data import Dataset, Split, load_data
from moelib.training.evaluate import correct, join, metrics, network_input, predict
from moelib.training.filters import refuse_unknown_filters
from moelib.training.model import build_model, parameter_count
from moelib.training.schedule import learning_rate
from moelib.training.seeding import reseed, seeded

WRITTEN = ("state.safetensors", "last.safetensors", "best_validation.safetensors", "train.json")
CHECK_EVERY = 50  # steps between looks at the losses; each look waits for the device
# Relative, of losses below 1 nat absolute: bf16 keeps 8 bits, and fused operations round otherwise.
COMPILED_LOSS_TOLERANCE = 0.02


class TrainingError(RuntimeError):
    """A training that cannot go on; the message is a full sentence."""


def train(run: Run, dataset: Dataset | None = None) -> Record[TrainNumbers]:
    """Train a run, test it once, and write its record and weights.

    Continues where an earlier process was killed. A run that is already finished, with the same
    configuration, data, source and torch, is not trained again.

    Raises:
        ConfigError: the device or data are not there, the images do not suit the backbone or the
            batches, or are fewer than an analysis wants, or another process is at work on the run.
        TrainingError: the loss is not finite; the state after the last finished epoch is kept.
        CheckpointError: the state that an earlier process left is damaged.
    """
    training = device.resolve(run.study.training)
    dataset = dataset or load_data(run.study.data)  # first: refused data leave no folder behind
    _refuse_large_samples(run, dataset)
    refuse_unknown_filters(run, dataset)
    with run.locked(), device.numerics(training) as on:
        for name in WRITTEN:
            remove_leftovers(run.folder / name)
        dataset = dataset.to(on)
        inputs = _inputs(run, training, dataset)
        record = _finished(run, inputs)
        if record is None:
            with seeded(run.seed, on):  # only keeps the caller's generators as they were
                record = _Trainer(run, training, dataset, inputs).train()
        return write_record(run.record_path("train"), record)


def ensure_trained(run: Run, dataset: Dataset | None = None) -> Record[TrainNumbers]:
    """The record of a run that is finished, left as it is; else the run is trained now.

    For what analyses a run: several analyses may ask at the same time, and none must make the
    record look newer than the others' results.
    """
    dataset = dataset or load_data(run.study.data)
    inputs = _inputs(run, device.resolve(run.study.training), dataset)
    return _finished(run, inputs) or train(run, dataset)


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


def _inputs(run: Run, training: Training, dataset: Dataset) -> dict[str, str]:
    """Digests of all that determines a training on one machine."""
    study = run.study.model_copy(update={"training": training})
    wanted = study.model_dump_json(include={"data", "backbone", "protocol", "training"})
    head = study.heads[run.head].model_dump_json()
    config = digest(text.encode() for text in (wanted, head, run.head, str(run.seed)))
    source = source_digest("moelib.training.train")
    return {"config": config, "data": dataset.digest, "source": source, "torch": torch.__version__}


def _finished(run: Run, inputs: dict[str, str]) -> Record[TrainNumbers] | None:
    """The record of a run that needs no more training."""
    try:
        record = read_record(run.record_path("train"), TrainNumbers)
        for which, sha256 in record.numbers.weights.items():
            if load_tensors(run.folder / f"{which}.safetensors")[2] != sha256:
                return None
    except (RecordError, CheckpointError):
        return None
    if record.inputs != inputs:
        return None
    print("This run is finished, with the same configuration, data and source: not trained again.")
    return record


class _Trainer:
    """The state of a training, and the loop over it."""

    def __init__(self, run: Run, training: Training, dataset: Dataset, inputs: dict[str, str]):
        self.run, self.training, self.dataset, self.inputs = run, training, dataset, inputs
        self.protocol = run.study.protocol
        self.balance = getattr(run.study.heads[run.head], "balance", Balance())
        self.device = torch.device(training.device)
        memory = torch.channels_last if training.channels_last else torch.contiguous_format
        self.model = build_model(run, dataset).to(self.device, memory_format=memory)
        _refuse_lone_pixel(run, training, dataset)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=training.learning_rate,
            momentum=training.momentum,
            nesterov=training.nesterov,
            weight_decay=training.weight_decay,
        )
        self.steps_per_epoch = -(-len(dataset.train) // training.batch_size)
        self.epochs: list[Epoch] = []
        self.seconds: list[float] = []
        self.best: dict[str, Tensor] = {}  # weights of the best validation accuracy so far
        self.unsaved: tuple[dict[str, Tensor], dict] | None = None  # the latest, if in no file
        self.state_path = run.folder / "state.safetensors"

    def train(self) -> Record[TrainNumbers]:
        self._resume()
        routed = self._compiled() if self.training.compile else self.model.routed
        done, total = (n * self.steps_per_epoch for n in (len(self.epochs), self.training.epochs))
        with tqdm(total=total, initial=done, desc=self._name, unit="step", mininterval=1) as bar:
            for epoch in range(len(self.epochs) + 1, self.training.epochs + 1):
                start = time.perf_counter()
                try:
                    self.epochs.append(self._train_epoch(epoch, routed, bar))
                except TrainingError:
                    self._save_state()  # the weights of this moment are broken, those kept are not
                    raise
                self._keep_best()
                self.seconds.append(time.perf_counter() - start)
                self._keep_state()
                if epoch % self.training.checkpoint_every == 0 or epoch == self.training.epochs:
                    self._save_state()
        return self._finish()

    @property
    def _name(self) -> str:
        return f"{self.run.study.name} {self.run.head} seed {self.run.seed}"

    # -- one epoch ------------------------------------------------------------------------------

    def _train_epoch(self, epoch: int, routed, bar: tqdm) -> Epoch:
        running = self.protocol.train_metrics == "running"
        first = (epoch - 1) * self.steps_per_epoch
        losses, balance, outputs = [], [], []
        self.model.train()
        for step, (images, labels) in enumerate(self._batches(epoch), start=first):
            rate = learning_rate(self.training, step, self.steps_per_epoch)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            # Dropout and gate noise draw from the default generator, seeded afresh for each step.
            reseed(self.run.stream(f"{self.run.head}/noise", step), self.device)
            with device.autocast(self.training):
                logits, routing = routed(images)
            smoothing = self.training.label_smoothing
            parts = balance_losses(routing, self.balance, self.protocol)
            loss = F.cross_entropy(logits, labels, label_smoothing=smoothing) + sum(parts.values())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            if routing is not None:
                self.model.head.update_bias(routing)
            losses.append(loss.detach())
            balance.append({name: part.detach() for name, part in parts.items()})
            if running:
                outputs.append((logits.detach(), labels, _detached(routing)))
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == first + self.steps_per_epoch:
                self._refuse_divergence(losses, first)
            bar.update()
        means = {
            name: torch.stack([parts[name] for parts in balance]).double().mean().item()
            for name in balance[0]
        }
        reseed(self.run.stream(f"{self.run.head}/evaluation", epoch), self.device)
        found = self._running(outputs) if running else self._evaluate(self._curve_split)
        if self.protocol.train_loss_with_balance:  # erratum H14
            found = found.model_copy(update={"loss": found.loss + sum(means.values())})
        return Epoch(
            epoch=epoch,
            learning_rate=rate,
            train=found,
            validation=self._evaluate(self.dataset.validation),
            balance=means,
        )

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of an epoch: every training image once, augmented if the protocol says so."""
        split, data = self.dataset.train, self.run.study.data
        # Drawn on the CPU, so that the streams are the same on every device.
        order, augmentation = (
            torch.Generator().manual_seed(self.run.paired_stream(name, epoch))
            for name in ("order", "augmentation")
        )
        permutation = torch.randperm(len(split), generator=order).to(self.device)
        for chosen in permutation.split(self.training.batch_size):
            batch = split.take(chosen)
            images = batch.images  # (n, height, width, channel)
            if self.protocol.augment:
                images = random_crop_flip(images, data.crop_padding, data.flip, augmentation)
            yield self._input(images), batch.labels

    def _input(self, images: Tensor) -> Tensor:
        return network_input(images, self.dataset, self.training.channels_last)

    def _refuse_divergence(self, losses: list[Tensor], first: int) -> None:
        finite = torch.stack(losses).isfinite()
        if not finite.all():
            raise self._diverged(step=first + int((~finite).nonzero()[0]) + 1)

    def _diverged(self, step: int) -> TrainingError:
        kept = (
            f"the state after epoch {len(self.epochs)} is kept"
            if self.epochs
            else "no epoch was finished"
        )
        return TrainingError(
            f"{self._name}: the loss is not finite at step {step} of "
            f"{self.training.epochs * self.steps_per_epoch}; {kept}. A lower "
            f"training.learning_rate than {self.training.learning_rate} may help."
        )

    # -- metrics --------------------------------------------------------------------------------

    @property
    def _curve_split(self) -> Split:
        split, count = self.dataset.train, self.training.curve_images
        return Split(split.images[:count], split.labels[:count])

    def _evaluate(self, split: Split) -> Metrics:
        logits, routing = self._predict(split)
        return metrics(logits, split.labels, routing, self._loss_batch)

    def _predict(self, split: Split):
        with device.autocast(self.training):
            channels_last = self.training.channels_last
            logits, routing = predict(self.model, split, self.dataset, channels_last=channels_last)
        if not logits.isfinite().all():  # the last step broke the weights
            epoch = min(len(self.epochs) + 1, self.training.epochs)
            raise self._diverged(step=epoch * self.steps_per_epoch)
        return logits, routing

    def _running(self, outputs: list) -> Metrics:
        """Metrics of the training batches as they passed, while the weights moved (erratum H15)."""
        logits, labels, routings = zip(*outputs, strict=True)
        return metrics(torch.cat(logits), torch.cat(labels), join(routings), self._loss_batch)

    @property
    def _loss_batch(self) -> int | None:
        return self.training.batch_size if self.protocol.loss_mean == "batches" else None

    # -- state ----------------------------------------------------------------------------------

    @property
    def _best_epoch(self) -> int:
        accuracies = [epoch.validation.accuracy for epoch in self.epochs]
        return accuracies.index(max(accuracies)) + 1

    def _keep_best(self) -> None:
        # In memory and in the state, so that no file can hold the best weights of another training.
        if self._best_epoch == len(self.epochs):
            weights = self.model.state_dict().items()
            self.best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights}

    def _keep_state(self) -> None:
        # A copy in memory: not every state is written, and a divergence needs the latest.
        parts = {
            "model": self.model.state_dict(),
            "best": self.best,
            "momentum": {
                name: self.optimizer.state[parameter].get("momentum_buffer")
                for name, parameter in self.model.named_parameters()
            },
        }
        tensors = {
            f"{part}.{name}": tensor.detach().to("cpu", copy=True)
            for part, named in parts.items()
            for name, tensor in named.items()
            if tensor is not None
        }
        epochs = [epoch.model_dump(mode="json") for epoch in self.epochs]
        about = {"inputs": self.inputs, "epochs": epochs, "seconds": [*self.seconds]}
        self.unsaved = tensors, about

    def _save_state(self) -> None:
        if self.unsaved is not None:
            save_tensors(self.state_path, *self.unsaved)
            self.unsaved = None

    def _resume(self) -> None:
        """Continue from the state that a killed process left, if it is of this very training."""
        if not self.state_path.exists():
            return
        try:
            tensors, about, _ = load_tensors(self.state_path)
        except CheckpointError as error:
            raise CheckpointError(f"{error} Delete it to train this run from the start.") from None
        if about["inputs"] != self.inputs:
            print(
                "The kept state is of another configuration, data, source or torch: starting anew."
            )
            return
        model, self.best, momentum = (
            _with_prefix(tensors, prefix) for prefix in ("model.", "best.", "momentum.")
        )
        self.model.load_state_dict(model)
        for name, parameter in self.model.named_parameters():
            if name in momentum:
                buffer = torch.empty_like(parameter).copy_(momentum[name])
                self.optimizer.state[parameter]["momentum_buffer"] = buffer
        self.epochs = [Epoch.model_validate_json(json.dumps(epoch)) for epoch in about["epochs"]]
        self.seconds = list(about["seconds"])
        print(f"Resumed after epoch {len(self.epochs)} of {self.training.epochs}.")

    def _compiled(self):
        """The compiled forward pass, refused where it does not compute what the eager one does.

        They are compared without gate noise: compiled code draws other random numbers.
        """
        compiled = torch.compile(self.model.routed)
        split = Split(self.dataset.train.images[:128], self.dataset.train.labels[:128])
        images = self._input(split.images)
        self.model.eval()
        quiet = without_evaluation_noise(self.model)
        with quiet, torch.no_grad(), device.autocast(self.training):
            eager, fused = (
                F.cross_entropy(routed(images)[0], split.labels).item()
                for routed in (self.model.routed, compiled)
            )
        allowed = COMPILED_LOSS_TOLERANCE * max(1.0, eager)
        if not abs(fused - eager) <= allowed:  # also refuses NaN
            raise TrainingError(
                f"The compiled model's loss on the first batch is {fused:.4g}, the eager model's "
                f"{eager:.4g}; set training.compile to false on this machine."
            )
        return compiled

    def _finish(self) -> Record[TrainNumbers]:
        epochs = {"last": len(self.epochs), "best_validation": self._best_epoch}
        tensors = {"last": self.model.state_dict(), "best_validation": self.best}
        weights = {
            which: save_tensors(
                self.run.folder / f"{which}.safetensors", tensors[which], {"epoch": epoch}
            )
            for which, epoch in epochs.items()
        }
        tested = self.protocol.checkpoint
        self.model.load_state_dict(tensors[tested])
        reseed(self.run.stream(f"{self.run.head}/test"), self.device)
        test = self.dataset.test
        logits, routing = self._predict(test)
        numbers = TrainNumbers(
            head_parameters=parameter_count(self.model.head),
            total_parameters=parameter_count(self.model),
            images={
                name: len(getattr(self.dataset, name)) for name in ("train", "validation", "test")
            },
            classes=self.dataset.classes,
            epochs=tuple(self.epochs),
            best_validation_epoch=epochs["best_validation"],
            tested_epoch=epochs[tested],
            test=metrics(logits, test.labels, routing, self._loss_batch),
            test_correct=np.packbits(correct(logits, test.labels).cpu().numpy()).tobytes().hex(),
            weights=weights,
        )
        return Record[TrainNumbers](
            kind="train",
            study=self.run.study.model_copy(update={"training": self.training}),
            head=self.run.head,
            seed=self.run.seed,
            inputs=self.inputs,
            numbers=numbers,
            provenance=observe(self.training.device, sum(self.seconds), self.seconds),
        )


def _refuse_large_samples(run: Run, dataset: Dataset) -> None:
    """Refuse analyses of more images than there are before the training that they would follow."""
    for analysis, sizes in run.study.analyses:
        wanted = getattr(sizes, "images", 0)
        for name in ("train", "test"):
            count = len(getattr(dataset, name))
            if wanted > count:
                raise ConfigError(
                    f"analyses.{analysis}.images is {wanted}, and the {name} split has only "
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


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _detached(routing: Routing | None) -> Routing | None:
    return None if routing is None else Routing(*(t if t is None else t.detach() for t in routing))
