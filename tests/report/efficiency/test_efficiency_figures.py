"""Figures of costs: their panels, lines and names, drawn from synthetic records."""

import drawn
import matplotlib.pyplot as plt
import pandas as pd
import pytest
import synthetic

from moelib.report import style
from moelib.report.efficiency import figures, tables
from moelib.study.run import Run

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]

HEADS = ("dense", "soft", "sparse")
SLOWER = {"dense": 1.0, "soft": 1.5, "sparse": 0.5}


@pytest.fixture(scope="module")
def latencies():
    study = synthetic.study(seeds=(0, 1))
    return tables.latencies(
        synthetic.efficient(Run(study, head, seed), SLOWER[head] * (1 + seed))
        for head in HEADS
        for seed in study.seeds
    )


def test_latency_has_a_panel_for_the_head_and_one_for_the_model(latencies):
    figure = figures.latencies(latencies)
    assert [axes.get_title() for axes in figure.axes] == ["head alone", "whole model"]
    assert drawn.texts(figure.legends[0]) == list(HEADS)
    for axes in figure.axes:
        assert axes.get_xlabel() == "batch" and axes.get_xscale() == "log"
        for head, colour in style.colours(HEADS).items():
            (line,) = drawn.lines(axes, colour)
            assert list(line.get_xdata()) == [1, 256]
            # The median of the first seed's slow-down and of the second's, twice as large.
            assert list(line.get_ydata()) == pytest.approx([1.5 * SLOWER[head]] * 2)
        (reference,) = drawn.lines(axes, style.INK)
        assert set(reference.get_ydata()) == {1}


def test_the_band_of_latency_is_between_the_quartiles(latencies):
    mask = latencies["head"] == "sparse"
    wide = latencies.assign(
        ratio_low=latencies["ratio"].where(mask, 1) * 0.9,
        ratio_high=latencies["ratio"].where(mask, 1) * 1.2,
    )
    figure = figures.latencies(wide[mask])
    (band,) = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.75 * 0.9, 0.75 * 1.2))


def test_compiled_ways_and_other_executors_and_routings_are_not_in_the_figure_of_latency(latencies):
    """Only the rule's executor on learned routing: what a user of the head gets."""
    compiled = latencies[latencies["part"] == "model"].assign(compiled=True, ratio=100.0)
    loops = latencies[latencies["executor"] == "loop"].assign(ratio=100.0)
    extended = pd.concat([latencies, compiled, loops], ignore_index=True)
    drawings = [figures.latencies(table) for table in (latencies, extended)]
    for pair in zip(*(figure.axes for figure in drawings), strict=True):
        first, second = ([list(line.get_ydata()) for line in drawn.lines(axes)] for axes in pair)
        assert first == second


def test_chosen_keeps_one_row_for_each_run_part_and_batch(latencies):
    rows = tables.analysed_heads(latencies)
    assert len(rows) == 3 * 2 * 2 * 2  # heads, seeds, parts, batches
    assert not rows.duplicated(["head", "seed", "part", "batch"]).any()
    assert set(rows["what"]) == {"this head"}
    assert set(rows["executor"].dropna()) == {"auto"}


def test_executors_have_a_panel_for_each_mixture_and_a_line_for_each_way(latencies):
    figure = figures.executors(latencies)
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == ["soft", "sparse"]  # a dense head has no executors
    assert set(drawn.texts(figure.legends[0])) >= {"auto", "loop", "skewed routing"}
    for head, axes in panels.items():
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        times = sorted(list(line.get_ydata()) for line in drawn.lines(axes))
        # ms of the median repeat, 25 % above the first one; over seeds, 1.5 times the first one's.
        auto = [0.1 * batch * 1.25 * 1.5 * SLOWER[head] for batch in (1, 256)]
        double = [2 * ms for ms in auto]
        assert times == [pytest.approx(ms) for ms in (auto, double, double)]
        assert {line.get_linestyle() for line in drawn.lines(axes)} == {
            "-",
            "--",
        }  # not by colour alone


