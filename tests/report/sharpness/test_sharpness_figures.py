import drawn
import matplotlib.pyplot as plt
import numpy as np
import pytest
import synthetic

from moelib.report import style
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.sharpness import figures, tables

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]

HEADS = ("dense", "soft", "sparse")
SHARPER = {"dense": 1.0, "soft": 4.0, "sparse": 2.0}


@pytest.fixture(scope="module")
def sharp(runs):
    return [synthetic.sharp(run, SHARPER[run.head] * (1 + 3 * run.seed)) for run in runs]


def test_curvature_has_a_dot_for_each_seed_and_a_tick_at_the_geometric_mean(sharp):
    figure = figures.curvature(tables.curvature(sharp), ["lambda_max", "trace"])
    assert [axes.get_title() for axes in figure.axes] == [
        "largest eigenvalue, train",
        "largest eigenvalue, test",
        "trace, train",
        "trace, test",
    ]
    dots, tick = drawn.lines(figure.axes[0], style.colours(HEADS)["soft"])
    assert list(dots.get_xdata()) == [4.0, 16.0]
    assert tick.get_xdata()[0] == pytest.approx(8.0)
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()  # train beside test


def test_a_measure_that_no_run_has_gets_no_panels(sharp):
    frame = tables.curvature(sharp).assign(matched_max=np.nan)
    assert len(figures.curvature(frame, ["lambda_max", "matched_max"]).axes) == 2


def test_a_value_that_a_logarithmic_axis_cannot_hold_is_left_out(sharp):
    frame = tables.curvature(sharp)
    frame.loc[(frame["head"] == "soft") & (frame["seed"] == 0), "trace"] = -1.0
    axes = figures.curvature(frame, ["trace"]).axes[0]
    dots, tick = drawn.lines(axes, style.colours(HEADS)["soft"])
    assert list(dots.get_xdata()) == [160.0]
    assert list(tick.get_xdata()) == pytest.approx([160.0])


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1.1), (101, 124), (2.2, 2.7), (1.9, 3), (0.3, 4), (2, 900), (1e-3, 1e4)]
)
def test_a_logarithmic_axis_has_readable_numbers(sharp, low, high):
    frame = tables.curvature(sharp)
    frame["trace"] = np.geomspace(low, high, len(frame))
    figure = figures.curvature(frame, ["trace"])
    figure.canvas.draw()
    first, last = figure.axes[0].get_xlim()
    labels = [
        label.get_text()
        for label in figure.axes[0].get_xticklabels()
        if first <= label.get_position()[0] <= last
    ]
    assert 2 <= len(labels) <= 8  # one alone gives no scale
    assert [text for text in labels if "10^" in text] == []


def test_densities_have_a_line_for_each_run_and_end_below_a_single_eigenvalue(sharp):
    frame = tables.densities(sharp)
    figure = figures.densities(frame)
    assert [len(drawn.lines(axes)) for axes in figure.axes] == [6, 6]
    bottom, top = figure.axes[0].get_ylim()
    assert bottom == pytest.approx(frame["density"].max() / 10_000)
    assert top > frame["density"].max()


def test_traces_of_groups_stand_beside_the_heads_that_have_them(sharp):
    frame = tables.group_traces(sharp).query("group in ('backbone', 'gate')")
    figure = figures.group_traces(frame)
    backbone, _, gate, _ = figure.axes
    assert (backbone.get_title(), gate.get_title()) == ("backbone, train", "gate, train")
    assert [label.get_text() for label in gate.get_yticklabels()] == list(HEADS)
    colour = style.colours(HEADS)
    assert drawn.lines(gate, colour["dense"]) == []
    dots, mean = drawn.lines(gate, colour["sparse"])
    assert list(dots.get_xdata()) == [2.0, 8.0]
    assert list(mean.get_xdata()) == [5.0]
    (soft, sparse) = (bars.get_segments() for bars in gate.collections)
    assert [segment[:, 0].tolist() for segment in sparse] == [[1.98, 2.02], [7.92, 8.08]]


def test_sharpness_stands_against_accuracy_one_dot_for_each_run(runs, sharp):
    trained = [synthetic.trained(run, np.arange(10) < 6 + run.seed) for run in runs]
    frame = tables.curvature(sharp).merge(
        accuracy_tables.finals(trained), on=["study", "head", "seed"]
    )
    figure = figures.against_accuracy(frame)
    dots = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert dots[:2].tolist() == [[1.0, 0.6], [4.0, 0.7]]
    assert len(dots) == 6
    frame["rise"] = 7.0
    axes = figures.against_accuracy(frame, "rise", label="rise, nats").axes[0]
    assert np.asarray(axes.collections[0].get_offsets())[:, 0].tolist() == [7.0] * 6
    assert axes.get_xlabel() == "rise, nats"


def test_the_same_figure_is_the_same_file(sharp):
    first, second = (
        style.svg(figures.curvature(tables.curvature(sharp), ["lambda_max"])) for _ in "ab"
    )
    assert first == second
    assert plt.get_fignums() == []
