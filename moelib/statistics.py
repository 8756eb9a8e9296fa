"""How sure a number is: intervals over seeds and over test images, and paired comparisons."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95  # of every interval of the book; a difference is called at p < 1 - CONFIDENCE


class Interval(NamedTuple):
    """An estimate and its confidence interval."""

    estimate: float
    low: float
    high: float


class McNemar(NamedTuple):
    """Two classifiers on the same images: where only one is right, and the exact p-value."""

    only_first: int
    only_second: int
    p_value: float


def t_interval(values: Sequence[float]) -> Interval:
    """Mean and Student's t-interval of independent values, such as one per seed.

    Raises:
        ValueError: there are fewer than two values, so that their spread is unknown.
    """
    if len(values) < 2:
        raise ValueError("An interval over seeds needs at least two of them.")
    mean = float(np.mean(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    return Interval(mean, mean - half, mean + half)


def wilson_interval(successes: int, trials: int) -> Interval:
    """Share of successes and its score interval (Wilson 1927): accuracy over test images, say."""
    low, high = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / trials, float(low), float(high))


def exact_mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Whether two classifiers err equally often on the same images (McNemar 1947), two-sided.

    `first` and `second` (n,) of bool say which images each has right. Given that just one of the
    two is right, each is that one with probability 1/2 under the null: an exact binomial test.

    >>> exact_mcnemar([True, True, True, False], [False, False, True, True])
    McNemar(only_first=2, only_second=1, p_value=1.0)
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    decided = only_first + only_second
    p_value = float(stats.binomtest(only_first, decided).pvalue) if decided else 1.0
    return McNemar(only_first, only_second, p_value)


def verdict(difference: Interval) -> str:
    """Say `higher`, `lower` or `not distinguishable` of an interval of differences.

    An interval without width comes from seeds that happen to agree, and decides nothing.
    """
    if difference.low == difference.high or difference.low <= 0 <= difference.high:
        return "not distinguishable"
    return "higher" if difference.low > 0 else "lower"