def test_ways_have_a_panel_for_each_head_a_line_for_each_executor_and_rings_where_chosen():
    row = {"study": "s", "seed": 0}
    table = pd.DataFrame(
        {**row, "head": head, "executor": name, "batch": batch, "ratio": ratio, "chosen": chosen}
        for head in ("sparse", "switch")
        for name, batch, ratio, chosen in (
            ("batched", 1, 2.0, True), ("batched", 256, 3.0, False),
            ("grouped", 1, 4.0, False), ("grouped", 256, 1.5, True),
        )
    )  # fmt: skip
    drawings = figures.ways(table)
    assert [figure.axes[0].get_title() for figure in drawings] == ["sparse", "switch"]
    for figure in drawings:
        batched, grouped, rings, dense = figure.axes[0].lines
        assert list(batched.get_ydata()) == [2, 3] and list(grouped.get_ydata()) == [4, 1.5]
        assert list(rings.get_xdata()) == [1, 256] and list(rings.get_ydata()) == [2, 1.5]
        assert rings.get_linestyle() == "None" and set(dense.get_ydata()) == {1}
    assert drawn.texts(drawings[0].axes[0].get_legend()) == ["batched", "grouped", "chosen"]
    assert drawings[1].axes[0].get_legend() is None


@pytest.fixture(params=["latencies", "executors"])
def drawing(request, latencies):
    """A figure's function and its arguments."""
    return getattr(figures, request.param), (latencies,)


def test_a_figure_leaves_matplotlibs_settings_and_its_frame_alone(drawing):
    draw, arguments = drawing
    drawn.refuse_traces(draw, *arguments)


def test_the_same_figure_is_the_same_file(latencies):
    first, second = (style.svg(figures.latencies(latencies)) for _ in "ab")
    assert first == second
    assert plt.get_fignums() == []


@pytest.mark.parametrize("names", [{"sparse": "sparse"}, {"soft": "mine", "sparse": "their-own"}])
def test_a_single_head_and_heads_of_unknown_names(latencies, names):
    rows = latencies[latencies["head"].isin(names)].replace({"head": names})
    figure = figures.latencies(rows)
    assert drawn.texts(figure.legends[0]) == list(names.values())
    assert len({line.get_color() for line in drawn.lines(figure.axes[0])}) == len(names) + 1
    titles = [axes.get_title() for axes in figures.executors(rows).axes]
    assert titles == list(names.values())


def test_a_dense_head_alone_has_a_latency(latencies):
    figure = figures.latencies(latencies[latencies["head"] == "dense"])
    assert drawn.texts(figure.legends[0]) == ["dense"]


def test_stacked_experts_have_a_panel_for_each_mode_a_line_for_each_size_and_dotted_aims():
    sizes = [("soft", 8, 64, 3.0), ("sparse", 8, 64, 1.0), ("sparse", 4, 512, 1.0)]
    speed = pd.DataFrame(
        {
            **{"head": head, "experts": experts, "hidden": hidden, "mode": mode, "batch": batch},
            **{"ratio": ratio, "low": ratio - 0.5, "high": ratio + 1, "target": aim},
        }
        for mode in ("inference", "training")
        for head, experts, hidden, aim in sizes[: 3 if mode == "inference" else 2]
        for batch, ratio in ((1, 4.0), (8, 2.0))
    )
    figure = figures.stacked_experts(speed)
    assert [axes.get_title() for axes in figure.axes] == ["inference", "training"]
    assert drawn.texts(figure.legends[0]) == [
        "soft, E = 8, h = 64",
        "sparse, E = 8, h = 64",
        "sparse, E = 4, h = 512",
    ]
    inference, training = figure.axes
    assert (len(inference.containers), len(training.containers)) == (3, 2)
    for container in inference.containers:
        line, _, (bars,) = container
        assert list(line.get_ydata()) == [4, 2]
        spans = [sorted(segment[:, 1]) for segment in bars.get_segments()]
        assert spans == [[3.5, 5], [1.5, 3]]
    (aim,) = [line for line in inference.lines if set(line.get_ydata()) == {3.0}]
    assert aim.get_linestyle() == ":"
    extended = pd.concat([speed, *(speed.assign(hidden=hidden) for hidden in (128, 256, 1024))])
    assert len(figures.stacked_experts(extended).axes[0].containers) == 3 * 4
