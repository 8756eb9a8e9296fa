"""Gates: modules that hold parameters and turn features (n, d) into a `Routing`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moelib.heads.routing import (
    Routing,
    soft_routing,
    standardised,
    switch_routing,
    top_k_routing,
    uniform_routing,
)
from moelib.study import heads as config
from moelib.study.protocol import Protocol


class SoftGate(nn.Module):
    """softmax((W x + b) / T) over all experts, with dropout on x and, as run, on the logits."""

    def __init__(self, head: config.Soft, features: int, protocol: Protocol):
        super().__init__()
        self.score = nn.Linear(features, head.experts)
        every = torch.arange(head.experts)  # (e,)
        self.register_buffer("every", every, persistent=False)
        self.feature_dropout = head.gate_dropout
        self.logit_dropout = _logit_dropout(head, protocol)
        self.temperature = head.temperature

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        logits = self.score(_dropped(features, self.feature_dropout, self.training))  # (n, e)
        ranked = _dropped(logits, self.logit_dropout, self.training)
        return soft_routing(logits, self.temperature, ranked=ranked, every=self.every)


class SparseGate(nn.Module):
    """Noisy top-k: z = standardised(W_g x + b_g) + N(0, 1) (softplus(W_n x + b_n) + floor).

    After Shazeer 2017, eq. 3-5, with the standardised logits and the noise floor of Rokah 2026.
    Without noise in evaluation, unless the protocol keeps it on as the authors did; W_n is then
    unused. As run, dropout follows on z, which makes ties, and all ties share the gate's mass.
    With k = 1 `protocol.top_1_weight` says whether the gate learns, as in `SwitchGate`.
    """

    def __init__(self, head: config.Sparse, features: int, protocol: Protocol):
        super().__init__()
        self.score = nn.Linear(features, head.experts)
        self.noise = nn.Linear(features, head.experts)
        self.feature_dropout = head.gate_dropout
        self.logit_dropout = _logit_dropout(head, protocol)
        self.register_buffer("selection_bias", _selection_bias(head))
        self.k = head.k
        self.temperature = head.temperature
        self.standardise = head.standardise
        self.noise_floor = head.noise_floor
        self.noise_at_evaluation = protocol.noise_at_evaluation
        self.keep_ties = protocol.ties == "keep"
        self.weigh_by_probability = head.k == 1 and protocol.top_1_weight == "probability"

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        features = _dropped(features, self.feature_dropout, self.training)
        raw = self.score(features)  # (n, e)
        logits = standardised(raw) if self.standardise else raw
        ranked, noise_std = logits, None
        if self.training or self.noise_at_evaluation:
            noise_std = F.softplus(self.noise(features)) + self.noise_floor  # (n, e)
            ranked = logits + noise_std * torch.randn_like(logits)
        given = {
            "ranked": _dropped(ranked, self.logit_dropout, self.training),
            "noise_std": noise_std,
            "bias": self.selection_bias,
        }
        if self.weigh_by_probability:
            routing = switch_routing(logits, self.temperature, **given)
        else:
            routing = top_k_routing(
                logits, self.k, self.temperature, keep_ties=self.keep_ties, **given
            )
        if self.standardise:
            scaled = raw if self.temperature == 1 else raw / self.temperature
            return routing._replace(raw=scaled)
        return routing


@contextmanager
def without_evaluation_noise(module: nn.Module) -> Iterator[None]:
    """Every sparse gate in a module without noise in evaluation; afterwards each as it was."""
    noisy = [m for m in module.modules() if isinstance(m, SparseGate) and m.noise_at_evaluation]
    for gate in noisy:
        gate.noise_at_evaluation = False
    try:
        yield
    finally:
        for gate in noisy:
            gate.noise_at_evaluation = True


class SwitchGate(nn.Module):
    """A plain linear gate that picks one expert (Fedus 2021): no noise, no standardised logits.

    Of the protocol only `top_1_weight` matters: the expert's probability, or the authors' softmax
    over the one kept logit, which is 1 and teaches the gate nothing.
    """

    def __init__(self, head: config.Switch, features: int, protocol: Protocol):
        super().__init__()
        self.score = nn.Linear(features, head.experts)
        self.feature_dropout = head.gate_dropout
        self.register_buffer("selection_bias", _selection_bias(head))
        self.temperature = head.temperature
        self.weigh_by_probability = protocol.top_1_weight == "probability"

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        logits = self.score(_dropped(features, self.feature_dropout, self.training))  # (n, e)
        if self.weigh_by_probability:
            return switch_routing(logits, self.temperature, bias=self.selection_bias)
        return top_k_routing(logits, 1, self.temperature, bias=self.selection_bias)


class UniformGate(nn.Module):
    """Control: all experts alike."""

    def __init__(self, head: config.Uniform):
        super().__init__()
        self.experts = head.experts

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        return uniform_routing(features, self.experts)


class FrozenGate(nn.Module):
    """Control: top-k over a random linear map, held in buffers so that nothing trains it."""

    def __init__(self, head: config.FrozenGate, features: int):
        super().__init__()
        score = nn.Linear(features, head.experts)
        self.register_buffer("weight", score.weight.detach())  # (e, d)
        self.register_buffer("bias", score.bias.detach())  # (e,)
        self.k = head.k
        self.temperature = head.temperature

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        logits = F.linear(features, self.weight, self.bias)  # (n, e)
        return top_k_routing(logits, self.k, self.temperature)


def _dropped(values: Tensor, share: float, training: bool) -> Tensor:
    return F.dropout(values, share) if training else values  # spares small batches a call


def _logit_dropout(head: config.Soft | config.Sparse, protocol: Protocol) -> float:
    return head.gate_dropout if protocol.logit_dropout else 0.0


def _selection_bias(head: config.Sparse | config.Switch) -> Tensor | None:
    return torch.zeros(head.experts) if head.balance.bias_rate > 0 else None
