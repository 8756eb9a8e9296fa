"""From gate logits to a plan for every token: the rules by which modalities share experts.

Every rule is a pure function. Ordinary top-k is that of `moelib.heads.routing`; here are what
modalities add: hard and soft splits, and numbers of experts that differ from token to token.

Axes: `t` token, `e` expert, `k` choice, `m` modality (text, vision), `d` feature.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from moelib.heads.routing import Routing, switch_routing, top_k_routing

TEXT, VISION = 0, 1


class Plan(NamedTuple):
    """A routing whose tokens may use fewer than k choices."""

    routing: Routing  # the weights of choices that are not used are 0
    used: Tensor | None  # (t, k) of bool; None: all are
    real: Tensor | None  # (t,) number of experts that compute, with a gradient for the slots


def top_k(logits: Tensor, k: int) -> Plan:
    """The k largest logits (t, e); of one expert the weight is its probability, so that it learns.

    Shazeer 2017, eq. 3-5, without noise; for k = 1 Fedus 2021, eq. 1-2.
    """
    rule = switch_routing(logits) if k == 1 else top_k_routing(logits, k)
    return Plan(rule, None, None)


def hard_split(logits: Tensor, modality: Tensor, k: int, vision_experts: int) -> Plan:
    """Top-k among a modality's own experts: the last `vision_experts` see patches, the rest words.

    Args:
        logits: (t, e)
        modality: (t,) of TEXT and VISION.
        k: experts of a token.
        vision_experts: number of them.
    """
    experts = logits.shape[1]
    owner = torch.arange(experts, device=logits.device) >= experts - vision_experts  # (e,)
    foreign = owner != (modality == VISION)[:, None]  # (t, e)
    return top_k(logits.masked_fill(foreign, -torch.inf), k)


# -- soft modality scores (SMoES) -----------------------------------------------------------------


def one_hot_scores(modality: Tensor) -> Tensor:
    """Scores (t, m) that are the modality itself."""
    return torch.nn.functional.one_hot(modality, 2).float()


def accumulated_scores(scores: Tensor, mixed: Tensor, moved: Tensor, stream: Tensor) -> Tensor:
    """Modality scores after one more layer of attention: how much of a token is text, how much not.

    M' = (|a| A M + |x| M) / (|a| + |x|), from M one-hot before the first layer (SMoES, attention
    accumulated): a token takes on the modality of what it attends to, as far as attention moves it.

    Args:
        scores: M (t, m) before the layer.
        mixed: A M (t, m), with A the attention matrix, mean over its heads.
        moved: a (t, d), what attention adds to the stream.
        stream: x (t, d), the residual stream before it.
    """
    by_attention, by_stream = moved.norm(dim=1, keepdim=True), stream.norm(dim=1, keepdim=True)
    return (by_attention * mixed + by_stream * scores) / (by_attention + by_stream)


def gaussian_scores(features: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Modality scores (t, m) = softmax_m(LL_m / tau) under diagonal Gaussians, tau = D / 2 (SMoES).

    LL_m = -1/2 sum_d [log var_md + (x_d - mean_md)^2 / var_md]

    Args:
        features: x (t, d)
        mean: (m, d)
        variance: (m, d)
    """
    precision = 1 / variance
    squared = (
        features.square() @ precision.T
        - 2 * features @ (mean * precision).T
        + (mean.square() * precision).sum(dim=1)
    )
    likelihood = -0.5 * (variance.log().sum(dim=1) + squared)  # (t, m)
    return (likelihood / (features.shape[1] / 2)).softmax(dim=1)


def updated_gaussian(
    mean: Tensor, variance: Tensor, features: Tensor, memory: float
) -> tuple[Tensor, Tensor]:
    """Exponential moving mean and variance (d,) of one modality after features (t, d) of a step.

    The moments of the mixture that weighs the past by `memory` and the new features by the rest.
    """
    fresh, spread = features.mean(dim=0), features.var(dim=0, correction=0)
    step = fresh - mean
    return (
        mean + (1 - memory) * step,
        memory * (variance + (1 - memory) * step.square()) + (1 - memory) * spread,
    )


def loads(indices: Tensor, modality: Tensor, experts: int) -> Tensor:
    """Share (m, e) of a modality's choices that fall on each expert; 0 without a token of it."""
    flat = (modality[:, None] * experts + indices).flatten()
    counts = flat.bincount(minlength=2 * experts).view(2, experts).float()
    return counts / counts.sum(dim=1, keepdim=True).clamp_min(1)


