import pandas as pd
import pytest

from moelib.report import forest
from moelib.report.effects import COLUMNS
from moelib.report.style import MARKERS

pytestmark = pytest.mark.usefixtures("closed")

NAN = float("nan")


@pytest.fixture
def effects():
    rows = [
        ("a", "a", "switch", 3, 1.0, 0.5, 1.5, (0.8, 1.0, 1.2), NAN),
        ("a", "a", "soft", 3, 2.0, 1.5, 2.5, (1.9, 2.0, 2.1), 4.0),
        ("b", "b", "soft", 1, 3.0, NAN, NAN, (3.0,), 4.0),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.mark.parametrize("log", [False, True])
def test_panels_share_heads_order_and_axis_and_hold_every_number(effects, log):
    first, second = (figure.axes[0] for figure in forest.panels(effects, "x", line=1, log=log))
    for axes in (first, second):
        assert [text.get_text() for text in axes.get_yticklabels()] == ["soft", "switch"]
        assert axes.get_xlim() == first.get_xlim()
    low, high = first.get_xlim()
    assert low < 0.5 and high > 4


def test_the_interval_of_two_seeds_does_not_widen_the_axis(effects):
    ends = effects.assign(low=effects["low"].where(effects["head"] != "switch", 0.1))
    wide, narrow = (
        forest.panels(ends.assign(seeds=seeds), "x")[0].axes[0].get_xlim()[0] for seeds in (3, 2)
    )
    assert wide < 0.1 < narrow < 0.8


def test_panels_of_one_study_have_rows_of_their_own_heads_alone(effects):
    questions = effects.assign(study="a")
    rows = [
        [text.get_text() for text in figure.axes[0].get_yticklabels()]
        for figure in forest.panels(questions, "x")
    ]
    assert rows == [["soft", "switch"], ["soft"]]


def test_heads_differ_by_marker_and_one_seed_is_hollow(effects):
    for figure, hollow in zip(forest.panels(effects, "x"), (False, True), strict=True):
        means = [line for line in figure.axes[0].lines if line.get_markersize() == 6]
        assert {line.get_markerfacecolor() == "none" for line in means} == {hollow}
        assert {line.get_marker() for line in means} <= {MARKERS["soft"], MARKERS["switch"]}


def test_the_papers_number_has_its_own_mark(effects):
    axes = forest.panels(effects, "x")[0].axes[0]
    stars = [line for line in axes.lines if line.get_markersize() == forest.PAPER["markersize"]]
    assert 4.0 in [line.get_xdata()[0] for line in stars]


def test_the_key_explains_only_what_occurs(effects):
    text = forest.key(effects, line=1)
    assert "hollow" in text and "empty rows" in text and "cut" not in text and forest.STAR in text
    alike = effects[effects["panel"] == "a"].assign(paper=NAN)
    assert forest.key(alike) == "Mean and 95% t-interval over seeds (faint: each seed)."
    wide = alike.assign(high=alike["high"] + 9)
    assert "bars cut at the edge continue" in forest.key(wide)
