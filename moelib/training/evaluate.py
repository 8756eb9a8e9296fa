"""Predictions of a model over a whole split, and the metrics that follow from them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moelib.heads import usage
from moelib.heads.routing import Routing
from moelib.records.kinds import Metrics
from moelib.training.data import Dataset, Split, normalise

EVALUATION_BATCH = 1000  # images; bounds the memory of a pass, does not enter any number


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode; afterwards each is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def predict(
    model: nn.Module, split: Split, dataset: Dataset, *, channels_last: bool = True
) -> tuple[Tensor, Routing | None]:
    """Logits (n, c) and routing of all images of a split, in evaluation mode, without gradients."""
    outputs = []
    with evaluation_mode(model), torch.inference_mode():
        for images in split.images.split(EVALUATION_BATCH):
            outputs.append(model.routed(network_input(images, dataset, channels_last)))
    logits, routings = zip(*outputs, strict=True)
    return torch.cat(logits), join(routings)


def network_input(images: Tensor, dataset: Dataset, channels_last: bool) -> Tensor:
    """Normalised floats (n, channel, height, width) of stored images, in the format asked for."""
    normal = normalise(images, dataset.mean, dataset.std)
    return normal if channels_last else normal.contiguous()


def join(routings: tuple[Routing | None, ...]) -> Routing | None:
    """The routings of successive batches as one."""
    if routings[0] is None:
        return None
    return Routing(
        *(None if field[0] is None else torch.cat(field) for field in zip(*routings, strict=True))
    )


def metrics(
    logits: Tensor, labels: Tensor, routing: Routing | None, batch: int | None = None
) -> Metrics:
    """Metrics of predictions; with `batch`, the loss is the mean of the means of such batches.

    The authors averaged batch means, so the images of a last small batch weigh more (erratum H14).
    """
    losses = F.cross_entropy(logits.double(), labels, reduction="none")  # (n,)
    if batch is not None:
        losses = torch.stack([part.mean() for part in losses.split(batch)])
    loss, accuracy = losses.mean().item(), correct(logits, labels).double().mean().item()
    if routing is None:
        return Metrics(loss=loss, accuracy=accuracy, gate_mass=None, load=None, entropy=None)
    gates = routing.gates.double()  # (n, e)
    return Metrics(
        loss=loss,
        accuracy=accuracy,
        gate_mass=tuple(usage.gate_mass(gates).tolist()),
        load=tuple(usage.load(routing.indices, gates.shape[1]).tolist()),
        entropy=usage.entropy(gates).item(),
    )


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images are classified rightly: (n,) of bool."""
    return logits.argmax(dim=1) == labels
