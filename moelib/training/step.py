"""One step of gradient descent: a batch in, weights moved, what it showed out."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from moelib.heads.balance import balance_losses
from moelib.heads.routing import Routing
from moelib.study.heads import Balance
from moelib.study.protocol import Protocol
from moelib.study.training import Training
from moelib.training import device
from moelib.training.model import Classifier

# From a batch of images to logits (n, c) and routing: a model's forward pass, compiled or not.
Forward = Callable[[Tensor], tuple[Tensor, Routing | None]]


class Step(NamedTuple):
    """What one step showed, before its weights moved; nothing here holds a graph."""

    logits: Tensor  # (n, c)
    routing: Routing | None
    loss: Tensor  # cross-entropy and balance losses, nats
    balance: dict[str, Tensor]  # the weighted balance losses


def training_step(
    model: Classifier,
    forward: Forward,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    *,
    training: Training,
    balance: Balance,
    protocol: Protocol,
) -> Step:
    """Minimise cross-entropy + sum of weighted balance losses by one step of the optimizer.

    Dropout and gate noise are drawn from torch's default generator. A head's selection bias moves
    with the loads of the batch.

    Args:
        model: whose parameters the optimizer moves.
        forward: the model's forward pass.
        optimizer: with the learning rate of this step.
        images: (n, channel, height, width), normalised.
        labels: (n,)
        training: its precision and label smoothing.
        balance: coefficients of the balance losses.
        protocol: which variants of them.
    """
    with device.autocast(training):
        logits, routing = forward(images)
    parts = balance_losses(routing, balance, protocol)
    smoothing = training.label_smoothing
    loss = F.cross_entropy(logits, labels, label_smoothing=smoothing) + sum(parts.values())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if routing is not None:
        model.head.update_bias(routing)
        routing = Routing(*(part if part is None else part.detach() for part in routing))
    balance_parts = {name: part.detach() for name, part in parts.items()}
    return Step(logits.detach(), routing, loss.detach(), balance_parts)
