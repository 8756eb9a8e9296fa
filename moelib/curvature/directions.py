"""Random directions in weight space that are as long as the network's own filters."""

import torch
from torch import Tensor, nn

from moelib.training.filters import filter_axes


@torch.no_grad()
def filter_normalised(model: nn.Module, generator: torch.Generator) -> Tensor:
    """A Gaussian direction (p,) whose filters have the norms of the model's (Li 2018, section 4).

    d_f <- |w_f| d_f / |d_f|, where a filter f is all weights into one output unit (`filter_axes`).
    Biases, normalisations and filters of weights 0 get 0. Flat, in the order of
    `model.named_parameters()`. A layer whose scale the next one undoes, as an expert's two layers
    can, then moves in proportion to that scale: the step's effect does not depend on it.

    Each parameter is drawn by itself, so that models agree as far as their shapes do.

    Raises:
        ConfigError: it is not known which axes of a parameter are its layer's inputs.
    """
    parts = []
    axes_by_name = filter_axes(model)
    for name, weights in model.named_parameters():
        axes = axes_by_name[name]
        if not axes:
            parts.append(torch.zeros_like(weights))
            continue
        drawn = torch.randn(weights.shape, generator=generator, device=generator.device).to(weights)
        parts.append(drawn * (_norms(weights, axes) / _norms(drawn, axes)))
    return torch.cat([part.flatten() for part in parts])


def _norms(weights: Tensor, axes: tuple[int, ...]) -> Tensor:
    return torch.linalg.vector_norm(weights, dim=axes, keepdim=True)
