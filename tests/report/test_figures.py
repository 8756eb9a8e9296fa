import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import synthetic

from moelib.report import comparisons, figures, frames
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


@pytest.fixture(scope="module")
def analysed(study):
    return [
        synthetic.analysed(Run(study, head, 0), (0.7, 0.1, 0.2, 0)) for head in ("soft", "sparse")
    ]


def drawn(axes):
    """The lines that hold data; seaborn adds empty ones for its legend."""
    return [line for line in axes.lines if len(line.get_xdata())]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_known_head_keeps_its_colour_whoever_stands_beside_it():
    assert figures.colours(["sparse"])["sparse"] == figures.colours(["dense", "sparse"])["sparse"]
    all_colours = figures.colours([*figures.KNOWN, "mine", "other"])
    assert len(set(all_colours.values())) == len(all_colours)


def test_learning_curves_show_both_measures_of_both_splits(trained):
    figure = figures.learning_curves(frames.epochs(trained))
    titles = {axes.get_title() for axes in figure.axes}
    assert titles == {
        f"{m}, {s} images" for m in ("loss", "accuracy") for s in ("train", "validation")
    }
    assert all(len(drawn(axes)) == 3 for axes in figure.axes)  # a line for each head
    assert legend(figure) == ["dense", "soft", "sparse"]


def test_heads_of_one_colour_share_an_entry_of_the_legend(trained):
    frame = frames.epochs(trained)
    names = {"dense": "dense", "soft": "soft-e4-h8", "sparse": "soft-e8-h8"}
    figure = figures.learning_curves(frame.assign(head=frame["head"].map(names)))
    assert all(len(drawn(axes)) == 3 for axes in figure.axes)
    assert legend(figure) == ["dense", "soft"]


def test_accuracy_bars_are_the_intervals(trained):
    table = comparisons.accuracy(trained)
    axes = figures.accuracy(table, frames.finals(trained)).axes[0]
    assert list(axes.lines[0].get_xdata()) == [table["low"][0], table["high"][0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(table["head"])


def test_differences_are_in_points(trained):
    table = comparisons.differences(trained)
    axes = figures.differences(table, comparisons.seed_differences(trained)).axes[0]
    assert list(axes.lines[1].get_xdata()) == pytest.approx([100 * table["difference"][0]])


def test_bars_show_mass_and_selections_beside_the_uniform_share(analysed):
    figure = figures.expert_usage(frames.expert_usage(analysed).query("split == 'test'"))
    axes = figure.axes[0]
    heights = [bar.get_height() for container in axes.containers for bar in container]
    assert heights == pytest.approx([0.7, 0.1, 0.2, 0] * 2)
    assert axes.lines[-1].get_ydata()[0] == 1 / 4


def test_usage_over_epochs_has_a_line_for_each_expert(trained):
    chosen = [record for record in trained if record.head == "soft" and record.seed == 0]
    axes = figures.usage_over_epochs(frames.usage_per_epoch(chosen)).axes[0]
    assert len(drawn(axes)) == 4 + 1
    assert list(drawn(axes)[3].get_ydata()) == [0, 0, 0]  # the dead expert lies on 0


def test_uniform_use_is_that_of_each_head(analysed, trained):
    bars = frames.expert_usage(analysed)
    lines = frames.usage_per_epoch([r for r in trained if r.seed == 0 and r.head != "dense"])
    for draw, usage in [(figures.expert_usage, bars), (figures.usage_over_epochs, lines)]:
        fewer = usage[(usage["head"] == "soft") | (usage["expert"] < 2)]
        drawn_at = {
            axes.get_title().split(" | ")[-1]: axes.lines[-1].get_ydata()[0]
            for axes in draw(fewer).axes
        }
        assert drawn_at == {"soft": 1 / 4, "sparse": 1 / 2}


def test_entropy_is_drawn_with_its_bound(trained):
    axes = figures.entropy(frames.epochs(trained), {"soft": 1.5}).axes[0]
    assert axes.lines[-1].get_ydata()[0] == 1.5


def test_heat_map_leaves_out_what_is_unknown(analysed):
    figure = figures.class_expert(frames.class_expert(analysed))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["soft, seed 0", "sparse, seed 0"]
    assert figure.axes[0].collections[0].get_array().shape == (2, 4)


def test_the_same_figure_is_the_same_file(trained):
    first, second = (figures.svg(figures.learning_curves(frames.epochs(trained))) for _ in "ab")
    assert first == second
    assert first.count("<svg") == 1
    assert plt.get_fignums() == []


def test_style_does_not_leak(trained):
    before = dict(matplotlib.rcParams)
    figures.svg(figures.learning_curves(frames.epochs(trained)))
    assert dict(matplotlib.rcParams) == before


def test_what_a_notebook_sets_while_the_first_figure_loads_is_kept(monkeypatch):
    # Its backend turns `interactive` on just then; restoring that would hide every later figure.
    monkeypatch.setitem(matplotlib.rcParams, "interactive", False)

    @figures.styled
    def draw(frame):
        """Nothing."""
        matplotlib.rcParams["interactive"] = True
        return plt.figure()

    draw(None)
    assert matplotlib.rcParams["interactive"]
