"""Means and their intervals against closed forms, simulated coverage, and the table."""

import math

import numpy as np
import pytest
from prose import refusal
from scipy import stats

from moelib.modalities.benchmarks.scores import Score, Scores, mean, means


def test_one_value_a_group_gives_wilsons_interval():
    """v = p (1 - p) / (n - 1) if each value is a group: n* = n - 1."""
    values = [1] * 30 + [0] * 11
    score = mean("accuracy", values, range(41))
    expected = stats.binomtest(30, 41).statistic, *_wilson(30 / 41, 40)
    assert (score.value, score.low, score.high) == pytest.approx(expected, rel=1e-12)
    exact = stats.binomtest(300, 410).proportion_ci(0.95, method="wilson")
    score = mean("accuracy", [1] * 300 + [0] * 110, range(410))
    assert (score.low, score.high) == pytest.approx((exact.low, exact.high), abs=2e-4)


def test_copies_of_an_answer_add_nothing():
    values, groups = [1, 0, 0, 1, 1, 0, 1], range(7)
    single = mean("accuracy", values, groups)
    copies = mean("accuracy", np.repeat(values, 6).tolist(), np.repeat(groups, 6).tolist())
    assert (copies.value, copies.low, copies.high) == pytest.approx(
        (single.value, single.low, single.high), rel=1e-12
    )
    assert (single.n, copies.n, copies.groups) == (7, 42, 7)


def test_groups_that_all_err_alike_give_no_more_than_independent_answers():
    """Each group has one right and one wrong: v = 0, and n* is capped at n = 8."""
    score = mean("accuracy", [1, 0] * 4, [0, 0, 1, 1, 2, 2, 3, 3])
    assert (score.low, score.high) == pytest.approx(_wilson(0.5, 8), rel=1e-12)


def test_all_right_is_as_sure_as_the_number_of_groups():
    score = mean("accuracy", [1] * 6, [0, 0, 0, 1, 1, 1])
    assert (score.value, score.high) == (1, 1)
    assert score.low == pytest.approx(2 / (2 + 1.959964**2), rel=1e-12)  # n / (n + z^2), n* = 2
    assert mean("accuracy", [0, 0], [0, 1]).low == 0


def test_a_mean_of_nothing_is_none_and_of_one_group_has_no_interval():
    assert mean("accuracy", [], []) == Score("accuracy", "all", None, 0, 0)
    assert mean("accuracy", [1, 0], ["a", "a"]) == Score("accuracy", "all", 0.5, 2, 1)


def test_the_interval_covers_clustered_answers():
    """Of 300 groups with 6 answers each, in which answers agree: 95 % within 4 standard errors."""
    draw = np.random.default_rng(0)
    runs, covered = 400, 0
    for _ in range(runs):
        easy = draw.beta(2, 1, 300)  # mean 2 / 3
        values = draw.random((300, 6)) < easy[:, None]
        score = mean("a", values.ravel().tolist(), np.repeat(range(300), 6).tolist())
        covered += score.low <= 2 / 3 <= score.high
    assert abs(covered / runs - 0.95) < 4 * math.sqrt(0.95 * 0.05 / runs)


def test_subsets_are_sorted_and_none_belongs_to_none():
    scores = means("a", [1, 0, 1, 1], [0, 1, 2, 3], "steps", [10, 2, 2, None])
    assert [(s.subset, s.value, s.n) for s in scores] == [("steps 2", 0.5, 2), ("steps 10", 1.0, 1)]


def test_the_table_and_its_plain_form():
    scores = Scores(
        "X",
        (mean("accuracy", [1, 0], [0, 1]), Score("chi", "all", None, 0, share=False)),
        {"odd": 2},
    )
    lines = str(scores).splitlines()
    assert lines[0] == "X" and lines[-1] == "odd: 2"
    assert lines[3].split() == ["accuracy", "all", "50.00", "5.46", "to", "94.54", "2", "2"]
    assert lines[4].split() == ["chi", "all", "none", "0"]
    assert scores.plain()["scores"][0]["value"] == 0.5
    assert scores["accuracy"].n == 2
    with refusal(KeyError, "accuracy", "split dev"):
        scores["accuracy", "split dev"]


def _wilson(p, n, z=1.959964):
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
