"""How far predicted probabilities can be trusted."""

import math

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from moelib.records.reliability import Reliability

LIMIT = 5.0  # of |ln T|: beyond e^5 all classes are alike, or one is certain


def reliability(logits: Tensor, labels: Tensor, bins: int) -> Reliability:
    """Accuracy, loss, Brier score and calibration error of softmax(logits).

    Args:
        logits: (n, c); sums are in float64.
        labels: (n,)
        bins: of the calibration error.
    """
    logits = logits.double()
    probabilities = logits.softmax(dim=1)  # (n, c)
    member = F.one_hot(labels, logits.shape[1])  # (n, c)
    confidence, predicted = probabilities.max(dim=1)  # (n,)
    right = predicted == labels
    return Reliability(
        accuracy=right.double().mean().item(),
        loss=F.cross_entropy(logits, labels).item(),
        brier=(probabilities - member).square().sum(dim=1).mean().item(),
        ece=calibration_error(confidence, right, bins),
    )


def calibration_error(confidence: Tensor, right: Tensor, bins: int) -> float:
    """ECE = sum_b n_b / n |accuracy_b - confidence_b| over bins ((b - 1) / bins, b / bins].

    After Guo 2017, eq. 3. It is biased upwards by sampling, the more the finer the bins.

    Args:
        confidence: (n,) the largest probability of each image.
        right: (n,) of bool.
        bins: how many, of equal width.

    >>> calibration_error(torch.tensor([0.75, 0.75]), torch.tensor([True, False]), bins=2)
    0.25
    """
    index = (confidence * bins).ceil().long().clamp(1, bins) - 1  # (n,)
    gap = (right.double() - confidence.double()) / len(confidence)
    summed = torch.zeros(bins, dtype=torch.float64, device=gap.device).index_add(0, index, gap)
    return summed.abs().sum().item()


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T for which softmax(logits / T) has the least cross-entropy (Guo 2017, section 4.2)."""
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / math.exp(log_temperature), labels).item()

    return math.exp(minimize_scalar(loss, bounds=(-LIMIT, LIMIT), method="bounded").x)
