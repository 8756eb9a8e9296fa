"""Executors: ways of computing the same mixture of experts, and the choice among them.

Every one is a pure function of features, plan and weights. They differ in what they compute
(all experts, or the chosen ones alone) and in the order of sums, so that outputs and derivatives
agree up to rounding; one executor gives the same bits every time.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from moelib.heads.routing import Routing, combine_matrix
from moelib.study.base import ConfigError
from moelib.study.executors import choose

# MKL is slow where as many rows as these meet a large matrix in float32: it repacks the matrix at a
# cost that so few rows do not repay, and slices of the matrix it does not repack. It is why `loop`
# is ahead of `grouped` at the aim in the record of `benchmarks/scale.py` in float32.
SLICED_ROWS = range(32, 192)
SLICED_SIZE = 2**20  # only matrices of more weights are sliced
SLICE = 96  # features
ALIGNMENT = 16  # bytes: torch's grouped product wants rows that are multiples of this


class Weights(NamedTuple):
    """The perceptrons of all experts, stacked."""

    w_in: Tensor  # (d, e, h)
    b_in: Tensor  # (e, h)
    w_out: Tensor  # (e, h, c)
    b_out: Tensor  # (e, c)


def batched(features: Tensor, routing: Routing, weights: Weights, dropout: float) -> Tensor:
    """All experts on all images: one matrix product for each layer.

    All hidden units of all experts are one axis e h. The second product sums over hidden units and
    experts at once; hidden units of an expert that is not executed are 0, whatever they would be.
    """
    w_in, b_in, w_out, b_out = weights
    experts, units, classes = w_out.shape
    mixture = combine_matrix(routing)  # (n, e)
    hidden = torch.addmm(b_in.view(-1), features, w_in.view(-1, experts * units)).relu_()
    hidden = _dropped(hidden, dropout).view(-1, experts, units)  # (n, e, h)
    if routing.indices.shape[1] < experts:
        # Not only weighed by 0: an idle expert may overflow, and 0 times infinity is no number.
        idle = torch.ones_like(mixture, dtype=torch.bool).scatter(1, routing.indices, False)
        hidden = hidden.masked_fill(idle.unsqueeze(2), 0)
    weighted = (hidden * mixture.unsqueeze(2)).view(-1, experts * units)  # (n, e h)
    return torch.addmm(mixture.mm(b_out), weighted, w_out.view(-1, classes))


def loop(features: Tensor, routing: Routing, weights: Weights, dropout: float) -> Tensor:
    """The chosen experts alone, one after the other, each on its images; for every dtype."""
    experts, order = routing.indices.flatten().sort(stable=True)  # (n k,) each
    images = order // routing.indices.shape[1]
    counts = experts.bincount(minlength=len(weights.b_in)).tolist()
    outputs = []
    for rows, w_in, b_in, w_out, b_out in zip(
        features.index_select(0, images).split(counts),
        weights.w_in.unbind(1),
        *(stacked.unbind() for stacked in weights[1:]),
        strict=True,
    ):
        hidden = _hidden(rows, w_in, b_in).relu_()  # (images of this expert, h)
        outputs.append(torch.addmm(b_out, _dropped(hidden, dropout), w_out))
    return _combined(torch.cat(outputs), order, routing)


def grouped(features: Tensor, routing: Routing, weights: Weights, dropout: float) -> Tensor:
    """The chosen experts alone: for each layer one grouped product over images sorted by expert.

    Raises:
        ConfigError: torch has no grouped product for this dtype on this device.
    """
    if not has_grouped_product(features):
        raise ConfigError(
            f"The executor 'grouped' needs float32 or bfloat16 on the CPU, or bfloat16 on a GPU of "
            f"compute capability 8.0 or more, not {str(features.dtype).removeprefix('torch.')} on "
            f"{features.device.type}; 'loop' computes the same in any dtype."
        )
    w_in, b_in, w_out, b_out = weights
    experts, order = routing.indices.flatten().sort(stable=True)  # (n k,) each
    every = torch.arange(len(b_in), device=experts.device)
    ends = torch.searchsorted(experts, every, right=True, out_int32=True)  # (e,)
    rows = features.index_select(0, order // routing.indices.shape[1])  # (n k, d)
    hidden = _grouped_product(rows, w_in.transpose(0, 1), ends) + b_in.index_select(0, experts)
    hidden = _dropped(hidden.relu_(), dropout)  # (n k, h)
    if len(experts) < len(b_out):  # padding the classes of every expert would take longer
        outputs = torch.bmm(hidden.unsqueeze(1), w_out.index_select(0, experts)).squeeze(1)
    else:
        outputs = _grouped_product(hidden, w_out, ends)
    return _combined(outputs + b_out.index_select(0, experts), order, routing)  # from (n k, c)


Executor = Callable[[Tensor, Routing, Weights, float], Tensor]
EXECUTORS: dict[str, Executor] = {"batched": batched, "loop": loop, "grouped": grouped}


def execute(
    features: Tensor, routing: Routing, weights: Weights, dropout: float, executor: str = "auto"
) -> Tensor:
    """Logits (n, c) of the mixture, from features (n, d), by the executor of this name.

    `dropout` is the share of hidden units to zero now: 0 in evaluation.

    Raises:
        ConfigError: there is no executor of this name, or it does not fit dtype and device.
    """
    if executor == "auto":
        executor = fastest(features, routing, weights)
    if executor not in EXECUTORS:
        names = ", ".join(["auto", *EXECUTORS])
        raise ConfigError(f"There is no executor '{executor}'; the executors are {names}.")
    return EXECUTORS[executor](features, routing, weights, dropout)


def fastest(features: Tensor, routing: Routing, weights: Weights) -> str:
    """The executor that takes least time for these sizes, by the rule `choose`.

    Compiled code computes all experts: `loop` would break its graph, and torch compiles no grouped
    product in float32.
    """
    images, k = routing.indices.shape
    experts, hidden = weights.b_in.shape
    if k == experts or torch.compiler.is_compiling():  # the rule would say so, only later
        return "batched"
    return choose(
        images,
        k,
        experts=experts,
        features=features.shape[1],
        hidden=hidden,
        has_grouped=has_grouped_product(features),
        on_cpu=features.is_cpu,
    )


def fits(executor: str, features: Tensor) -> bool:
    """Whether an executor computes in the dtype of these features (n, d) on their device."""
    return executor != "grouped" or has_grouped_product(features)


def has_grouped_product(features: Tensor) -> bool:
    """Whether torch multiplies groups of rows by a matrix each in this dtype, on this device."""
    if features.is_cpu:  # sooner told than the type of the device
        return features.dtype in (torch.float32, torch.bfloat16)
    if features.is_cuda and features.dtype == torch.bfloat16:
        return torch.cuda.get_device_capability(features.device) >= (8, 0)
    return False


def _dropped(hidden: Tensor, dropout: float) -> Tensor:
    return F.dropout(hidden, dropout) if dropout > 0 else hidden  # spares small batches a call


def _hidden(rows: Tensor, w_in: Tensor, b_in: Tensor) -> Tensor:
    """Rows (r, d) times w_in (d, h) plus b_in (h,)."""
    sliced = len(rows) in SLICED_ROWS and w_in.numel() > SLICED_SIZE
    if torch.is_grad_enabled() or not (sliced and rows.dtype == torch.float32 and rows.is_cpu):
        return torch.addmm(b_in, rows, w_in)
    hidden = b_in.expand(len(rows), -1).contiguous()  # (r, h)
    for part, matrix in zip(rows.split(SLICE, 1), w_in.split(SLICE), strict=True):
        hidden.addmm_(part, matrix)
    return hidden


def _grouped_product(rows: Tensor, matrices: Tensor, ends: Tensor) -> Tensor:
    """Rows (r, i), sorted into groups that end at `ends` (e,), times matrices (e, i, o): (r, o)."""
    inputs, outputs = matrices.shape[1:]
    unit = ALIGNMENT // rows.element_size()
    more_inputs, more_outputs = -inputs % unit, -outputs % unit
    if more_inputs:
        rows = F.pad(rows, (0, more_inputs))
    if more_inputs or more_outputs:
        matrices = F.pad(matrices, (0, more_outputs, 0, more_inputs))
    products = F.grouped_mm(rows, matrices, offs=ends)
    return products[:, :outputs] if more_outputs else products


def _combined(outputs: Tensor, order: Tensor, routing: Routing) -> Tensor:
    """Logits (n, c): the weighted sum over choices of outputs (n k, c), sorted by `order`."""
    chosen = torch.empty_like(outputs).index_copy(0, order, outputs)
    chosen = chosen.view(*routing.indices.shape, outputs.shape[1])  # (n, k, c)
    return torch.bmm(routing.weights.unsqueeze(1), chosen).squeeze(1)
