"""Synthetic records of robustness, for the tests of what reads them."""

import numpy as np
import synthetic

from moelib.records.record import Record
from moelib.records.reliability import Corrupted, Reliability, RobustnessNumbers
from moelib.study.run import Run

CELLS = [(name, level) for name in ("jpeg", "contrast") for level in (1, 5)]


def reliability(accuracy: float) -> Reliability:
    return Reliability(accuracy=accuracy, loss=2 - accuracy, brier=1 - accuracy, ece=accuracy / 10)


def robust(run: Run, lost: float = 0.1, predicted: str | None = None) -> Record:
    """Each unit of strength costs so much accuracy, from 0.9, and contrast twice as much."""
    if predicted is None:
        draw = np.random.default_rng([run.seed, len(run.head)])
        predicted = "".join(map(str, draw.integers(3, size=synthetic.IMAGES)))
    accuracies = [0.9 - lost * level / 5 * (1 + (name == "contrast")) for name, level in CELLS]
    return synthetic._record(
        run,
        RobustnessNumbers(
            epoch=3,
            clean=reliability(0.9),
            temperature=0.8,
            tempered=reliability(0.9),
            images=20,
            uncorrupted=reliability(0.9),
            corrupted=tuple(
                Corrupted(corruption=name, strength=level, reliability=reliability(accuracy))
                for (name, level), accuracy in zip(CELLS, accuracies, strict=True)
            ),
            predicted=predicted,
        ),
    )
