import drawn
import matplotlib.pyplot as plt
import pytest
import synthetic

from moelib.report import style
from moelib.report.surface import figures, tables

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]

HEADS = ("dense", "soft", "sparse")
SHARPER = {"dense": 1.0, "soft": 4.0, "sparse": 2.0}


@pytest.fixture(scope="module")
def surfaces(runs):
    return [synthetic.surfaced(run, SHARPER[run.head] * (1 + run.seed)) for run in runs]


def test_sweeps_show_mean_and_range_of_the_rise_for_positive_radii(surfaces):
    figure = figures.sweeps(tables.sweeps(surfaces))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["top eigenvector, train images", "random directions, train images"]
    assert len(titles) == 4
    (soft,) = drawn.lines(figure.axes[0], style.colours(HEADS)["soft"])
    assert list(soft.get_xdata()) == [0.25, 0.5]
    assert list(soft.get_ydata()) == pytest.approx([6 / 16, 6 / 4])  # bend 4 and 8: 6 in the mean
    band = figure.axes[0].collections[1].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((4 / 16, 8 / 4))


@pytest.mark.parametrize(("lowest", "bottom"), [(0.1, -0.001), (-0.4, -0.501)])
def test_the_axis_of_rises_has_no_room_for_falls_that_are_not_there(surfaces, lowest, bottom):
    frame = tables.sweeps(surfaces)
    frame["rise"] = frame["rise"].clip(lower=0.1)
    frame.loc[frame["radius"].idxmax(), "rise"] = lowest
    for axes in figures.sweeps(frame).axes:
        assert axes.get_ylim()[0] == pytest.approx(bottom)


def test_rerouting_shows_only_heads_that_select(surfaces):
    figure = figures.rerouting(tables.sweeps(surfaces))
    (line,) = drawn.lines(figure.axes[0])
    assert line.get_color() == style.colours(["sparse"])["sparse"]
    assert list(line.get_ydata()) == [0.5, 0.25, 0, 0.25, 0.5]


def test_planes_have_a_panel_for_each_run_below_each_split(surfaces):
    frame = tables.planes([record for record in surfaces if record.seed == 0])
    figure = figures.planes(frame)
    titles = [axes.get_title() for axes in figure.axes[:6]]
    assert titles == [f"{head}, seed 0, {split}" for split in ("train", "test") for head in HEADS]
    scales = {axes.collections[0].get_clim() for axes in figure.axes[:6]}
    assert scales == {(frame["loss"].min(), frame["loss"].max())}  # one for all


def test_the_same_figure_is_the_same_file(surfaces):
    first, second = (style.svg(figures.planes(tables.planes(surfaces[:1]))) for _ in "ab")
    assert first == second
    assert plt.get_fignums() == []
