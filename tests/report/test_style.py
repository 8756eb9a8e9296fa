import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import synthetic

from moelib.report import style
from moelib.report.accuracy import figures as accuracy_figures
from moelib.report.accuracy import tables as accuracy_tables
from moelib.study.run import Run

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]


@pytest.fixture(scope="module")
def study():
    return synthetic.study(seeds=(0, 1))


@pytest.fixture(scope="module")
def trained(study):
    runs = [Run(study, head, seed) for head in study.heads for seed in study.seeds]
    return [
        synthetic.trained(run, np.arange(10) < 6 + run.seed + len(run.head) % 3) for run in runs
    ]


def test_a_known_head_keeps_its_colour_whoever_stands_beside_it():
    assert style.colours(["sparse"])["sparse"] == style.colours(["dense", "sparse"])["sparse"]
    all_colours = style.colours([*style.KNOWN, "mine", "other"])
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
