import math

import pytest
from scipy import stats

from moelib.statistics import Interval, exact_mcnemar, t_interval, verdict, wilson_interval


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
    with pytest.raises(ValueError, match="at least two"):
        t_interval([0.9])


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
    ("low", "high", "said"),
    [
        (0.01, 0.03, "higher"),
        (-0.03, -0.01, "lower"),
        (-0.01, 0.03, "not distinguishable"),
        (0.0, 0.03, "not distinguishable"),
        (0.02, 0.02, "not distinguishable"),  # seeds that agree by chance decide nothing
    ],
)
def test_verdict(low, high, said):
    assert verdict(Interval((low + high) / 2, low, high)) == said
