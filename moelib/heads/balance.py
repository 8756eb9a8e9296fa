"""Losses that keep experts in use, each named after its paper: pure functions of a `Routing`.

Notation: g_ne gates, E experts, n images, p = gate mass of each expert scaled to sum 1, u = 1/E.
"""

import math

import torch
from torch import Tensor

from moelib.heads.routing import Routing
from moelib.study.heads import Balance
from moelib.study.protocol import Protocol


def kl_to_uniform(routing: Routing) -> Tensor:
    """KL(p || u) = sum_e p_e ln(E p_e): 0 if gates are uniform on average, ln E if one has all.

    This is the direction that the reproduced paper's code documents (Rokah 2026).

    >>> from moelib.heads.routing import soft_routing
    >>> one_for_all = soft_routing(torch.tensor([[0.0, -torch.inf]]))  # ln 2
    >>> round(kl_to_uniform(one_for_all).item(), 4)
    0.6931
    """
    p = _mean_gate(routing)
    return (p * _log(p)).sum() + math.log(len(p))


def kl_from_uniform_over_experts(routing: Routing) -> Tensor:
    """KL(u || p) / E = -(ln E + mean_e ln p_e) / E: what the authors ran (Rokah 2026, their code).

    A "batchmean" of a vector divides by its length, hence the 1/E.
    """
    p = _mean_gate(routing)
    return -(_log(p).mean() + math.log(len(p))) / len(p)


def importance_loss(routing: Routing) -> Tensor:
    """CV(I)^2 with I_e = sum_n g_ne and the population variance (Shazeer 2017, eq. 6-7).

    >>> from moelib.heads.routing import soft_routing
    >>> importance_loss(soft_routing(torch.tensor([[0.0, -torch.inf]]))).item()  # I = (1, 0)
    1.0
    """
    return _squared_variation(routing.gates.sum(dim=0))


def smooth_load(routing: Routing) -> Tensor:
    """Expected number of images (e,) for each expert if its noise were drawn anew (Shazeer 2017).

    Load_e = sum_n Phi((z_ne - t_ne) / s_ne) (eq. 8-10): z clean logits, s deviation of the noise,
    t the k-th largest of the ranked logits of the other experts. Exact only if noise is all that
    lies between clean and ranked logits: `Study` refuses it under logit dropout or a bias.

    Raises:
        ValueError: there was no noise, as in evaluation, so that the load is not smooth.
    """
    if routing.noise_std is None:
        raise ValueError(
            "The smooth load needs gate noise: it is defined for a sparse head in training only."
        )
    k = routing.indices.shape[1]
    if k == routing.gates.shape[1]:
        return torch.ones_like(routing.gates).sum(dim=0)  # nothing is ever left out
    top = routing.ranked.topk(k + 1, dim=1)  # (n, k + 1)
    kept = torch.zeros_like(routing.gates, dtype=torch.bool)
    kept = kept.scatter(1, top.indices[:, :k], True)
    # Without e, the k-th largest is the (k + 1)-th of all if e itself is among the first k.
    threshold = torch.where(kept, top.values[:, k:], top.values[:, k - 1 : k])  # (n, e)
    return torch.special.ndtr((routing.logits - threshold) / routing.noise_std).sum(dim=0)


def load_loss(routing: Routing) -> Tensor:
    """CV(Load)^2 of the smooth load, with the population variance (Shazeer 2017, eq. 11)."""
    return _squared_variation(smooth_load(routing))


def switch_loss(routing: Routing) -> Tensor:
    """E sum_e f_e P_e: 1 if selections are uniform (Fedus 2021, eq. 4-6).

    f_e is the share of all n k selections that fall on e (no gradient), P_e the mean over images
    of softmax(clean logits).

    >>> from moelib.heads.routing import switch_routing
    >>> plan = switch_routing(torch.tensor([[math.log(3), 0.0]]))  # f = (1, 0), P = (3/4, 1/4)
    >>> round(switch_loss(plan).item(), 4)
    1.5
    """
    experts = routing.gates.shape[1]
    selections = routing.indices.flatten().bincount(minlength=experts)
    f = selections.to(routing.logits.dtype) / routing.indices.numel()  # (e,)
    return experts * (f * routing.logits.softmax(dim=1).mean(dim=0)).sum()


def router_z_loss(routing: Routing) -> Tensor:
    """Mean over images of logsumexp(raw logits)^2 (Zoph 2022, eq. 5).

    Raw are the gate's own outputs over the temperature: it is their scale that the loss bounds, and
    standardised logits have the same scale whatever the gate's weights are.

    >>> from moelib.heads.routing import soft_routing
    >>> plan = soft_routing(torch.tensor([[0.0, 0.0]]))  # (ln 2)^2
    >>> round(router_z_loss(plan).item(), 4)
    0.4805
    """
    logits = routing.logits if routing.raw is None else routing.raw
    return logits.logsumexp(dim=1).square().mean()


def balance_losses(
    routing: Routing | None, balance: Balance, protocol: Protocol
) -> dict[str, Tensor]:
    """The weighted losses by name; one whose coefficient is 0 is not computed.

    `routing` is None for a head without experts: there is nothing to balance.
    """
    if routing is None:
        return {}
    kl = {"p_u": kl_to_uniform, "u_p_over_e": kl_from_uniform_over_experts}
    load = {"smooth": load_loss, "importance": importance_loss}
    losses = {
        "kl": kl[protocol.kl],
        "importance": importance_loss,
        "load": load[protocol.load],
        "switch": switch_loss,
        "z": router_z_loss,
    }
    weights = {name: getattr(balance, name) for name in losses}
    return {name: weight * losses[name](routing) for name, weight in weights.items() if weight > 0}


def updated_bias(bias: Tensor, routing: Routing, rate: float) -> Tensor:
    """The selection bias (e,) after one step: b_e + rate sign(mean load - load_e).

    After Wang 2024, algorithm 1; loads are counts of executed selections. The bias is added to
    logits here and to the gate's scores there.
    """
    load = routing.indices.flatten().bincount(minlength=len(bias)).to(bias.dtype)  # (e,)
    return bias + rate * torch.sign(load.mean() - load)


def _mean_gate(routing: Routing) -> Tensor:
    mass = routing.gates.sum(dim=0)  # (e,)
    return mass / mass.sum()  # gates of a switch head sum to less than 1


def _log(p: Tensor) -> Tensor:
    # An expert without mass would make infinite losses or, times 0, gradients that are NaN.
    return p.clamp_min(torch.finfo(p.dtype).tiny).log()


def _squared_variation(values: Tensor) -> Tensor:
    return values.var(correction=0) / values.mean().square()
