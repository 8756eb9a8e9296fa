"""What is recorded of a run beyond its accuracy on the test images."""

from typing import ClassVar

from moelib.records.record import Numbers
from moelib.study.base import Frozen


class Reliability(Frozen):
    """How right predicted probabilities are, over a set of images."""

    accuracy: float  # share of images
    loss: float  # -ln of the probability of the true class, nats per image
    brier: float  # sum over classes of (p - y)^2, mean over images: 0 to 2
    ece: float  # expected calibration error, in bins of equal width


class Corrupted(Frozen):
    """Images under one corruption at one strength."""

    corruption: str
    strength: int  # 1 to 5
    reliability: Reliability


class RobustnessNumbers(Numbers):
    """Predictions on the test images, clean and corrupted."""

    kind: ClassVar[str] = "robustness"
    tables: ClassVar[tuple[str, ...]] = ("corrupted",)

    epoch: int  # of the weights
    clean: Reliability  # all test images
    temperature: float  # of all logits, for the least loss on validation images (Guo 2017)
    tempered: Reliability  # all test images at that temperature
    images: int  # that are corrupted: a subset of the test images
    uncorrupted: Reliability  # the same images before
    corrupted: tuple[Corrupted, ...]
    predicted: str  # of each test image its class: as many hexadecimal digits as the last one needs
