"""Differences between two computations of the same numbers that rounding explains."""

import torch
from torch import Tensor


def rounding(dtype: torch.dtype) -> float:
    """Relative difference that the order of sums alone may make: a deep net loses some bits."""
    return 1e4 * torch.finfo(dtype).eps


def differ(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    """Whether tensors of the same images differ by more than rounding."""
    for a, b in zip(ours, theirs, strict=True):
        a = a[: len(b)]
        if a.shape == b.shape and a.is_floating_point() and b.numel():
            scale = b.abs().max().clamp(min=torch.finfo(b.dtype).tiny)
            if (a - b).abs().max() > rounding(b.dtype) * scale:
                return True
    return False
