"""Rank correlations over runs: closed forms, calibrated p-values, and heads that would mislead."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from moelib.report.statistics.association import association, associations

HEADS = np.repeat(["dense", "soft", "sparse", "switch"], 5)


def runs(seed=0, n=20):
    return np.random.default_rng(seed).standard_normal((2, n))


def test_spearman_is_that_of_scipy():
    x, y = runs()
    y = np.round(y + 0.5 * x, 1)  # with ties
    correlation = association(x, y, HEADS)
    assert correlation.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert correlation.low < correlation.rho < correlation.high


@pytest.mark.parametrize("sign", [1, -1])
def test_one_order_is_one_pooled_and_within(sign):
    x, _ = runs()
    correlation = association(x, sign * np.exp(x), HEADS)
    assert correlation.rho == pytest.approx(sign, abs=1e-12)
    assert correlation.within == pytest.approx(sign, abs=1e-12)
    assert correlation.p_value < 0.001


def test_tau_within_heads_is_of_their_pairs_alone():
    x, y = runs()
    y = np.round(y + 0.5 * x, 1)  # with ties
    of_one_head = association(x, y, ["dense"] * 20).tau
    assert of_one_head == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    # In a the two runs agree, in b and c not; pairs of two heads would all agree.
    several = association([1, 2, 13, 14, 25, 26], [1, 2, 14, 13, 26, 25], list("aabbcc"))
    assert several.tau == pytest.approx(-1 / 3, abs=1e-12) and several.rho > 0.8


def test_no_monotone_map_changes_anything():
    x, y = runs()
    assert association(x, y, HEADS) == association(np.exp(x), y**3, HEADS)


def test_heads_that_differ_in_both_measures_do_not_look_like_prediction():
    """Between heads the order is perfect, and within each head there is none."""
    x, y = runs(seed=3)
    steps = 10 * np.repeat(np.arange(4), 5)
    correlation = association(x + steps, y + steps, HEADS)
    assert correlation.rho > 0.8 and correlation.low > 0.5
    assert abs(correlation.within) < 0.5 and correlation.p_value > 0.05


def test_what_heads_hide_is_seen_within_them():
    """Within each head x and y agree; between heads they are opposed."""
    x, _ = runs(seed=4)
    steps = 10 * np.repeat(np.arange(4), 5)
    correlation = association(x + steps, x - steps, HEADS)
    assert correlation.rho < 0
    assert correlation.within == pytest.approx(1, abs=1e-12) and correlation.p_value < 0.001


def test_the_p_value_within_heads_is_uniform_without_an_association():
    p = [association(*runs(seed), HEADS).p_value for seed in range(60)]
    # Of 60 uniform values the least p of a Kolmogorov test is below 0.001 once in a thousand.
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_within_two_heads_of_two_runs_all_permutations_are_seen():
    # Orders agree in both heads: of the four sign patterns two are as extreme.
    correlation = association([1, 2, 5, 7], [1, 2, 7, 9], ["a", "a", "b", "b"])
    assert correlation.within == 1
    assert correlation.p_value == pytest.approx(0.5, abs=0.03)  # 5,000 draws: four standard errors


def test_one_run_of_each_head_says_nothing_within():
    correlation = association([1, 2, 3, 4], [1, 3, 2, 4], list("abcd"))
    assert np.isnan([correlation.within, correlation.p_value, correlation.tau]).all()
    assert correlation.rho == pytest.approx(0.8, abs=1e-12)


def test_a_frame_has_a_row_for_each_pair_and_study():
    x, y = runs()
    frame = pd.DataFrame({"study": "one", "head": HEADS, "x": x, "y": y, "same": 1.0, "z": -x})
    short = frame.head(3).assign(study="few")
    table = associations(pd.concat([frame, short]), ["x", "same"], ["y", "z"])
    assert table[["study", "measure", "outcome"]].to_numpy().tolist() == [
        ["one", "x", "y"],
        ["one", "x", "z"],
    ]
    assert (table["runs"] == 20).all()
    p, adjusted = table["p_value"].to_numpy(), table["holm"].to_numpy()
    assert adjusted == pytest.approx([max(p[0], 2 * p[1]), 2 * p[1]])  # z is the smaller
    assert associations(frame.head(0), ["x"], ["y"]).empty
