"""How much there is to compute and to keep: parameters and multiply-accumulates of one image."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from moelib.study import heads as config
from moelib.training.model import parameter_count


def counted_macs(module: nn.Module, inputs: Tensor) -> int:
    """Multiply-accumulates of one forward pass, by torch's own counter.

    It counts matrix products and convolutions, two operations for each multiply-accumulate, and
    no additions, activations or normalisations.
    """
    # torch 2.14 knows no count of these, and would leave them out in silence.
    unknown = {
        torch.ops.aten._grouped_mm: _operations,
        torch.ops.aten.addmm_: lambda _, *product, **__: _operations(*product),
    }
    counter = FlopCounterMode(display=False, custom_mapping=unknown)
    with torch.no_grad(), counter:
        module(inputs)
    return counter.get_total_flops() // 2


def head_macs(head: config.Head, features: int, classes: int, *, noise: bool = False) -> int:
    """Multiply-accumulates of a head for one image, in evaluation, by closed form.

    dense: d h + h c; linear: d c; a mixture: d E for its gate and k (d h + h c + c) for the
    experts that it runs, their weighted sum included. Soft and uniform heads run all experts.

    Args:
        head: its configuration.
        features: d.
        classes: c.
        noise: whether a sparse head's gate draws its noise in evaluation too, for d E more.
    """
    match head:
        case config.Linear():
            return features * classes
        case config.Dense():
            return features * head.hidden + head.hidden * classes
    maps = (
        0 if isinstance(head, config.Uniform) else 1 + (noise and isinstance(head, config.Sparse))
    )
    expert = features * head.hidden + head.hidden * classes + classes
    return maps * features * head.experts + head.chosen * expert


def active_parameters(head: config.Head, module: nn.Module) -> int:
    """Parameters of a head that one image meets in evaluation: all but those of idle experts.

    The gate's noise, which only training draws, counts as met: it is kept beside the gate.
    """
    total = parameter_count(module)
    if not config.has_experts(head):
        return total
    one = parameter_count(module.experts) // head.experts
    return total - (head.experts - head.chosen) * one


def _operations(rows: tuple[int, ...], matrices: tuple[int, ...], *_, **__) -> int:
    """Of rows (r, i), each times a matrix (i, o), or one of the matrices (e, i, o)."""
    return 2 * rows[0] * rows[1] * matrices[-1]
