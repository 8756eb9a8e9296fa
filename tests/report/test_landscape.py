import matplotlib.pyplot as plt
import numpy as np
import pytest
import synthetic

from moelib.report import figures, frames, landscape, spectra
from moelib.study.run import Run

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]

HEADS = ("dense", "soft", "sparse")
SHARPER = {"dense": 1.0, "soft": 4.0, "sparse": 2.0}


@pytest.fixture(scope="module")
def runs():
    study = synthetic.study(seeds=(0, 1))
    return [Run(study, head, seed) for head in HEADS for seed in study.seeds]


@pytest.fixture(scope="module")
def sharp(runs):
    return [synthetic.sharp(run, SHARPER[run.head] * (1 + 3 * run.seed)) for run in runs]


@pytest.fixture(scope="module")
def surfaces(runs):
    return [synthetic.surfaced(run, SHARPER[run.head] * (1 + run.seed)) for run in runs]


def lines(axes, colour=None):
    """The lines that hold data; seaborn adds empty ones for its legend."""
    return [
        line
        for line in axes.lines
        if len(line.get_xdata()) and (colour is None or line.get_color() == colour)
    ]


def test_curvature_has_a_dot_for_each_seed_and_a_tick_at_the_geometric_mean(sharp):
    figure = landscape.curvature(frames.curvature(sharp), ["lambda_max", "trace"])
    assert [axes.get_title() for axes in figure.axes] == [
        "largest eigenvalue, train",
        "largest eigenvalue, test",
        "trace, train",
        "trace, test",
    ]
    dots, tick = lines(figure.axes[0], figures.colours(HEADS)["soft"])
    assert list(dots.get_xdata()) == [4.0, 16.0]
    assert tick.get_xdata()[0] == pytest.approx(8.0)
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()  # train beside test


def test_a_measure_that_no_run_has_gets_no_panels(sharp):
    frame = frames.curvature(sharp).assign(matched_max=np.nan)
    assert len(landscape.curvature(frame, ["lambda_max", "matched_max"]).axes) == 2


def test_a_value_that_a_logarithmic_axis_cannot_hold_is_left_out(sharp):
    frame = frames.curvature(sharp)
    frame.loc[(frame["head"] == "soft") & (frame["seed"] == 0), "trace"] = -1.0
    axes = landscape.curvature(frame, ["trace"]).axes[0]
    dots, tick = lines(axes, figures.colours(HEADS)["soft"])
    assert list(dots.get_xdata()) == [160.0]
    assert list(tick.get_xdata()) == pytest.approx([160.0])


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1.1), (101, 124), (2.2, 2.7), (1.9, 3), (0.3, 4), (2, 900), (1e-3, 1e4)]
)
def test_a_logarithmic_axis_has_readable_numbers(sharp, low, high):
    frame = frames.curvature(sharp)
    frame["trace"] = np.geomspace(low, high, len(frame))
    figure = landscape.curvature(frame, ["trace"])
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
    frame = spectra.densities(sharp)
    figure = landscape.densities(frame)
    assert [len(lines(axes)) for axes in figure.axes] == [6, 6]
    bottom, top = figure.axes[0].get_ylim()
    assert bottom == pytest.approx(frame["density"].max() / 10_000)
    assert top > frame["density"].max()


def test_traces_of_groups_stand_above_the_heads_that_have_them(sharp):
    frame = spectra.group_traces(sharp).query("group in ('backbone', 'gate')")
    figure = landscape.groups(frame)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["backbone, train", "gate, train"]
    gate, below = figure.axes[1], figure.axes[3]
    assert [label.get_text() for label in below.get_xticklabels()] == list(HEADS)
    colour = figures.colours(HEADS)
    assert lines(gate, colour["dense"]) == []
    dots, mean = lines(gate, colour["sparse"])
    assert list(dots.get_ydata()) == [2.0, 8.0]
    assert list(mean.get_ydata()) == [5.0]


def test_sharpness_stands_against_accuracy_one_dot_for_each_run(runs, sharp):
    trained = [synthetic.trained(run, np.arange(10) < 6 + run.seed) for run in runs]
    known = frames.curvature(sharp).merge(frames.finals(trained), on=["study", "head", "seed"])
    figure = landscape.sharpness_and_accuracy(known)
    dots = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert dots[:2].tolist() == [[1.0, 0.6], [4.0, 0.7]]
    assert len(dots) == 6
    known[frames.RANDOM] = 7.0
    axes = landscape.sharpness_and_accuracy(known, frames.RANDOM).axes[0]
    assert np.asarray(axes.collections[0].get_offsets())[:, 0].tolist() == [7.0] * 6
    assert axes.get_xlabel() == "rise along random directions, nats"


def test_sweeps_show_mean_and_range_of_the_rise_for_positive_radii(surfaces):
    figure = landscape.sweeps(frames.sweeps(surfaces))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["top eigenvector, train images", "random directions, train images"]
    assert len(titles) == 4
    (soft,) = lines(figure.axes[0], figures.colours(HEADS)["soft"])
    assert list(soft.get_xdata()) == [0.25, 0.5]
    assert list(soft.get_ydata()) == pytest.approx([6 / 16, 6 / 4])  # bend 4 and 8: 6 in the mean
    band = figure.axes[0].collections[1].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((4 / 16, 8 / 4))


@pytest.mark.parametrize(("lowest", "bottom"), [(0.1, -0.001), (-0.4, -0.501)])
def test_the_axis_of_rises_has_no_room_for_falls_that_are_not_there(surfaces, lowest, bottom):
    frame = frames.sweeps(surfaces)
    frame["rise"] = frame["rise"].clip(lower=0.1)
    frame.loc[frame["radius"].idxmax(), "rise"] = lowest
    for axes in landscape.sweeps(frame).axes:
        assert axes.get_ylim()[0] == pytest.approx(bottom)


def test_rerouting_shows_only_heads_that_select(surfaces):
    figure = landscape.rerouting(frames.sweeps(surfaces))
    (line,) = lines(figure.axes[0])
    assert line.get_color() == figures.colours(["sparse"])["sparse"]
    assert list(line.get_ydata()) == [0.5, 0.25, 0, 0.25, 0.5]


def test_planes_have_a_panel_for_each_run_below_each_split(surfaces):
    frame = frames.planes([record for record in surfaces if record.seed == 0])
    figure = landscape.plane(frame)
    titles = [axes.get_title() for axes in figure.axes[:6]]
    assert titles == [f"{head}, seed 0, {split}" for split in ("train", "test") for head in HEADS]
    scales = {axes.collections[0].get_clim() for axes in figure.axes[:6]}
    assert scales == {(frame["loss"].min(), frame["loss"].max())}  # one for all


def test_the_same_figure_is_the_same_file(sharp, surfaces):
    for draw, frame, *options in (
        (landscape.curvature, frames.curvature(sharp), ["lambda_max"]),
        (landscape.plane, frames.planes(surfaces[:1])),
    ):
        first, second = (figures.svg(draw(frame, *options)) for _ in "ab")
        assert first == second
    assert plt.get_fignums() == []
