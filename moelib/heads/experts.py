"""All experts of a head, as stacked tensors."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from moelib.heads.executors import Weights, execute
from moelib.heads.routing import Routing


class Experts(nn.Module):
    """E perceptrons with one hidden layer each, and the mixture of their logits.

    y_n = sum_k w_nk (W_out_e Drop(ReLU(W_in_e x_n + b_in_e)) + b_out_e), e = e_nk

    Weights w_nk and choices e_nk are those of the plan. An expert that no image chose contributes
    exactly 0, to the output and to every gradient.
    """

    EXPERT_AXES: ClassVar = {"w_in": 1, "b_in": 0, "w_out": 0, "b_out": 0}
    INPUT_AXES: ClassVar = {"w_in": (0,), "w_out": (1,)}  # the other axes tell units apart

    def __init__(self, experts: int, features: int, hidden: int, classes: int, dropout: float):
        super().__init__()
        # Each expert starts as two `nn.Linear` do: uniform within 1 / sqrt(inputs).
        self.w_in = _uniform((features, experts, hidden), inputs=features)  # (d, e, h)
        self.b_in = _uniform((experts, hidden), inputs=features)  # (e, h)
        self.w_out = _uniform((experts, hidden, classes), inputs=hidden)  # (e, h, c)
        self.b_out = _uniform((experts, classes), inputs=hidden)  # (e, c)
        self.dropout = dropout

    def forward(self, features: Tensor, routing: Routing, executor: str = "auto") -> Tensor:
        """Logits (n, c) from features (n, d) and the plan, by an executor or the fastest.

        Raises:
            ConfigError: there is no executor of this name, or it does not fit dtype and device.
        """
        dropout = self.dropout if self.training else 0.0
        return execute(features, routing, self.weights, dropout, executor)

    @property
    def weights(self) -> Weights:
        """What executors compute with."""
        return Weights(**self._parameters)  # spares small batches four look-ups of a module


def _uniform(shape: tuple[int, ...], inputs: int) -> nn.Parameter:
    bound = inputs**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
