"""How experts are used: pure functions of gates (n, e) and indices (n, k), over any images."""

import torch
from torch import Tensor


def gate_mass(gates: Tensor) -> Tensor:
    """Mean gate of each expert (e,): the share of the mixture that it holds."""
    return gates.mean(dim=0)


def load(indices: Tensor, experts: int) -> Tensor:
    """Share of images (e,) whose executed experts contain e; the shares sum to k.

    The authors also counted experts that kept mass by a tie and were not executed (erratum H6).
    """
    counts = indices.flatten().bincount(minlength=experts)
    return counts.to(torch.get_default_dtype()) / len(indices)


def entropy(gates: Tensor) -> Tensor:
    """Mean over images of -sum_e p_e ln p_e, in nats, with p the gates (n, e) scaled to sum 1.

    Between 0 and ln k. A head that executes one expert has entropy 0, whatever its weight.
    """
    share = gates / gates.sum(dim=1, keepdim=True)
    return torch.special.entr(share).sum(dim=1).mean()


def coefficient_of_variation(values: Tensor) -> Tensor:
    """Population standard deviation of values (e,) over their mean; 0 if all experts are alike."""
    return values.std(correction=0) / values.mean()


def class_expert(gates: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean gate (c, e) over the images of each class; NaN for a class without images."""
    member = torch.nn.functional.one_hot(labels, classes).to(gates.dtype)  # (n, c)
    return member.T @ gates / member.sum(dim=0)[:, None]
