"""Hypotheses about a number that each seed has: for, against, or not decided.

A hypothesis is about a mean over seeds, on a scale on which differences add up: ratios are taken as
logarithms. Each has two one-sided p-values: `p_for` is small if the values speak for it, and
`p_against` if they speak for its opposite. What neither speaks for is not decided.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from moelib.report.statistics.intervals import CONFIDENCE, ROUNDING, t_interval
from moelib.report.statistics.power import POWER, detectable_effect, holm, needed_seeds

ABOVE, BELOW, WITHIN = "above", "below", "within"
SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
LEVEL = 1 - CONFIDENCE  # of a family of hypotheses


class Evidence(NamedTuple):
    """What is known of one number: an estimate with its 95 % interval, and two p-values.

    Ratios are ratios here, and no logarithms. Unknown numbers are NaN.
    """

    name: str
    estimate: float
    low: float
    high: float
    seeds: int
    p_for: float
    p_against: float
    deviation: float  # over seeds, on the scale of the test

    @property
    def decidable(self) -> bool:
        """Whether the spread over seeds, or what stands in for it, is known."""
        return not math.isnan(self.p_for)


def over_seeds(
    name: str, values: Sequence[float], kind: str, threshold: float, ratio: bool = False
) -> Evidence:
    """Student's t tests of a mean over seeds against a threshold.

    `above`: the mean is above the threshold; against: below. `below`: the other way round.
    `within`: the mean is within the threshold of 0, on both sides, by two one-sided tests
    (Schuirmann 1987); against: it is beyond, on one of the sides (Bonferroni for the two). Of
    values without any spread a sign test decides, which needs ten seeds for the family of claims.

    Args:
        name: of the number.
        values: one for each seed; of a ratio the ratios, whose logarithms are tested.
        kind: above, below or within.
        threshold: on the scale of the test; of a ratio its logarithm.
        ratio: whether the values are ratios.

    >>> evidence = over_seeds("accuracy", [1.0, 2.0, 3.0], "above", 0.0)
    >>> evidence.estimate, round(evidence.p_for, 3), round(evidence.p_against, 3)
    (2.0, 0.037, 0.963)
    """
    unknown = Evidence(name, math.nan, math.nan, math.nan, len(values), *[math.nan] * 3)
    sample = np.asarray(values, dtype=float)
    if ratio:
        if not (sample > 0).all():
            return unknown
        sample = np.log(sample)
    inverse = math.exp if ratio else float
    if len(sample) < 2:
        return unknown._replace(estimate=inverse(sample.mean()) if len(sample) else math.nan)
    mean, low, high = t_interval(sample)
    deviation = float(sample.std(ddof=1))
    # Seeds that agree to the last digit, as accuracies of 100 % do: their signs alone count.
    alike = deviation <= ROUNDING * max(abs(mean), abs(threshold))
    p_for, p_against = (_sign_p_values if alike else _p_values)(sample, kind, threshold)
    ends = {"estimate": inverse(mean), "low": inverse(low), "high": inverse(high)}
    spread = 0.0 if alike else deviation
    return unknown._replace(**ends, p_for=p_for, p_against=p_against, deviation=spread)


def certain(name: str, value: float, holds: bool) -> Evidence:
    """A number that no seed can change, such as a count of parameters; it has none."""
    return Evidence(name, value, value, value, 0, float(not holds), float(holds), 0.0)


def all_of(parts: Sequence[Evidence]) -> tuple[float, float]:
    """p-values for all of several hypotheses, and against at least one of them.

    For: the largest (intersection-union, Berger 1982). Against: the smallest times their number
    (Bonferroni). NaN if one of them is not decidable.
    """
    if not parts or not all(part.decidable for part in parts):
        return math.nan, math.nan
    p_for = max(part.p_for for part in parts)
    return p_for, min(1.0, len(parts) * min(part.p_against for part in parts))


class Decision(NamedTuple):
    """What a family of hypotheses lets one say of one of them."""

    verdict: str
    p_value: float  # two-sided, for or against; NaN where it cannot be tested
    adjusted: float  # by Holm's correction for the family


def decisions(p_values: Sequence[tuple[float, float]]) -> list[Decision]:
    """A verdict on each hypothesis of a family, from its p-values for and against.

    One that cannot be tested (NaN) counts in the family as one that nothing speaks for.
    """
    both = np.reshape(p_values, (-1, 2))
    two_sided = np.minimum(1.0, 2 * both.min(axis=1))  # NaN stays NaN
    adjusted = holm(np.nan_to_num(two_sided, nan=1.0))
    return [
        Decision(_verdict(p_for, p_against, p), float(p_value), p)
        for (p_for, p_against), p_value, p in zip(both, two_sided, adjusted, strict=True)
    ]


def _verdict(p_for: float, p_against: float, adjusted: float) -> str:
    if adjusted > LEVEL:
        return INCONCLUSIVE
    return SUPPORTED if p_for < p_against else CONTRADICTED


def detectable(part: Evidence, level: float) -> float:
    """The smallest effect that the seeds of this number see with power 0.8; NaN where unknown."""
    if part.seeds < 2 or not part.deviation > 0:
        return math.nan
    return detectable_effect(part.deviation, part.seeds, level)


def seeds_for(part: Evidence, effect: float, level: float, tests: int = 1) -> int | None:
    """How many seeds see an effect with power 0.8, if they spread as these do; None if unknown.

    Of two seeds the spread is as good as unknown. Where several `tests` must all succeed, each has
    a power of 1 - 0.2 / tests, so that together they fail as seldom. Equivalence takes two of them,
    which see that there is no effect as large, where there is none at all.
    """
    if part.seeds < 3 or not part.deviation > 0:
        return None
    return needed_seeds(effect, part.deviation, level, 1 - (1 - POWER) / tests)


def _p_values(values: np.ndarray, kind: str, threshold: float) -> tuple[float, float]:
    def one_sided(against: float, alternative: str) -> float:
        return float(stats.ttest_1samp(values, against, alternative=alternative).pvalue)

    above, below = one_sided(threshold, "greater"), one_sided(threshold, "less")
    if kind == WITHIN:
        beyond = min(above, one_sided(-threshold, "less"))
        return max(below, one_sided(-threshold, "greater")), min(1.0, 2 * beyond)
    return (above, below) if kind == ABOVE else (below, above)


def _sign_p_values(values: np.ndarray, kind: str, threshold: float) -> tuple[float, float]:
    value, p = values[0], 0.5 ** len(values)
    beyond = {ABOVE: value - threshold, BELOW: threshold - value, WITHIN: threshold - abs(value)}
    if beyond[kind] == 0:
        return 1.0, 1.0
    return (p, 1.0) if beyond[kind] > 0 else (1.0, p)
