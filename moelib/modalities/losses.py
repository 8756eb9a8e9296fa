"""Losses beside the answers': balance within groups of experts, and guidance between modalities.

Axes: `t` token, `e` expert, `m` modality, `b` bin, `n` item.
"""

import torch
from torch import Tensor

from moelib.modalities.routing import Plan


def balance(plan: Plan, groups: Tensor | None = None) -> Tensor:
    """Switch loss (Fedus 2021, eq. 4-6) within groups of experts, mean over the groups.

    N_B sum_{e in B} (f_e / f_B) (P_e / P_B), with f_e the share of used choices (no gradient), P_e
    the mean of the softmax over all logits, and f_B, P_B their sums over the group B of N_B
    experts: 1 if even. SMoES sums f_e P_e over a bin; with equal bins that would be the loss of all
    experts scaled, so both are taken within the bin here.

    Args:
        plan: of a layer.
        groups: (e,) number of each expert's group; None: all are one.
    """
    routing = plan.routing
    experts = routing.logits.shape[1]
    chosen = routing.indices if plan.used is None else routing.indices[plan.used]
    f = chosen.flatten().bincount(minlength=experts).to(routing.logits.dtype)
    p = routing.logits.softmax(dim=1).mean(dim=0)  # (e,)
    if groups is None:
        groups = torch.zeros(experts, dtype=torch.int64, device=p.device)
    member = torch.nn.functional.one_hot(groups).to(p.dtype)  # (e, b)
    tiny = torch.finfo(p.dtype).tiny
    f = f / (member @ (f @ member)).clamp_min(tiny)
    p = p / (member @ (p @ member)).clamp_min(tiny)
    return (member.sum(dim=0) * ((f * p) @ member)).mean()


def joint_bins(scores: Tensor, gates: Tensor, item: Tensor, bins: Tensor, items: int) -> Tensor:
    """P_i(m, B) (n, m, b): how the gates of item i's modalities spread over bins (SMoES).

    S_imB = sum_{e in B} sum_j M_ijm g_ije / (N_B sum_j M_ijm), scaled to sum 1 over m and B.

    Args:
        scores: M (t, m)
        gates: g (t, e), softmax over all experts.
        item: (t,) of each token.
        bins: (e,) of each expert.
        items: n.
    """
    member = torch.nn.functional.one_hot(bins).to(gates.dtype)  # (e, b)
    in_bins = gates @ (member / member.sum(dim=0))  # (t, b)
    products = (scores[:, :, None] * in_bins[:, None, :]).flatten(1)  # (t, m b)
    sums = gates.new_zeros(items, products.shape[1]).index_add(0, item, products)
    totals = gates.new_zeros(items, scores.shape[1]).index_add(0, item, scores)
    mean = sums.view(items, scores.shape[1], -1) / totals.clamp_min(1e-6)[:, :, None]
    return mean / mean.sum(dim=(1, 2), keepdim=True)


def information(joint: Tensor) -> Tensor:
    """Minus the mean over items of the mutual information I(M; B) in nats of P (n, m, b) (SMoES).

    >>> print(round(-information(torch.tensor([[[0.5, 0.0], [0.0, 0.5]]])).item(), 4))  # ln 2
    0.6931
    """
    apart = joint.sum(dim=2, keepdim=True) * joint.sum(dim=1, keepdim=True)
    terms = torch.special.xlogy(joint, joint) - torch.special.xlogy(joint, apart.clamp_min(1e-12))
    return -terms.sum(dim=(1, 2)).mean()


def divergence(joint: Tensor) -> Tensor:
    """Minus the symmetric KL divergence in nats of the bins of text and of vision, mean over items.

    1/2 sum_B (p_B - q_B) ln(p_B / q_B) with p = P(B | text), q = P(B | vision): our reading of the
    divergence that SMAR and an ablation of SMoES use.
    """
    p, q = (joint / joint.sum(dim=2, keepdim=True)).clamp_min(1e-6).unbind(1)
    return -0.5 * ((p - q) * (p.log() - q.log())).sum(dim=1).mean()


def budget(plan: Plan, aim: float) -> Tensor:
    """(mean number of real experts - aim)^2: zero if tokens use as many as were asked for."""
    return (plan.real.mean() - aim).square()
