"""All experts of a head, as stacked tensors."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Experts(nn.Module):
    """E perceptrons with one hidden layer each, and the mixture of their logits.

    y_n = sum_e m_ne (W_out_e Drop(ReLU(W_in_e x_n + b_in_e)) + b_out_e)

    Rows of both weights are hidden units, so that the mixture over experts and the sum over hidden
    units are one matrix product: two products for all experts, without a copy or a loop. An expert
    with m_ne = 0 contributes exactly 0, to the output and to every gradient.

    `w_in` lies in memory with d outermost (its strides are not those of a contiguous tensor): with
    batches of up to some hundred images a CPU multiplies by it up to twice as fast.
    """

    def __init__(self, experts: int, features: int, hidden: int, classes: int, dropout: float):
        super().__init__()
        # Each expert starts as two `nn.Linear` do: uniform within 1 / sqrt(inputs).
        w_in = _uniform((features, experts, hidden), inputs=features).permute(1, 2, 0)
        self.w_in = nn.Parameter(w_in)  # (e, h, d)
        self.b_in = nn.Parameter(_uniform((experts, hidden), inputs=features))  # (e, h)
        self.w_out = nn.Parameter(_uniform((experts, hidden, classes), inputs=hidden))  # (e, h, c)
        self.b_out = nn.Parameter(_uniform((experts, classes), inputs=hidden))  # (e, c)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, mixture: Tensor) -> Tensor:
        """Logits (n, c) from features (n, d) and the weight of each expert (n, e)."""
        hidden = F.linear(features, self.w_in.flatten(0, 1), self.b_in.flatten())  # (n, e h)
        hidden = self.dropout(hidden.relu()).view(-1, *self.b_in.shape)  # (n, e, h)
        weighted = (hidden * mixture[:, :, None]).flatten(1)  # (n, e h)
        return torch.addmm(mixture @ self.b_out, weighted, self.w_out.flatten(0, 1))


def _uniform(shape: tuple[int, ...], inputs: int) -> Tensor:
    bound = inputs**-0.5
    return torch.empty(shape).uniform_(-bound, bound)
