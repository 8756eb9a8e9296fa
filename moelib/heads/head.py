"""Heads: from pooled features (n, d) to class logits (n, c).

Every head has `forward(features) -> logits` and `routed(features) -> (logits, Routing | None)`.
"""

from collections import OrderedDict

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


def build_head(
    head: config.Head, features: int, classes: int, protocol: Protocol
) -> Plain | Mixture:
    """The head that a study describes, freshly initialised from torch's default generator."""
    match head:
        case config.Linear():
            return Plain(OrderedDict(output=nn.Linear(features, classes)))
        case config.Dense():
            return Plain(
                OrderedDict(
                    hidden=nn.Linear(features, head.hidden),
                    relu=nn.ReLU(),
                    dropout=nn.Dropout(head.dropout),
                    output=nn.Linear(head.hidden, classes),
                )
            )
    experts = Experts(head.experts, features, head.hidden, classes, head.dropout)
    match head:
        case config.Soft():
            return Mixture(SoftGate(head, features, protocol), experts)
        case config.Sparse():
            gate = SparseGate(head, features, protocol)
            return Mixture(gate, experts, head.balance.bias_rate)
        case config.Switch():
            gate = SwitchGate(head, features, protocol)
            return Mixture(gate, experts, head.balance.bias_rate)
        case config.Uniform():
            return Mixture(UniformGate(head), experts)
        case config.FrozenGate():
            return Mixture(FrozenGate(head, features), experts)
