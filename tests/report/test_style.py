import matplotlib
import matplotlib.pyplot as plt
import pytest

from moelib.report import style
from moelib.report.accuracy import figures as accuracy_figures
from moelib.report.accuracy import tables as accuracy_tables

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]


def test_a_known_head_keeps_its_colour_whoever_stands_beside_it():
    assert style.colours(["sparse"])["sparse"] == style.colours(["dense", "sparse"])["sparse"]
    all_colours = style.colours([*style.KNOWN, *style.ARMS, "mine", "other"])
    assert len(set(all_colours.values())) == len(all_colours)


def test_the_same_figure_is_the_same_file(trained):
    first, second = (
        style.svg(accuracy_figures.learning_curves(accuracy_tables.epochs(trained))) for _ in "ab"
    )
    assert first == second
    assert first.count("<svg") == 1
    assert plt.get_fignums() == []


def test_style_does_not_leak(trained):
    settings = dict(matplotlib.rcParams)
    style.svg(accuracy_figures.learning_curves(accuracy_tables.epochs(trained)))
    assert dict(matplotlib.rcParams) == settings


def test_what_a_notebook_sets_while_the_first_figure_loads_is_kept(monkeypatch):
    # Its backend turns `interactive` on just then; restoring that would hide every later figure.
    monkeypatch.setitem(matplotlib.rcParams, "interactive", False)

    @style.styled
    def draw(frame):
        """Nothing."""
        matplotlib.rcParams["interactive"] = True
        return plt.figure()

    draw(None)
    assert matplotlib.rcParams["interactive"]