def bins_by_specialisation(load: Tensor, bins: int) -> Tensor:
    """Bin (e,) of each expert: sorted by its share of text, cut into equal parts (SMoES).

    The share is load_text / (load_text + load_vision); bin 0 has the least text.

    >>> bins_by_specialisation(torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.2, 0.6]]), 2)
    tensor([1, 1, 0, 0])
    """
    share = load[TEXT] / (load[TEXT] + load[VISION]).clamp_min(1e-12)
    rank = torch.empty_like(share, dtype=torch.int64)
    order = share.argsort(stable=True)
    rank[order] = torch.arange(len(share), device=share.device)
    return rank // (len(share) // bins)


# -- variable slots (after AnyExperts) -------------------------------------------------------------


def learned_slots(importance: Tensor, least: int, most: int) -> Tensor:
    """Slots (t,) = least + w (most - least) from importance w in [0, 1], before rounding."""
    return least + importance * (most - least)


def entropy_slots(
    logits: Tensor, moments: Tensor, aim: float, spread: float, least: int, most: int
) -> Tensor:
    """More slots (t,) for tokens whose gate is less sure: the entropy rule (after GeMoE).

    aim + spread (H - mean) / deviation, cut to [least, most], with H the entropy of the softmax.

    Args:
        logits: (t, e) of the real experts.
        moments: (2,) mean and deviation of H, as moving averages.
        aim: slots of a token of mean entropy.
        spread: slots by which one deviation moves it.
        least: fewest slots.
        most: most slots.
    """
    entropy = torch.special.entr(logits.softmax(dim=1)).sum(dim=1)
    return (aim + spread * (entropy - moments[0]) / moments[1]).clamp(least, most)


def top_p_slots(logits: Tensor, mass: float | Tensor, least: int, most: int) -> Tensor:
    """As many slots (t,) as the largest gates take to reach a mass p (Huang 2024), cut to a range.

    >>> top_p_slots(torch.tensor([[0.5, 0.3, 0.2]]).log(), 0.6, 1, 3)
    tensor([2.])
    """
    before = logits.softmax(dim=1).sort(dim=1, descending=True).values.cumsum(dim=1)
    return (1 + (before < mass).sum(dim=1)).clamp(least, most).float()


def slot_routing(logits: Tensor, slots: Tensor, *, most: int, experts: int, share: float) -> Plan:
    """Fill round(slots) slots with the best of real and virtual experts (AnyExperts-style).

    Virtual experts compute nothing. At most floor(share K) of a token's K slots are theirs: a
    virtual choice beyond that is replaced by the next real one. Weights are a softmax over the
    real choices. Straight through: with respect to the slots before rounding, the number of
    real experts has the gradient 1, and the last slot that of its weight. A reconstruction: the
    paper's formula was not to be had.

    Args:
        logits: (t, e + v), the real experts first.
        slots: (t,) from 1 to `most`, before rounding.
        most: choices in the plan.
        experts: e.
        share: of virtual experts in a token's slots.
    """
    number = slots.detach().round().long()  # (t,)
    ranked = logits.sort(dim=1, descending=True, stable=True)
    virtual = ranked.indices >= experts  # (t, e + v)
    allowed = (share * number + 1e-6).floor().long()
    kept = ~virtual | (virtual.cumsum(dim=1) <= allowed[:, None])
    chosen = kept & (kept.cumsum(dim=1) <= number[:, None]) & ~virtual
    # Chosen experts first, in the order of their logits; then others real ones, not used.
    order = (2 * virtual.byte() + (~chosen).byte()).argsort(dim=1, stable=True)[:, :most]
    indices = ranked.indices.gather(1, order)  # (t, k)
    used = chosen.gather(1, order)
    scores = logits.gather(1, indices).masked_fill(~used, -torch.inf)
    weights = scores.softmax(dim=1)
    count = used.sum(dim=1)
    through = slots - slots.detach()  # 0, with a gradient
    last = used & (torch.arange(most, device=used.device) == (count - 1)[:, None])
    weights = weights * (1 + last * through[:, None])
    real = logits[:, :experts]
    gates = torch.zeros_like(real).scatter(1, indices, weights)
    return Plan(Routing(weights, indices, gates, real, real, None), used, count + through)
