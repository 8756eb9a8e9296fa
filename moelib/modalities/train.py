"""Training of one run on pictures and words: the same numbers, whether or not it was killed."""

import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from moelib.modalities import batches, questions, splits
from moelib.modalities.model import VisionLanguage, build
from moelib.records.atomic import remove_leftovers
from moelib.records.freshness import modality_training_inputs, up_to_date
from moelib.records.modalities import Answers, ModalityEpoch, ModalityTrainNumbers
from moelib.records.provenance import device_name, observe
from moelib.records.record import Record, RecordError, read_record, write_record
from moelib.study.modalities import Dense, ModalityRun
from moelib.study.training import Training
from moelib.training import device
from moelib.training.checkpoint import CheckpointError, load_tensors, save_tensors
from moelib.training.errors import TrainingError
from moelib.training.schedule import learning_rate
from moelib.training.seeding import reseed, seeded
from moelib.training.train import resolved_elsewhere, show_published

BETA_2, EPSILON = 0.98, 1e-8  # of AdamW


def train(run: ModalityRun, *, weights: bool = False) -> Record[ModalityTrainNumbers]:
    """Train a run, test it once, and write its record and weights.

    Continues where an earlier process was killed. A run whose record is up to date is not trained
    again; with `weights`, only if its weights are there too.

    Raises:
        ConfigError: the device is not there, or another process is at work on the run, or its
            record is of another machine and its weights are wanted.
        TrainingError: the loss is not finite.
        CheckpointError: the state that an earlier process left is damaged.
    """
    published = _trained_elsewhere(run)
    if published is not None:
        return show_published(run, published, weights)
    training = device.resolve(run.study.training).model_copy(update={"compile": False})
    study = run.study.model_copy(update={"training": training})
    run = ModalityRun(study, run.head, run.seed)
    inputs = modality_training_inputs(run, torch.__version__)
    path = run.record_path(ModalityTrainNumbers.kind)
    record = up_to_date(path, ModalityTrainNumbers, inputs)
    if record is not None and (not weights or _has_weights(run, record)):
        print("This run is finished: not trained again.")
        return record
    with run.locked(), device.numerics(training) as on, seeded(run.seed, on):
        for name in ("state.safetensors", "last.safetensors", path.name):
            remove_leftovers(run.folder / name)
        # A state is of one machine, as its record will be.
        loop = Loop(run, on, inputs | {"machine": device_name(training.device)})
        numbers = loop.train()
        record = Record[ModalityTrainNumbers](
            kind=ModalityTrainNumbers.kind,
            head=run.head,
            seed=run.seed,
            inputs=inputs,
            numbers=numbers,
            provenance=observe(training.device, sum(loop.seconds), loop.seconds),
        )
        record = write_record(path, record)
        loop.path.unlink(missing_ok=True)
        return record


def _trained_elsewhere(run: ModalityRun) -> Record[ModalityTrainNumbers] | None:
    """A record of this very training by another machine, format or torch, without its weights."""
    try:
        record = read_record(run.record_path(ModalityTrainNumbers.kind), ModalityTrainNumbers)
    except RecordError:
        return None
    asked = run.study.training.model_copy(update={"compile": False})
    training = resolved_elsewhere(asked, record.numbers.study.training, record)
    if training is None:
        return None
    there = ModalityRun(run.study.model_copy(update={"training": training}), run.head, run.seed)
    inputs = modality_training_inputs(there, record.inputs["torch"])
    return None if record.inputs != inputs or _has_weights(run, record) else record


def load_model(run: ModalityRun, record: Record[ModalityTrainNumbers]) -> VisionLanguage:
    """The trained model of a finished run.

    Raises:
        CheckpointError: its weights are missing, damaged, or not those of the record.
    """
    path = run.folder / "last.safetensors"
    tensors, _, sha256 = load_tensors(path)
    if sha256 != record.numbers.weights:
        raise CheckpointError(f"The weights {path} are not those of the record beside them.")
    model = build(run.study, run.arm)
    model.load_state_dict(tensors)
    return model


