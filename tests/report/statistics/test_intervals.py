import math

import numpy as np
import pytest
from prose import refusal
from scipy import stats

from moelib.report.statistics import intervals
from moelib.report.statistics.intervals import (
    Interval,
    exact_mcnemar,
    kendall,
    median_interval,
    t_interval,
    verdict,
    wilson_interval,
)


def test_t_interval_of_two_values_is_worked_out_by_hand():
    # Mean 2; standard error |3 - 1| / 2 = 1; t(0.975, 1 degree of freedom) = tan(0.475 pi).
    half = math.tan(0.475 * math.pi)
    assert t_interval([1.0, 3.0]) == pytest.approx((2.0, 2.0 - half, 2.0 + half), rel=1e-12)


def test_t_interval_agrees_with_the_t_test_at_its_own_ends():
    values = [0.91, 0.93, 0.90, 0.95]
    interval = t_interval(values)
    for end in (interval.low, interval.high):
        assert stats.ttest_1samp(values, end).pvalue == pytest.approx(0.05, abs=1e-9)


def test_t_interval_of_equal_values_has_no_width():
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_one_value_has_no_interval():
    with refusal(ValueError, "seeds", "at least two"):
        t_interval([0.9])


def test_median_interval_lies_between_order_statistics():
    # Of 12 values, all but 2 * P(Binomial(12, 1/2) <= 2) = 3.9 % lie with ends at the 3rd and 10th.
    interval = median_interval(list(range(1, 13)))
    assert interval.estimate == 6.5
    assert (interval.low, interval.high) == (3, 10)


def test_median_interval_covers_at_least_as_often_as_it_says():
    generator = np.random.default_rng(0)
    intervals = [median_interval(generator.exponential(size=11)) for _ in range(400)]
    coverage = np.mean([interval.low <= np.log(2) <= interval.high for interval in intervals])
    assert coverage > 0.93  # 0.95 less two standard errors of 400 draws


def test_a_median_of_five_values_has_no_interval():
    interval = median_interval(
        [1.0, 2.0, 3.0, 4.0, 5.0]
    )  # 2 * (1/2)^5 = 6 % lie outside all of them
    assert interval.estimate == 3.0
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_wilson_interval_is_the_closed_form():
    successes, trials, z = 8, 10, stats.norm.ppf(0.975)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = (
        z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    )
    assert wilson_interval(8, 10) == pytest.approx((share, centre - half, centre + half), rel=1e-9)


def test_wilson_interval_stays_within_0_and_1_at_the_ends():
    assert wilson_interval(10, 10).high == pytest.approx(1.0)
    assert wilson_interval(10, 10).low < 0.8
    assert wilson_interval(0, 10).low == pytest.approx(0.0)


def test_mcnemar_counts_only_images_on_which_the_two_differ():
    first = [True] * 8 + [False] + [True] * 50 + [False] * 30
    second = [False] * 8 + [True] + [True] * 50 + [False] * 30
    test = exact_mcnemar(first, second)
    # 8 against 1: 2 (C(9,0) + C(9,1)) / 2^9 = 20 / 512.
    assert (test.only_first, test.only_second) == (8, 1)
    assert test.p_value == pytest.approx(20 / 512, rel=1e-12)
    assert exact_mcnemar(second, first).p_value == pytest.approx(test.p_value)


def test_classifiers_that_agree_everywhere_have_p_value_1():
    assert exact_mcnemar([True, False], [True, False]) == (0, 0, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.03, "higher"),
        (-0.03, -0.01, "lower"),
        (-0.01, 0.03, "not distinguishable"),
        (0.0, 0.03, "not distinguishable"),
        (0.02, 0.02, "not distinguishable"),  # seeds that agree by chance decide nothing
        (math.nan, math.nan, "not distinguishable"),
    ],
)
def test_verdict(low, high, words):
    assert verdict(Interval((low + high) / 2, low, high)) == words


