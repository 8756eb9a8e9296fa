"""Random directions in weight space that are as long as the network's own filters."""

import torch
from torch import Tensor, nn

from moelib.heads.experts import Experts
from moelib.study.base import ConfigError


@torch.no_grad()
def filter_normalised(model: nn.Module, generator: torch.Generator) -> Tensor:
    """A Gaussian direction (p,) whose filters have the norms of the model's (Li 2018, section 4).

    d_f <- |w_f| d_f / |d_f|, where the filter f is all weights into one output unit: of a
    convolution an output channel, of a linear layer a row, of stacked experts a unit of one expert.
    Biases, normalisations and filters of weights 0 get 0. Flat, in the order of
    `model.named_parameters()`. A layer whose scale the next one undoes, as an expert's two layers
    can, then moves in proportion to that scale: the step's effect does not depend on it.

    Each parameter is drawn by itself, so that models agree as far as their shapes do.

    Raises:
        ConfigError: it is not known which axes of a parameter are its layer's inputs.
    """
    parts = []
    for name, weights in model.named_parameters():
        axes = _input_axes(model, name, weights)
        if not axes:
            parts.append(torch.zeros_like(weights))
            continue
        drawn = torch.randn(weights.shape, generator=generator, device=generator.device).to(weights)
        parts.append(drawn * (_norms(weights, axes) / _norms(drawn, axes)))
    return torch.cat([part.flatten() for part in parts])


def _norms(weights: Tensor, axes: tuple[int, ...]) -> Tensor:
    return torch.linalg.vector_norm(weights, dim=axes, keepdim=True)


def _input_axes(model: nn.Module, name: str, weights: Tensor) -> tuple[int, ...]:
    """The axes along which a filter extends; none for what has no filters."""
    path, _, own_name = name.rpartition(".")
    layer = model.get_submodule(path)
    if isinstance(layer, Experts):
        return layer.INPUT_AXES.get(own_name, ())
    if weights.ndim < 2 or isinstance(layer, nn.Linear | nn.Conv2d):
        return tuple(range(1, weights.ndim))
    raise ConfigError(
        f"'{name}' of shape {tuple(weights.shape)} belongs to a {type(layer).__name__}, of which "
        "it is not known what a filter is: it must be of nn.Linear, nn.Conv2d or Experts."
    )
