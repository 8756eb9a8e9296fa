"""Heads: from pooled features (n, d) to class logits (n, c).

Every head has `forward(features) -> logits` and `routed(features) -> (logits, Routing | None)`.
"""

from collections import OrderedDict
from functools import singledispatch

import torch
from torch import Tensor, nn

from moelib.heads.balance import updated_bias
from moelib.heads.experts import Experts
from moelib.heads.gates import FrozenGate, SoftGate, SparseGate, SwitchGate, UniformGate
from moelib.heads.routing import Routing
from moelib.study import heads as config
from moelib.study.protocol import Protocol


class Plain(nn.Sequential):
    """A head without experts: the layers one after the other."""

    def routed(self, features: Tensor) -> tuple[Tensor, None]:
        """Logits (n, c) from features (n, d); there is no routing."""
        return self(features), None


class Mixture(nn.Module):
    """A gate and its experts: y_n = sum_e m_ne f_e(x_n), a mixture of logits."""

    def __init__(self, gate: nn.Module, experts: Experts, bias_rate: float = 0.0):
        super().__init__()
        self.gate = gate
        self.experts = experts
        self.bias_rate = bias_rate

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, c) from features (n, d)."""
        return self.routed(features)[0]

    def routed(self, features: Tensor) -> tuple[Tensor, Routing]:
        """Logits (n, c) from features (n, d), and the plan that made them."""
        routing = self.gate(features)
        return self.experts(features, routing), routing

    @torch.no_grad()
    def update_bias(self, routing: Routing) -> None:
        """Move the selection bias by the loads of one training step, if the head has a bias."""
        if self.bias_rate > 0:
            bias = self.gate.selection_bias
            bias.copy_(updated_bias(bias, routing, self.bias_rate))


@singledispatch
def build_head(head: config.Head, features: int, classes: int, protocol: Protocol) -> nn.Module:
    """The head that a study describes, freshly initialised from torch's default generator.

    Each kind of head registers the function that builds it. What it returns has `routed`, as
    `Plain` and `Mixture` do.
    """
    raise TypeError(f"No function is registered to build a {type(head).__name__}.")


@build_head.register
def _linear(head: config.Linear, features: int, classes: int, protocol: Protocol) -> nn.Module:
    return Plain(OrderedDict(output=nn.Linear(features, classes)))


@build_head.register
def _dense(head: config.Dense, features: int, classes: int, protocol: Protocol) -> nn.Module:
    return Plain(
        OrderedDict(
            hidden=nn.Linear(features, head.hidden),
            relu=nn.ReLU(),
            dropout=nn.Dropout(head.dropout),
            output=nn.Linear(head.hidden, classes),
        )
    )


@build_head.register
def _soft(head: config.Soft, features: int, classes: int, protocol: Protocol) -> nn.Module:
    experts = _experts(head, features, classes)
    gate = SoftGate(
        features,
        head.experts,
        temperature=head.temperature,
        feature_dropout=head.gate_dropout,
        logit_dropout=head.gate_dropout if protocol.logit_dropout else 0.0,
    )
    return Mixture(gate, experts)


@build_head.register
def _sparse(head: config.Sparse, features: int, classes: int, protocol: Protocol) -> nn.Module:
    experts = _experts(head, features, classes)
    gate = SparseGate(
        features,
        head.experts,
        head.k,
        temperature=head.temperature,
        feature_dropout=head.gate_dropout,
        logit_dropout=head.gate_dropout if protocol.logit_dropout else 0.0,
        standardise=head.standardise,
        noise_floor=head.noise_floor,
        noise_at_evaluation=protocol.noise_at_evaluation,
        keep_ties=protocol.ties == "keep",
        weigh_by_probability=head.k == 1 and protocol.top_1_weight == "probability",
        biased=head.balance.bias_rate > 0,
    )
    return Mixture(gate, experts, head.balance.bias_rate)


@build_head.register
def _switch(head: config.Switch, features: int, classes: int, protocol: Protocol) -> nn.Module:
    experts = _experts(head, features, classes)
    gate = SwitchGate(
        features,
        head.experts,
        temperature=head.temperature,
        feature_dropout=head.gate_dropout,
        weigh_by_probability=protocol.top_1_weight == "probability",
        biased=head.balance.bias_rate > 0,
    )
    return Mixture(gate, experts, head.balance.bias_rate)


@build_head.register
def _uniform(head: config.Uniform, features: int, classes: int, protocol: Protocol) -> nn.Module:
    return Mixture(UniformGate(head.experts), _experts(head, features, classes))


@build_head.register
def _frozen(head: config.FrozenGate, features: int, classes: int, protocol: Protocol) -> nn.Module:
    experts = _experts(head, features, classes)
    gate = FrozenGate(features, head.experts, head.k, temperature=head.temperature)
    return Mixture(gate, experts)


def _experts(head: config.Mixture, features: int, classes: int) -> Experts:
    # Drawn before the gate: the experts of one seed are the same under every gate.
    return Experts(head.experts, features, head.hidden, classes, head.dropout)