@pytest.mark.parametrize("better", range(1, 20))
def test_seeds_that_agree_up_to_rounding_decide_nothing(better):
    """In each of three seeds as many of 360 images more are right; in floats that is not one."""
    interval = t_interval([(right + better) / 360 - right / 360 for right in (251, 296, 333)])
    assert verdict(interval) == "not distinguishable"
    assert interval.estimate == pytest.approx(better / 360, rel=1e-12)


@pytest.mark.parametrize("better", [1e-6, 1.0, 1e6])
def test_a_narrow_interval_has_a_width_all_the_same(better):
    interval = t_interval([better, better * (1 + 1e-6), better * (1 - 1e-6)])
    assert verdict(interval) == "higher"


def test_tau_counts_pairs_that_agree_and_disagree():
    # Of the ten pairs of five, two disagree: (2, 3) and (4, 5).
    order = kendall([1, 2, 3, 4, 5], [1, 3, 2, 5, 4])
    assert order.tau == pytest.approx((8 - 2) / 10)
    # Mahonian numbers of n = 5: 1 + 4 + 9 of the 120 orders have at most two inversions.
    assert order.p_value == pytest.approx(2 * (1 + 4 + 9) / 120)


def test_the_order_of_a_measure_is_all_that_matters_to_tau():
    x, y = np.array([0.1, 3.0, 2.0, 7.0, 5.0, 4.0]), np.array([5.0, 3.0, 3.0, 2.0, 1.0, 4.0])
    assert kendall(np.log(x), y**3) == kendall(x, y)
    assert kendall(-x, y).tau == -kendall(x, y).tau


def test_resampled_taus_are_those_of_scipy_also_with_ties():
    generator = np.random.default_rng(0)
    x, y = generator.integers(4, size=(2, 20, 8)).astype(float)
    expected = [stats.kendalltau(a, b).statistic for a, b in zip(x, y, strict=True)]
    assert intervals.tau_b(x, y) == pytest.approx(expected, rel=1e-12)


def test_the_interval_of_tau_is_the_same_every_time_and_holds_the_estimate():
    generator = np.random.default_rng(1)
    x = generator.normal(size=12)
    y = x + generator.normal(size=12)
    order = kendall(x, y)
    assert order == kendall(x, y)
    assert -1 <= order.low < order.tau < order.high <= 1


def test_a_wide_sample_narrows_the_interval_of_tau():
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(2, 80))
    few, many = kendall(x[:8], y[:8]), kendall(x, y)
    assert many.high - many.low < (few.high - few.low) / 2
    # Uncorrelated; the deviation of tau is sqrt(2 (2n + 5) / 9n(n - 1)) = 0.076 at n = 80.
    assert abs(many.tau) < 3 * 0.076


def test_resamples_without_an_order_are_left_out():
    # Of four runs, 1 resample in 64 draws one run four times, and has no tau.
    order = kendall([1, 2, 3, 4], [1, 2, 4, 3])
    assert order.tau == pytest.approx(2 / 3)
    assert (order.low, order.high) == (-1.0, 1.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_orders_that_agree_in_full_have_no_interval(sign):
    order = kendall([1, 2, 3, 4], sign * np.array([2, 3, 5, 7]))
    assert order.tau == sign
    assert np.isnan(order.low) and np.isnan(order.high)
    assert order.p_value == pytest.approx(2 / 24)  # this order and its opposite, of 4! orders


@pytest.mark.parametrize(
    ("x", "y", "names"),
    [
        ([1, 2, 3], [1, 2, 3], ("4 runs", 3)),
        ([1, 1, 1, 1], [1, 2, 3, 4], ("measure", "same")),
        ([1, 2, 3, 4], [2, 2, 2, 2], ("measure", "same")),
    ],
)
def test_what_has_no_order_is_refused(x, y, names):
    with refusal(ValueError, "order", *names):
        kendall(x, y)
