"""From gate logits to a plan: which experts see an image, and with which weights.

Every function here is pure. `Routing` is all that executors, balance losses and usage metrics know
of a gate.
"""

from typing import NamedTuple

import torch
from torch import Tensor

STANDARD_DEVIATION_FLOOR = 1e-5  # added to the deviation of an image's logits, as the authors do


class Routing(NamedTuple):
    """The plan for a batch; all logits are in units of the softmax: divided by the temperature."""

    weights: Tensor  # (n, k) combine weights of the executed experts
    indices: Tensor  # (n, k) int64, the executed experts, none twice
    gates: Tensor  # (n, e) gate mass, 0 where an expert is not kept
    logits: Tensor  # (n, e) clean: after standardisation, before noise, dropout and bias
    ranked: Tensor  # (n, e) what was ranked: with noise, logit dropout and selection bias
    noise_std: Tensor | None  # (n, e) deviation of the noise in `ranked`; None without noise
    mixture: Tensor | None = None  # (n, e) weights by expert, where kept ties part them from gates
    raw: Tensor | None = None  # (n, e) before standardisation, where that parts them from `logits`


def standardised(logits: Tensor) -> Tensor:
    """Logits (n, e) of each image at mean 0 and unbiased standard deviation 1 over experts.

    One expert alone has no deviation: its standardised logit is 0.

    >>> standardised(torch.tensor([[1.0, 2.0, 3.0]])).round(decimals=3)
    tensor([[-1.,  0.,  1.]])
    """
    experts = logits.shape[1]
    centred = logits - logits.mean(dim=1, keepdim=True)
    if experts == 1:
        return centred
    # Over rows as short as these a norm takes a seventh of the time of `std`.
    deviation = torch.linalg.vector_norm(centred, dim=1, keepdim=True) / (experts - 1) ** 0.5
    return centred / (deviation + STANDARD_DEVIATION_FLOOR)


def soft_routing(
    logits: Tensor,
    temperature: float = 1.0,
    *,
    ranked: Tensor | None = None,
    every: Tensor | None = None,
) -> Routing:
    """Every expert, weighted by softmax(ranked / T) (Jacobs 1991).

    Args:
        logits: (n, e) clean gate logits.
        temperature: T in softmax(ranked / T).
        ranked: (n, e) logits after dropout; default: the clean ones.
        every: (e,) the numbers 0 to e - 1, where they are kept; making them delays small batches.

    >>> soft_routing(torch.tensor([[0.0, 0.0, -torch.inf]])).weights
    tensor([[0.5000, 0.5000, 0.0000]])
    """
    logits, ranked, *_ = _scaled(logits, ranked, None, None, temperature)
    gates = ranked.softmax(dim=1)  # (n, e)
    indices = _every_expert(gates) if every is None else every.expand_as(gates)  # (n, e)
    return Routing(gates, indices, gates, logits, ranked, None)


def uniform_routing(features: Tensor, experts: int) -> Routing:
    """Every expert with weight 1/E, whatever the image: the control without a gate."""
    logits = features.new_zeros(len(features), experts)  # (n, e)
    gates = torch.full_like(logits, 1 / experts)
    return Routing(gates, _every_expert(gates), gates, logits, logits, None)


