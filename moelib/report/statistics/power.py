"""How many seeds a claim needs, and what a number of seeds could have seen.

All tests are of differences that are paired by seed, with Student's t. A sign-flip permutation
needs no normality, but with n seeds its p-value is at least 2^(1 - n): below ten seeds it could
never pass the smallest level of the family of thirteen claims.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats

POWER = 0.8
MOST_SEEDS = 1000  # beyond which nobody will run a study


def power(effect: float, deviation: float, seeds: int, level: float) -> float:
    """Probability that the two-sided paired t test sees a true difference.

    P(|T| > t) for T noncentral with n - 1 degrees of freedom and noncentrality
    effect sqrt(n) / deviation (Cohen 1988, chapter 2); T^2 is a noncentral F of 1 and n - 1.

    Args:
        effect: the true mean difference.
        deviation: standard deviation of the differences over seeds.
        seeds: n, at least 2.
        level: two-sided, of the test.
    """
    noncentrality = seeds * (effect / deviation) ** 2
    if noncentrality == 0:  # for which scipy has no value
        return level
    return float(stats.ncf.sf(stats.f.isf(level, 1, seeds - 1), 1, seeds - 1, noncentrality))


def needed_seeds(effect: float, deviation: float, level: float, goal: float = POWER) -> int | None:
    """Fewest seeds with which the test has a power; None if a thousand do not suffice."""
    for seeds in range(2, MOST_SEEDS + 1):
        if power(effect, deviation, seeds, level) >= goal:
            return seeds
    return None


def detectable_effect(deviation: float, seeds: int, level: float) -> float:
    """The smallest difference that so many seeds see with power 0.8."""
    scale = deviation / seeds**0.5
    low, high = 1e-6 * scale, scale
    while power(high, deviation, seeds, level) < POWER:
        high *= 2
    return float(
        optimize.brentq(lambda effect: power(effect, deviation, seeds, level) - POWER, low, high)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that a whole family errs at most at the level (Holm 1979).

    p'_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)), in ascending order.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = p.argsort()
    steps = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted.tolist()
