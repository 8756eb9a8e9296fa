"""The loop over epochs: steps, learning curves, and the one look at the test images."""

import time

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from moelib.records.kinds import Epoch, Metrics, TrainNumbers
from moelib.study.heads import Balance
from moelib.study.run import Run
from moelib.study.training import Training
from moelib.training import device
from moelib.training.batches import epoch_batches
from moelib.training.checkpoint import save_tensors
from moelib.training.compiled import compiled_forward
from moelib.training.data import Dataset, Split
from moelib.training.errors import TrainingError
from moelib.training.evaluate import correct, join, metrics, predict
from moelib.training.model import build_model, parameter_count
from moelib.training.schedule import learning_rate
from moelib.training.seeding import reseed
from moelib.training.state import State
from moelib.training.step import Forward, Step, training_step

WATCHED = 24  # validation images whose gates are kept at each epoch
DECIMALS = 3  # of these gates
CHECK_EVERY = 50  # steps between looks at the losses; each look waits for the device


class Loop:
    """The training of one run on its device.

    Args:
        run: what is trained.
        training: its recipe, resolved for this machine.
        dataset: the images, on the device.
        inputs: digests of what determines the training.

    Raises:
        ConfigError: the images are too small for the backbone.
    """

    def __init__(self, run: Run, training: Training, dataset: Dataset, inputs: dict[str, str]):
        self.run, self.training, self.dataset = run, training, dataset
        self.protocol = run.study.protocol
        self.balance = getattr(run.study.heads[run.head], "balance", Balance())
        self.device = torch.device(training.device)
        memory = torch.channels_last if training.channels_last else torch.contiguous_format
        self.model = build_model(run, dataset).to(self.device, memory_format=memory)
        optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=training.learning_rate,
            momentum=training.momentum,
            nesterov=training.nesterov,
            weight_decay=training.weight_decay,
        )
        self.state = State(self.model, optimizer, inputs, run.folder / "state.safetensors")
        self.steps_per_epoch = -(-len(dataset.train) // training.batch_size)

    def train(self) -> tuple[TrainNumbers, list[float]]:
        """Train to the last epoch; returns the numbers, and the seconds of each epoch.

        Raises:
            TrainingError: the loss is not finite; the state after the last finished epoch is kept.
            CheckpointError: the kept state is damaged.
        """
        state, last = self.state, self.training.epochs
        if state.resume():
            print(f"Resumed after epoch {len(state.epochs)} of {last}.")
        forward = self.model.routed
        if self.training.compile:
            forward = compiled_forward(self.model, self.training, self.dataset)
        done, total = (n * self.steps_per_epoch for n in (len(state.epochs), last))
        with tqdm(total=total, initial=done, desc=self._name, unit="step", mininterval=1) as bar:
            for epoch in range(len(state.epochs) + 1, last + 1):
                start = time.perf_counter()
                try:
                    state.append(self._train_epoch(epoch, forward, bar))
                except TrainingError:
                    state.save()  # the weights of this moment are broken, those kept are not
                    raise
                state.seconds.append(time.perf_counter() - start)
                state.keep()
                if epoch % self.training.checkpoint_every == 0 or epoch == last:
                    state.save()
        return self._finish(), state.seconds

    @property
    def _name(self) -> str:
        return f"{self.run.study.name} {self.run.head} seed {self.run.seed}"

    def _train_epoch(self, epoch: int, forward: Forward, bar: tqdm) -> Epoch:
        running = self.protocol.train_metrics == "running"
        first = (epoch - 1) * self.steps_per_epoch
        steps: list[Step] = []
        self.model.train()
        batches = epoch_batches(self.run, self.training, self.dataset, epoch)
        labels: list[Tensor] = []
        for number, (images, targets) in enumerate(batches, start=first):
            rate = learning_rate(self.training, number, self.steps_per_epoch)
            for group in self.state.optimizer.param_groups:
                group["lr"] = rate
            # Dropout and gate noise draw from the default generator, seeded afresh for each step.
            reseed(self.run.stream(f"{self.run.head}/noise", number), self.device)
            step = training_step(
                self.model,
                forward,
                self.state.optimizer,
                images,
                targets,
                training=self.training,
                balance=self.balance,
                protocol=self.protocol,
            )
            labels.append(targets)
            # On a large set of images the logits of all steps would be kept for nothing.
            steps.append(step if running else step._replace(logits=None, routing=None))
            if (number + 1) % CHECK_EVERY == 0 or number + 1 == first + self.steps_per_epoch:
                self._refuse_divergence(steps, first)
            bar.update()
        means = {
            name: torch.stack([step.balance[name] for step in steps]).double().mean().item()
            for name in steps[0].balance
        }
        reseed(self.run.stream(f"{self.run.head}/evaluation", epoch), self.device)
        train = self._running(steps, labels) if running else self._evaluate(self._curve_split)
        if self.protocol.train_loss_with_balance:  # erratum H14
            train = train.model_copy(update={"loss": train.loss + sum(means.values())})
        validation = self.dataset.validation
        logits, routing = self._predict(validation)
        return Epoch(
            epoch=epoch,
            learning_rate=rate,
            train=train,
            validation=metrics(logits, validation.labels, routing, self._loss_batch),
            balance=means,
            watched=None if routing is None else _rounded(routing.gates[:WATCHED]),
        )

    def _refuse_divergence(self, steps: list[Step], first: int) -> None:
        finite = torch.stack([step.loss for step in steps]).isfinite()
        if not finite.all():
            raise self._diverged(step=first + int((~finite).nonzero()[0]) + 1)

    def _diverged(self, step: int) -> TrainingError:
        done = len(self.state.epochs)
        kept = f"the state after epoch {done} is kept" if done else "no epoch was finished"
        return TrainingError(
            f"{self._name}: the loss is not finite at step {step} of "
            f"{self.training.epochs * self.steps_per_epoch}; {kept}. A lower "
            f"training.learning_rate than {self.training.learning_rate} may help."
        )

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
            epoch = min(len(self.state.epochs) + 1, self.training.epochs)
            raise self._diverged(step=epoch * self.steps_per_epoch)
        return logits, routing

    def _running(self, steps: list[Step], labels: list[Tensor]) -> Metrics:
        """Metrics of the training batches as they passed, while the weights moved (erratum H15)."""
        logits = torch.cat([step.logits for step in steps])
        routing = join([step.routing for step in steps])
        return metrics(logits, torch.cat(labels), routing, self._loss_batch)

    @property
    def _loss_batch(self) -> int | None:
        return self.training.batch_size if self.protocol.loss_mean == "batches" else None

    def _finish(self) -> TrainNumbers:
        epochs = {"last": len(self.state.epochs), "best_validation": self.state.best_epoch}
        tensors = {"last": self.model.state_dict(), "best_validation": self.state.best}
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
        return TrainNumbers(
            head_parameters=parameter_count(self.model.head),
            total_parameters=parameter_count(self.model),
            images={
                name: len(getattr(self.dataset, name)) for name in ("train", "validation", "test")
            },
            classes=self.dataset.classes,
            epochs=tuple(self.state.epochs),
            best_validation_epoch=epochs["best_validation"],
            tested_epoch=epochs[tested],
            test=metrics(logits, test.labels, routing, self._loss_batch),
            test_correct=np.packbits(correct(logits, test.labels).cpu().numpy()).tobytes().hex(),
            weights=weights,
        )


def _rounded(gates: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(gate, DECIMALS) for gate in row) for row in gates.tolist())
