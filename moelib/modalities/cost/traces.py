"""Routing traces: which experts tokens choose when no trained router is at hand.

A trace gives every token and expert a score, and a router that ranks these scores makes the plan.
Scores are log p + Gumbel noise, so that the k largest are a draw of k different experts with
probabilities in proportion to p (Kool 2019); the families differ in p alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from moelib.study.base import ConfigError

IMAGE = 576  # patches of one image at 336 pixels (LLaVA-1.5)
WORDS = 64  # least tokens of text beside images
TEXT, VISION = 0, 1
AT_HOME = 0.85  # share of first choices within a modality's own half of the experts
CERTAIN = 1e4  # a score that no noise reaches
SAVED = 0.4  # share of activations that variable slots spare (AnyExperts, arXiv 2511.18314)


class Trace(NamedTuple):
    """Scores of one layer's tokens, and which of a token's k choices are executed."""

    scores: Tensor  # (n, e)
    kept: Tensor | None  # (n, k) bool, or None: all


def modalities(batch: int, tokens: int) -> Tensor:
    """Modality (n,) of sequences of so many tokens: as many images as leave 64 words, then text.

    >>> modalities(1, 640).bincount().tolist()  # words, patches
    [64, 576]
    """
    patches = IMAGE * max(0, (tokens - WORDS) // IMAGE)
    return torch.tensor([VISION] * patches + [TEXT] * (tokens - patches)).repeat(batch)


def uniform(experts: int) -> Tensor:
    """Every expert as likely as any other: log p (m, e)."""
    return torch.zeros(2, experts)


def zipf(experts: int) -> Tensor:
    """The i-th expert with p in proportion to 1 / i, for both modalities: log p (m, e)."""
    return -torch.arange(1, experts + 1).log().expand(2, -1)


def skewed(experts: int) -> Tensor:
    """Zipf's law in each modality, from opposite ends of the experts: log p (m, e)."""
    falling = -torch.arange(1, experts + 1).log()
    return torch.stack([falling, falling.flip(0)])


def partitioned(experts: int) -> Tensor:
    """Half of the experts for words, half for patches, no other choice: log p (m, e)."""
    half = experts // 2
    own = torch.zeros(2, experts)
    own[TEXT, half:] = own[VISION, :half] = -torch.inf
    return own


def guided(experts: int) -> Tensor:
    """Each modality prefers one half of the experts, with `AT_HOME` of the mass: log p (m, e)."""
    half = experts // 2
    away = torch.tensor((1 - AT_HOME) / AT_HOME).log()
    own = torch.zeros(2, experts)
    own[TEXT, half:] = own[VISION, :half] = away
    return own


FAMILIES: dict[str, Callable[[int], Tensor]] = {
    "uniform": uniform,
    "zipf": zipf,
    "skewed": skewed,
    "partitioned": partitioned,
    "guided": guided,
}
TRACES = (*FAMILIES, "adversarial", "variable", "variable-by-modality")


def trace(name: str, modality: Tensor, experts: int, k: int, generator: torch.Generator) -> Trace:
    """A trace for tokens of these modalities (n,), on the generator's device.

    "adversarial" sends all tokens to the same k experts. "variable" is uniform with 1 to k slots a
    token, (1 - `SAVED`) k on average, drawn without regard to the modality; in
    "variable-by-modality" patches give up slots first and words only what is left to save.

    Raises:
        ConfigError: there is no trace of this name, or k of the experts cannot be had by it.
    """
    if name not in TRACES:
        raise ConfigError(f"There is no trace '{name}'; the traces are {', '.join(TRACES)}.")
    reachable = experts // 2 if name == "partitioned" else experts
    if k > reachable:
        raise ConfigError(f"The trace '{name}' lets a token reach {reachable} experts, not {k}.")
    device, n = generator.device, len(modality)
    if name == "adversarial":
        scores = torch.zeros(experts, device=device)
        scores[:k] = CERTAIN
        return Trace(scores.expand(n, experts).contiguous(), None)
    logs = FAMILIES.get(name, uniform)(experts).to(device)  # (m, e)
    noise = -torch.empty(n, experts, device=device).exponential_(generator=generator).log()
    scores = logs[modality.to(device)] + noise
    if not name.startswith("variable"):
        return Trace(scores, None)
    slots = _slots(name, modality, k, generator).to(device)  # (n,)
    return Trace(scores, torch.arange(k, device=device) < slots.unsqueeze(1))


def _slots(name: str, modality: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Executed experts (n,) of each token, between 1 and k; their sum is the budget, exactly."""
    n = len(modality)
    budget = max(n, round((1 - SAVED) * n * k))
    device = generator.device
    urgency = torch.rand(n, k - 1, generator=generator, device=device) if k > 1 else None
    slots = torch.ones(n, dtype=torch.int64, device=device)
    if urgency is None:
        return slots
    if name == "variable-by-modality":
        urgency = urgency + (modality.to(device) == TEXT).unsqueeze(1)  # words before patches
    chosen = urgency.flatten().topk(budget - n).indices // (k - 1)
    return slots.index_add(0, chosen, torch.ones_like(chosen))
