"""Derivatives by autograd, where a constant has derivative 0 and a missing one is refused."""

from collections.abc import Sequence

import torch
from torch import Tensor

from moelib.curvature.error import CurvatureError


def vjp(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor] | None = None,
    **options: bool,
) -> tuple[Tensor, ...]:
    """J^T u, a tensor of each input's shape, for cotangents u of the outputs' shapes (default: 1).

    Autograd itself raises for an output that depends on no input, such as the slope of a loss that
    is linear; here its derivative is 0. `options` are those of `torch.autograd.grad`.

    Raises:
        CurvatureError: an operation between inputs and outputs has no derivative.
    """
    varying = [i for i, output in enumerate(outputs) if output.requires_grad]
    if not varying:
        return tuple(torch.zeros_like(t) for t in inputs)
    if cotangents is not None:
        cotangents = [cotangents[i] for i in varying]
    try:
        return torch.autograd.grad([outputs[i] for i in varying], inputs, cotangents, **options)
    except RuntimeError as error:  # also NotImplementedError: a kernel without a derivative
        raise CurvatureError(f"The loss is not twice differentiable: {error}") from error
