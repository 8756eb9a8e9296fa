"""How sure a number is: intervals over seeds and over test images, and paired comparisons."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95  # of every interval of the book; a difference is called at p < 1 - CONFIDENCE
FEWEST_RUNS = 4  # of which an order is judged: of three, chance sorts two in six
RESAMPLES = 10_000  # of the runs: p of order 1 / 10,000 outlasts the correction for all claims
ALIKE = "not distinguishable"  # the verdict on what an interval or a test cannot tell apart
ROUNDING = 1e-9  # of the ends of an interval, relative to them, and far more than it ever is


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


class Kendall(NamedTuple):
    """Kendall's tau-b of two orders, its bootstrap interval, and the p-value of no association."""

    tau: float
    low: float
    high: float
    p_value: float


def t_interval(values: Sequence[float]) -> Interval:
    """Mean and Student's t-interval of independent values, such as one per seed.

    Raises:
        ValueError: there are fewer than two values, so that their spread is unknown.

    >>> mean, low, high = t_interval([1.0, 3.0])  # 2 -+ 12.706 sqrt(2) / sqrt(2)
    >>> mean, round(high - mean, 3)
    (2.0, 12.706)
    """
    if len(values) < 2:
        raise ValueError("An interval over seeds needs at least two of them.")
    mean = float(np.mean(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    return Interval(mean, mean - half, mean + half)


def seed_interval(values: Sequence[float]) -> Interval:
    """The `t_interval` of one value per seed; of a single seed the ends are NaN."""
    return t_interval(values) if len(values) > 1 else Interval(values[0], math.nan, math.nan)


def median_interval(values: Sequence[float]) -> Interval:
    """Median of independent values, and an interval between two of them (Conover 1999, 3.2).

    It holds whatever the distribution, and covers at least as often as it says; with fewer than six
    values none does, and the ends are NaN.

    >>> median_interval([1, 2, 3, 4, 5, 6])  # P(all on one side) = 2 / 2^6 < 5 %
    Interval(estimate=3.5, low=1.0, high=6.0)
    """
    interval = stats.quantile_test(values, p=0.5).confidence_interval(CONFIDENCE)
    return Interval(float(np.median(values)), float(interval.low), float(interval.high))


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


def kendall(x: ArrayLike, y: ArrayLike) -> Kendall:
    """Whether two measures put runs in the same order: tau-b (Kendall 1945), from -1 to 1.

    tau_b = sum_ij s_ij t_ij / sqrt(sum_ij s_ij^2 sum_ij t_ij^2), with s_ij = sign(x_i - x_j) and
    t_ij = sign(y_i - y_j). The interval is the percentile bootstrap over pairs (x_i, y_i), always
    with the same resamples; those in which one measure is constant have no tau and are left out.
    Of orders that agree in full every resample agrees in full: they have no interval (NaN).

    Raises:
        ValueError: there are fewer than four pairs, or all values of a measure are equal.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < FEWEST_RUNS:
        raise ValueError(f"An order needs at least {FEWEST_RUNS} runs; there are {len(x)}.")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("A measure that is the same for all runs puts them in no order.")
    test = stats.kendalltau(x, y)
    low, high = percentiles(resampled_taus(x, y))
    if low == high:
        low = high = math.nan
    return Kendall(float(test.statistic), low, high, float(test.pvalue))


def resampled_taus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tau-b of each bootstrap resample of pairs (x_i, y_i); NaN where a measure is constant."""
    return resampled(tau_b, x, y)


def resampled(statistic: Callable[..., np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A statistic of each bootstrap resample of pairs (x_i, y_i), always the same resamples."""
    resampling = {"paired": True, "vectorized": True, "n_resamples": RESAMPLES, "rng": 0}
    resampling["batch"] = 1000  # bounds the memory, and changes no number
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # told by NaN themselves
        result = stats.bootstrap((x, y), statistic, method="percentile", **resampling)
    return result.bootstrap_distribution


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The ends of the percentile interval of resampled values, without those that are NaN."""
    low, high = np.nanquantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def tau_b(
    x: np.ndarray, y: np.ndarray, axis: int = -1, alike: np.ndarray | bool = True
) -> np.ndarray:
    """Tau-b of many pairs of measures at once, along an axis; NaN where one is constant.

    `alike` (n, n) says which two of the n values are compared, by default all.

    >>> tau_b(np.array([1, 2, 3]), np.array([1, 3, 2])).round(3).item()  # 2 pairs agree, 1 not
    0.333
    """
    x, y = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    n = x.shape[-1]
    first, second = np.nonzero(np.triu(np.broadcast_to(alike, (n, n)), k=1))
    s = np.sign(x[..., first] - x[..., second])
    t = np.sign(y[..., first] - y[..., second])
    with np.errstate(invalid="ignore"):
        return (s * t).sum(-1) / np.sqrt((s**2).sum(-1) * (t**2).sum(-1))


def verdict(interval: Interval, null: float = 0) -> str:
    """Say `higher` or `lower` of an interval beside the value of no effect, or `ALIKE`.

    One no wider than rounding makes it comes from seeds that happen to agree, and decides nothing.
    """
    _, low, high = interval
    has_width = high - low > ROUNDING * max(abs(low), abs(high))
    if not has_width or low <= null <= high:
        return ALIKE
    return "higher" if low > null else "lower"
