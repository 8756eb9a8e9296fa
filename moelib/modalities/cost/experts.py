"""SwiGLU experts and the executors of their mixture.

y_n = sum_k w_nk W_down_e (silu(W_gate_e x_n) * W_up_e x_n), e = e_nk

The executors of `moelib.heads` compute heads with biases and ReLU; these compute the perceptrons
of language models, in the precision of their weights. None but `loop` makes the host wait for the
GPU, so that a pass can be one CUDA graph.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Under this name since torch 2.10, under the other one before.
grouped_product = getattr(F, "grouped_mm", None) or torch._grouped_mm


class Weights(NamedTuple):
    """The perceptrons of all experts, stacked."""

    up: Tensor  # (e, 2 h, d): gate and up
    down: Tensor  # (e, d, h)


class Plan(NamedTuple):
    """Which experts see a token, and what the host must know of it so that no executor asks."""

    indices: Tensor  # (n, k) int64, none twice for a token
    weights: Tensor  # (n, k) float32
    kept: Tensor | None  # (n, k) bool: choices that are executed; None: all
    slots: int  # executed choices of all tokens
    largest: int  # of them, those of the expert that has most


def perceptron(rows: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """One SwiGLU perceptron: rows (r, d), up (2 h, d), down (d, h), to (r, d)."""
    return F.linear(_activated(F.linear(rows, up)), down)


def grouped(features: Tensor, plan: Plan, weights: Weights) -> Tensor:
    """The chosen experts alone: one grouped product a layer over tokens sorted by expert."""
    experts, order = _sorted(plan, len(weights.up))  # (a,) each, a executed choices
    ends = _ends(experts, len(weights.up))
    rows = features.index_select(0, order // plan.indices.shape[1])  # (a, d)
    hidden = _activated(grouped_product(rows, weights.up.transpose(1, 2), offs=ends))
    outputs = grouped_product(hidden, weights.down.transpose(1, 2), offs=ends)
    return _combined(outputs, order, plan)


def padded(features: Tensor, plan: Plan, weights: Weights) -> Tensor:
    """The chosen experts by batched products; each gets as many rows as the busiest one."""
    number, width = len(weights.up), features.shape[1]
    experts, order = _sorted(plan, number)
    starts = F.pad(_ends(experts, number), (1, 0))[:-1]  # (e,)
    within = torch.arange(len(experts), device=experts.device) - starts[experts]
    places = experts * plan.largest + within  # (a,) rows of the padded batch
    rows = features.index_select(0, order // plan.indices.shape[1])
    batch = features.new_zeros(number * plan.largest, width).index_copy_(0, places, rows)
    batch = batch.view(number, plan.largest, width)
    hidden = _activated(torch.bmm(batch, weights.up.transpose(1, 2)))
    outputs = torch.bmm(hidden, weights.down.transpose(1, 2)).flatten(0, 1)
    return _combined(outputs.index_select(0, places), order, plan)


def loop(features: Tensor, plan: Plan, weights: Weights) -> Tensor:
    """The chosen experts one after the other; the host waits for the counts."""
    experts, order = _sorted(plan, len(weights.up))
    rows = features.index_select(0, order // plan.indices.shape[1])
    counts = experts.bincount(minlength=len(weights.up)).tolist()
    outputs = [
        perceptron(part, up, down)
        for part, up, down in zip(rows.split(counts), *weights, strict=True)
        if len(part)
    ]
    return _combined(torch.cat(outputs), order, plan)


def masked(features: Tensor, plan: Plan, weights: Weights) -> Tensor:
    """All experts on all tokens, each output times its weight, 0 for those not chosen."""
    chosen = plan.weights if plan.kept is None else plan.weights * plan.kept
    mixture = features.new_zeros(len(features), len(weights.up))  # (n, e)
    mixture.scatter_(1, plan.indices, chosen.to(features.dtype))
    total = torch.zeros_like(features)
    for weight, up, down in zip(mixture.unbind(1), *weights, strict=True):
        total.addcmul_(perceptron(features, up, down), weight.unsqueeze(1))
    return total


Executor = Callable[[Tensor, Plan, Weights], Tensor]
EXECUTORS: dict[str, Executor] = {
    "grouped": grouped,
    "padded": padded,
    "loop": loop,
    "masked": masked,
}


def _activated(hidden: Tensor) -> Tensor:
    gate, up = hidden.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)


def _sorted(plan: Plan, experts: int) -> tuple[Tensor, Tensor]:
    """Experts of the executed choices in ascending order, and the choices n k + j in that order."""
    indices = plan.indices
    if plan.kept is not None:  # what is not executed comes behind all experts
        indices = indices.masked_fill(~plan.kept, experts)
    chosen, order = indices.flatten().sort(stable=True)
    return chosen[: plan.slots], order[: plan.slots]


def _ends(experts: Tensor, number: int) -> Tensor:
    every = torch.arange(number, device=experts.device)
    return torch.searchsorted(experts, every, right=True, out_int32=True)  # (e,)


def _combined(outputs: Tensor, order: Tensor, plan: Plan) -> Tensor:
    """The weighted sum (n, d) over choices of outputs (a, d) in this order."""
    n, k = plan.indices.shape
    new = outputs.new_empty if plan.slots == n * k else outputs.new_zeros
    chosen = new(n * k, outputs.shape[1]).index_copy_(0, order, outputs).view(n, k, -1)
    # A batched product of one row a token would leave most of a GPU's matrix units without work.
    return chosen.mul_(plan.weights.unsqueeze(2)).sum(dim=1)
