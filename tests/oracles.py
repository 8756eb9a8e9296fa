"""Slow and plain computations that fast ones are compared with."""

import torch


def mixture_by_loops(features, routing, weights):
    """Logits (n, c) of a mixture: one image, one choice at a time."""
    w_in, b_in, w_out, b_out = weights
    rows = []
    for x, choices, shares in zip(features, routing.indices, routing.weights, strict=True):
        y = 0
        for e, share in zip(choices.tolist(), shares, strict=True):
            hidden = (x @ w_in[:, e] + b_in[e]).relu()
            y = y + share * (hidden @ w_out[e] + b_out[e])
        rows.append(y)
    return torch.stack(rows)
