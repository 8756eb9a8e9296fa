"""The state of a training: kept after each epoch, so that a killed process loses one at most."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from moelib.records.kinds import Epoch
from moelib.training.checkpoint import CheckpointError, load_tensors, save_tensors


class State:
    """Weights, momentum, learning curves, and the best weights so far.

    It needs no states of generators: every draw of a run is seeded for its epoch or step.

    Args:
        model: that is trained.
        optimizer: SGD over its parameters.
        inputs: digests of what determines the training; a state of other inputs is not resumed.
        path: of the file.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.SGD,
        inputs: dict[str, str],
        path: Path,
    ):
        self.model, self.optimizer, self.inputs, self.path = model, optimizer, inputs, path
        self.epochs: list[Epoch] = []
        self.seconds: list[float] = []  # of each epoch
        # In memory and in the state, so that no file can hold the best weights of another training.
        self.best: dict[str, Tensor] = {}
        self._unsaved: tuple[dict[str, Tensor], dict] | None = None  # the latest, if in no file

    @property
    def best_epoch(self) -> int:
        """The first epoch, from 1, of the highest validation accuracy."""
        accuracies = [epoch.validation.accuracy for epoch in self.epochs]
        return accuracies.index(max(accuracies)) + 1

    def append(self, epoch: Epoch) -> None:
        """Take a finished epoch in, and its weights if they are the best so far."""
        self.epochs.append(epoch)
        if self.best_epoch == len(self.epochs):
            self.best = _copied(self.model.state_dict())

    def keep(self) -> None:
        """Copy the state in memory: not every state is written, and a divergence needs the last."""
        momentum = {
            name: self.optimizer.state[parameter].get("momentum_buffer")
            for name, parameter in self.model.named_parameters()
        }
        parts = {"model": self.model.state_dict(), "best": self.best, "momentum": momentum}
        tensors = {
            f"{part}.{name}": tensor
            for part, named in parts.items()
            for name, tensor in named.items()
            if tensor is not None
        }
        epochs = [epoch.model_dump(mode="json") for epoch in self.epochs]
        about = {"inputs": self.inputs, "epochs": epochs, "seconds": [*self.seconds]}
        self._unsaved = _copied(tensors), about

    def save(self) -> None:
        """Write the copy in memory, if it is in no file yet."""
        if self._unsaved is not None:
            save_tensors(self.path, *self._unsaved)
            self._unsaved = None

    def resume(self) -> bool:
        """Continue from the file that a killed process left, if it is of this very training.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self.path.exists():
            return False
        try:
            tensors, about, _ = load_tensors(self.path)
        except CheckpointError as error:
            raise CheckpointError(f"{error} Delete it to train this run from the start.") from None
        if about["inputs"] != self.inputs:
            print("The kept state is of another configuration, data, code or torch: starting anew.")
            return False
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
        return True


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
