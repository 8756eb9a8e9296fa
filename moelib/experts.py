"""All experts of a head, as stacked tensors."""

from typing import ClassVar

import torch
from torch import Tensor, nn


class Experts(nn.Module):
    """E perceptrons with one hidden layer each, and the mixture of their logits.

    y_n = sum_e m_ne (W_out_e Drop(ReLU(W_in_e x_n + b_in_e)) + b_out_e)

    Stacked, all hidden units of all experts are one axis e h. Both layers are then one matrix
    product each, without a copy or a loop, and the second one sums over hidden units and experts at
    once. An expert with m_ne = 0 contributes exactly 0, to the output and to every gradient.
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
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, mixture: Tensor) -> Tensor:
        """Logits (n, c) from features (n, d) and the weight of each expert (n, e)."""
        hidden = torch.addmm(self.b_in.flatten(), features, self.w_in.flatten(1))  # (n, e h)
        hidden = self.dropout(hidden.relu()).view(-1, *self.b_in.shape)  # (n, e, h)
        weighted = (hidden * mixture[:, :, None]).flatten(1)  # (n, e h)
        return torch.addmm(mixture @ self.b_out, weighted, self.w_out.flatten(0, 1))


def _uniform(shape: tuple[int, ...], inputs: int) -> nn.Parameter:
    bound = inputs**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
