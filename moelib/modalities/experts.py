"""Experts of a block, and their execution where tokens use different numbers of them."""

import torch
from torch import Tensor

from moelib.heads.executors import Weights
from moelib.modalities.routing import Plan

ROUND = 32  # rows of an expert are filled up to a multiple of these


def execute(features: Tensor, plan: Plan, weights: Weights) -> Tensor:
    """Outputs (t, d) = sum over used choices of w f_e(x): the used choices alone are computed.

    As the executor `loop` of `moelib.heads`, for choices of which some are not used; outputs are
    added up where they belong at once, instead of being put back in order first. The rows of an
    expert are filled up to a round number, with weight 0: bf16 products on a CPU are compiled for
    each shape anew, which takes longer than the few rows more.

    Args:
        features: (t, d), in the dtype that is computed in.
        plan: of these tokens.
        weights: of the experts, of the same dtype.
    """
    routing, choices = plan.routing, plan.routing.indices.shape[1]
    experts, order = routing.indices.flatten().sort(stable=True)  # (t k,) each
    if plan.used is not None:
        kept = plan.used.flatten()[order]
        experts, order = experts[kept], order[kept]
    counts = experts.bincount(minlength=len(weights.b_in))  # (e,)
    filled = (counts + ROUND - 1) // ROUND * ROUND
    # Where each choice stands among the filled rows of all experts.
    shift = (filled - counts).cumsum(0) - (filled - counts)
    places = torch.arange(len(experts), device=experts.device) + shift[experts]
    sizes = filled.tolist()
    tokens = order.new_zeros(sum(sizes)).index_copy(0, places, order // choices)
    scale = routing.weights.flatten()[order].to(features.dtype)
    scale = scale.new_zeros(sum(sizes)).index_copy(0, places, scale)
    outputs = []
    for rows, w_in, b_in, w_out, b_out in zip(
        features.index_select(0, tokens).split(sizes),
        weights.w_in.unbind(1),
        *(stacked.unbind() for stacked in weights[1:]),
        strict=True,
    ):
        if len(rows):
            outputs.append(torch.addmm(b_out, torch.addmm(b_in, rows, w_in).relu_(), w_out))
    weighted = torch.cat(outputs) * scale[:, None]
    return torch.zeros_like(features).index_add(0, tokens, weighted)