def top_k_routing(
    logits: Tensor,
    k: int,
    temperature: float = 1.0,
    *,
    ranked: Tensor | None = None,
    noise_std: Tensor | None = None,
    bias: Tensor | None = None,
    keep_ties: bool = False,
) -> Routing:
    """The k largest logits, weighted by a softmax over these k (Shazeer 2017, eq. 3-5).

    With `k = 1` the weight is the constant 1 and the gate gets no gradient: see `switch_routing`.

    Args:
        logits: (n, e) clean gate logits.
        k: experts that are executed for each image.
        temperature: T in softmax(logits / T).
        ranked: (n, e) logits after noise and dropout; default: the clean ones.
        noise_std: (n, e) standard deviation of the noise in `ranked`, kept for the smooth load.
        bias: (e,) added for the selection alone; weights are free of it (Wang 2024, eq. 3).
        keep_ties: all logits that reach the k-th largest share the mass in `gates`, yet only k
            experts are executed, so that weights may sum to less than 1 (as the authors ran it).

    >>> plan = top_k_routing(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), k=2)
    >>> plan.gates
    tensor([[0.0000, 0.5000, 0.5000, 0.0000]])
    """
    logits, scores, ranked, noise_std = _scaled(logits, ranked, noise_std, bias, temperature)
    top = ranked.topk(k, dim=1)  # (n, k)
    if keep_ties:
        dropped = ranked < top.values[:, -1:]  # (n, e)
        gates = scores.masked_fill(dropped, -torch.inf).softmax(dim=1)
        weights = gates.gather(1, top.indices)
        mixture = torch.zeros_like(gates).scatter(1, top.indices, weights)
    else:
        kept = top.values if ranked is scores else scores.gather(1, top.indices)
        weights = kept.softmax(dim=1)
        gates, mixture = torch.zeros_like(scores).scatter(1, top.indices, weights), None
    return Routing(weights, top.indices, gates, logits, ranked, noise_std, mixture)


def switch_routing(
    logits: Tensor,
    temperature: float = 1.0,
    *,
    ranked: Tensor | None = None,
    noise_std: Tensor | None = None,
    bias: Tensor | None = None,
) -> Routing:
    """The best expert, weighted by its probability among all experts (Fedus 2021, eq. 1-2).

    The weight is below 1 and the gate learns through it. Arguments as in `top_k_routing`.

    >>> plan = switch_routing(torch.tensor([[1.0, 3.0]]).log())  # odds of 1 to 3
    >>> plan.indices.item(), round(plan.weights.item(), 4)
    (1, 0.75)
    """
    logits, scores, ranked, noise_std = _scaled(logits, ranked, noise_std, bias, temperature)
    indices = ranked.argmax(dim=1, keepdim=True)  # (n, 1)
    weights = scores.softmax(dim=1).gather(1, indices)  # (n, 1)
    gates = torch.zeros_like(scores).scatter(1, indices, weights)
    return Routing(weights, indices, gates, logits, ranked, noise_std)


def fixed_routing(indices: Tensor, experts: int) -> Routing:
    """A plan that no gate made: images go to the experts `indices` (n, k) with weights 1/k."""
    weights = torch.full(indices.shape, 1 / indices.shape[1], device=indices.device)  # (n, k)
    logits = torch.zeros(len(indices), experts, device=indices.device)  # (n, e)
    gates = logits.scatter(1, indices, weights)
    return Routing(weights, indices, gates, logits, logits, None)


def balanced_choices(images: int, k: int, experts: int) -> Tensor:
    """Indices (n, k) that give every expert the same number of images, up to one."""
    return torch.arange(images * k).view(images, k) % experts


def skewed_choices(images: int, k: int) -> Tensor:
    """Indices (n, k) that send every image to the same k experts."""
    return torch.arange(k).expand(images, k)


def combine_matrix(routing: Routing) -> Tensor:
    """Weights by expert (n, e): what each expert's output counts, 0 where it is not executed."""
    return routing.gates if routing.mixture is None else routing.mixture


def _every_expert(gates: Tensor) -> Tensor:
    return torch.arange(gates.shape[1], device=gates.device).expand_as(gates)


def _scaled(
    logits: Tensor,
    ranked: Tensor | None,
    noise_std: Tensor | None,
    bias: Tensor | None,
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Clean logits, scores that make weights, scores that are ranked, noise; all divided by T."""
    noisy = ranked is not None and ranked is not logits  # dropout in evaluation returns its input
    if temperature != 1:  # spares small batches the launches
        logits = logits / temperature
        ranked = ranked / temperature if noisy else None
        noise_std = None if noise_std is None else noise_std / temperature
    scores = ranked if noisy else logits
    return logits, scores, scores if bias is None else scores + bias, noise_std
