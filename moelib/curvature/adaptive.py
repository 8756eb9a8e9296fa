"""Rises of the loss on steps that are scaled by the weights themselves.

Rescaling w_1 -> a w_1, w_2 -> w_2 / a of two ReLU layers leaves the function as it is and moves
its raw curvature at will (Dinh 2017). Steps in units of |w_i| move with the weights, so what is
measured along them does not change (adaptive sharpness, Kwon 2021).
"""

import math

import torch
from scipy.optimize import brentq, minimize_scalar
from torch import Tensor
from tqdm import trange

from moelib.curvature.objective import Objective

LARGEST_SCALE = 1e3  # of the logits: 1 / temperature


def average_rise(
    objective: Objective, radius: float, draws: int, generator: torch.Generator
) -> tuple[float, float]:
    """E[L(w + rho |w| z)] - L(w) for standard normal z, and its standard error over the draws.

    Each draw is taken with both signs, which cancels all odd terms. To second order it is
    rho^2 / 2 tr(|w| H |w|) (Andriushchenko 2023, section 3).
    """
    weights, start = objective.weights, objective.value()
    rises = []
    for _ in trange(draws, desc="average rise", unit="draw", mininterval=1):
        noise = torch.randn(objective.size, generator=generator).to(weights)
        step = radius * weights.abs() * noise
        there, back = objective.value(weights + step), objective.value(weights - step)
        rises.append((there + back) / 2 - start)
    sample = torch.tensor(rises, dtype=torch.float64)  # (draws,)
    error = (sample.std() / math.sqrt(draws)).item() if draws > 1 else math.nan
    return sample.mean().item(), error


def worst_rise(objective: Objective, radius: float, steps: int) -> float:
    """max L(w + delta) - L(w) over |delta_i| <= rho |w_i|, by projected ascent.

    Steps along the sign of the gradient, which is the steepest direction in this norm, of a length
    that falls linearly from rho; the best point is kept. A lower bound of the maximum.
    """
    weights, start = objective.weights, objective.value()
    scale, best = weights.abs(), 0.0
    position = torch.zeros_like(weights)  # delta / |w|, (p,)
    for step in trange(steps, desc="worst rise", unit="step", mininterval=1):
        value, gradient = objective.value_and_gradient(weights + scale * position)
        best = max(best, value - start)
        length = radius * (1 - step / steps)
        position = (position + length * gradient.sign()).clamp(-radius, radius)
    return max(best, objective.value(weights + scale * position) - start)


def matching_temperature(logits: Tensor, labels: Tensor, loss: float) -> float | None:
    """T at which the mean cross-entropy of logits / T is `loss`; None where there is none.

    The loss is convex in 1 / T, and ln c at 1 / T = 0. Of two solutions this is the one that is
    less confident: from there to the minimum the loss only falls. A loss of ln c or more, which
    only wrong confidence gives, has none, nor has one that takes a 1 / T above `LARGEST_SCALE`.
    """
    logits = logits.double()

    def excess(scale: float) -> float:
        return torch.nn.functional.cross_entropy(logits * scale, labels).item() - loss

    if excess(0.0) <= 0:
        return None
    lowest = minimize_scalar(lambda s: excess(math.exp(s)), bounds=(-10, math.log(LARGEST_SCALE)))
    scale = math.exp(lowest.x)
    if excess(scale) > 0:
        return None
    return 1 / brentq(excess, 0.0, scale)