class Loop:
    """Epochs of new items; what is drawn comes from streams of the run's seed and the epoch.

    Items and their order are the same for all arms of a seed, and so are initial weights up to the
    first parameter whose shape differs.
    """

    def __init__(self, run: ModalityRun, on: torch.device, inputs: dict[str, str]):
        self.run, self.on, self.inputs = run, on, inputs
        self.training: Training = run.study.training
        with seeded(run.stream("model"), torch.device("cpu")):
            self.model = build(run.study, run.arm).to(on)
        self.optimizer = _optimizer(self.model, self.training)
        self.epochs: list[ModalityEpoch] = []
        self.seconds: list[float] = []
        self.path: Path = run.folder / "state.safetensors"

    def train(self) -> ModalityTrainNumbers:
        """All epochs that are left, then the test."""
        study = self.run.study
        validation = splits.held_out(study, "validation")
        self._resume()
        bar = tqdm(
            range(len(self.epochs) + 1, self.training.epochs + 1),
            desc=f"{self.run.head}, seed {self.run.seed}",
            initial=len(self.epochs),
            total=self.training.epochs,
        )
        for number in bar:
            start = time.perf_counter()
            shown = self._epoch(number)
            answers = self._measured(validation)
            epoch = ModalityEpoch(
                validation_loss=answers.loss,
                validation_accuracy=answers.accuracy,
                **shown,
            )
            self.epochs.append(epoch)
            self.seconds.append(time.perf_counter() - start)
            bar.set_postfix(validation=f"{answers.accuracy:.1%}", loss=f"{epoch.loss:.3f}")
            if number % self.training.checkpoint_every == 0 or number == self.training.epochs:
                self._save()
        tests = {name: splits.held_out(study, name) for name in splits.TESTS}
        return ModalityTrainNumbers(
            study=study,
            total_parameters=sum(p.numel() for p in self.model.parameters()),
            active_parameters=_active_parameters(self.model, self.run.arm),
            epochs=tuple(self.epochs),
            validation=self._measured(validation),
            tests={name: self._measured(items) for name, items in tests.items()},
            entailed=self._entailed(tests["iid"]),
            weights=save_tensors(self.run.folder / "last.safetensors", self.model.state_dict()),
        )

    def _epoch(self, number: int) -> dict:
        reseed(self.run.stream("epoch", number), self.on)
        items = splits.training(self.run.study, self.run.seed, number)
        size = self.training.batch_size
        steps = len(items) // size
        sums: dict[str, float] = {}
        self.model.train()
        for step in range(steps):
            rows = slice(step * size, (step + 1) * size)
            inputs, answers = batches.batch(items.take(rows), self.on)
            rate = learning_rate(self.training, (number - 1) * steps + step, steps)
            for name, value in self._step(inputs, answers, rate).items():
                sums[name] = sums.get(name, 0.0) + value
        mean = {name: value / steps for name, value in sums.items()}
        return {
            "epoch": number,
            "learning_rate": rate,
            "loss": mean.pop("loss"),
            "accuracy": mean.pop("accuracy"),
            "real": mean.pop("real", None),
            "losses": mean,
        }

    def _step(self, inputs, answers: torch.Tensor, rate: float) -> dict[str, float]:
        """One step of AdamW on cross-entropy and the arm's losses."""
        with device.autocast(self.training):
            routed = self.model.routed(inputs)
        loss = F.cross_entropy(routed.logits, answers)
        total = loss + sum(routed.losses.values())
        if not total.isfinite():
            raise TrainingError("The loss is not finite: a smaller training.learning_rate helps.")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.run.study.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        shown = {name: part.item() for name, part in routed.losses.items()}
        real = [
            plan.routing.indices.shape[1] if plan.real is None else plan.real.mean().item()
            for plan in routed.plans
            if plan is not None
        ]
        if real:
            shown["real"] = sum(real) / len(real)
        hits = (routed.logits.argmax(dim=1) == answers).float().mean()
        return {"loss": loss.item(), "accuracy": hits.item(), **shown}

    def _measured(self, items: questions.Items) -> Answers:
        return batches.measured(self.model, items, self.run.study, self.training)

    def _entailed(self, items: questions.Items) -> float | None:
        """Accuracy on the questions that right answers entail."""
        chosen, _ = batches.answered(self.model, items, self.run.study, self.training)
        right = chosen.numpy() == items.answers
        more, rows = questions.entailed(items)
        if not right[rows].any():
            return None
        chosen, _ = batches.answered(self.model, more, self.run.study, self.training)
        return float((chosen.numpy() == more.answers)[right[rows]].mean())

    def _save(self) -> None:
        tensors = {f"model.{k}": t for k, t in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, tensor in self.optimizer.state[parameter].items():
                tensors[f"{key}.{name}"] = tensor
        about = {
            "inputs": self.inputs,
            "epochs": [epoch.model_dump(mode="json") for epoch in self.epochs],
            "seconds": self.seconds,
        }
        save_tensors(self.path, tensors, about)

    def _resume(self) -> None:
        if not self.path.exists():
            return
        try:
            tensors, about, _ = load_tensors(self.path)
        except CheckpointError as error:
            raise CheckpointError(f"{error} Delete it to train this run from the start.") from None
        if about["inputs"] != self.inputs:
            print("The kept state is of another configuration, code or torch: starting anew.")
            return
        parts: dict[str, dict] = {}
        for key, tensor in tensors.items():
            part, name = key.split(".", 1)
            parts.setdefault(part, {})[name] = tensor
        self.model.load_state_dict(parts.pop("model"))
        for name, parameter in self.model.named_parameters():
            kept = {key: named[name].clone() for key, named in parts.items() if name in named}
            self.optimizer.state[parameter] = {
                key: t if key == "step" else t.to(parameter) for key, t in kept.items()
            }
        self.epochs = [ModalityEpoch.model_validate_json(json.dumps(e)) for e in about["epochs"]]
        self.seconds = list(about["seconds"])


def _optimizer(model: VisionLanguage, training: Training) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices alone."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [{"params": matrices}, {"params": others, "weight_decay": 0.0}],
        lr=training.learning_rate,
        betas=(training.momentum, BETA_2),
        eps=EPSILON,
        weight_decay=training.weight_decay,
    )


def _active_parameters(model: VisionLanguage, arm) -> int:
    """Parameters that one token meets: all but those of the experts beyond k."""
    total = sum(p.numel() for p in model.parameters())
    if isinstance(arm, Dense):
        return total
    experts = sum(
        p.numel() for block in model.blocks for p in block.perceptron.experts.parameters()
    )
    return total - experts * (arm.experts - arm.k) // arm.experts


def _has_weights(run: ModalityRun, record: Record[ModalityTrainNumbers]) -> bool:
    try:
        load_model(run, record)
    except CheckpointError:
        return False
    return True
