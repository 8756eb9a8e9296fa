"""Figures of sparsity: their panels, lines and names, drawn from synthetic records."""

import drawn
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import synthetic

from moelib.report import style
from moelib.report.sparsity import costs, figures, tables

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]


@pytest.fixture(scope="module")
def scale():
    return tables.scale(synthetic.scaled())


@pytest.fixture(scope="module")
def held_out():
    return costs.fit(synthetic.scaled()).predictions


def points(**rows):
    """A frame of heads' accuracies and latencies, each with an interval of its own."""
    table = pd.DataFrame(
        [
            {
                "head": head.replace("_", "-"),
                "family": head.split("_")[0],
                "part": part,
                "batch": batch,
                "ms": ms,
                "accuracy": accuracy,
            }
            for head, (ms, accuracy) in rows.items()
            for part, batch in (("head", 1), ("model", 256))
        ]
    ).sort_values(["part", "batch"], kind="stable", ignore_index=True)
    table = table.assign(ms_low=table["ms"] - 0.5, ms_high=table["ms"] + 1.0)
    table = table.assign(low=table["accuracy"] - 0.02, high=table["accuracy"] + 0.01)
    table["efficient"], table["stays"] = False, 0.9
    for _, panel in table.groupby("part"):
        table.loc[panel.index, "efficient"] = tables.pareto_front(panel["ms"], panel["accuracy"])
    return table


@pytest.fixture(scope="module")
def tradeoff():
    """In the order of time, accuracy rises but for one: `sparse-e32` is dominated."""
    return points(
        linear=(1.0, 0.6),
        sparse_e32=(4.0, 0.7),
        sparse_e16=(3.0, 0.8),
        mine=(6.0, 0.9),
        dense=(9.0, 0.9),
    )


def test_speedups_have_a_panel_for_each_width_and_batch(scale):
    figure = figures.speedups(scale)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"d 512, h {h}, n {n}" for h in (64, 512) for n in (1, 32, 256)]
    assert drawn.texts(figure.legends[0]) == [f"E = {e}" for e in (4, 8, 16, 32, 64)]
    legend = {
        text.get_text(): handle.get_color()
        for text, handle in zip(
            figure.legends[0].get_texts(), figure.legends[0].legend_handles, strict=True
        )
    }
    axes = figure.axes[titles.index("d 512, h 64, n 32")]
    ideal, even, *curves = drawn.lines(axes)
    assert list(ideal.get_xdata() * ideal.get_ydata()) == [1, 1]
    assert ideal.get_linestyle() == "--" and list(ideal.get_xdata()) == [1 / 64, 1]
    assert list(even.get_ydata()) == [1, 1]
    assert len(curves) == 5
    rows = scale.query("hidden == 64 and batch == 32 and experts == 16").sort_values("share")
    line = curves[2]
    assert line.get_color() == legend["E = 16"]
    assert list(line.get_xdata()) == list(rows["share"]) == [1 / 16, 1 / 8, 1]
    assert list(line.get_ydata()) == list(rows["speedup"])


def test_shares_and_factors_are_written_as_fractions(scale):
    figure = figures.speedups(scale)
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert "1/4" in labels and "1" in labels
    assert not any("." in label for label in labels)


def test_the_overview_has_a_dot_for_each_head_and_a_colour_for_each_width(scale):
    figure = figures.overview(scale, "a device")
    (axes,) = figure.axes
    *dots, ideal, even = axes.lines
    assert [line.get_label() for line in dots] == ["512 × 64", "512 × 512"]
    for line, hidden in zip(dots, (64, 512), strict=True):
        rows = scale[scale["hidden"] == hidden]
        assert list(line.get_xdata()) == list(rows["ideal"])
        assert list(line.get_ydata()) == list(rows["speedup"])
    assert list(ideal.get_xdata()) == list(ideal.get_ydata()) == [1, 64]
    assert set(even.get_ydata()) == {1}


def test_a_width_that_was_not_timed_at_a_batch_has_an_empty_panel(scale):
    incomplete = scale.query("not (hidden == 512 and batch == 256)")
    figure = figures.speedups(incomplete)
    assert [len(drawn.lines(axes)) for axes in figure.axes] == [7, 7, 7, 7, 7, 2]


def test_the_roof_is_the_lesser_of_arithmetic_and_memory(scale):
    figure = figures.roofline(scale, 100.0, 10.0)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("operations per byte", "GFLOP/s")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (roof,) = drawn.lines(axes)
    x, y = roof.get_xdata(), roof.get_ydata()
    assert x[0] < scale["intensity"].min() and x[-1] > scale["intensity"].max()
    assert list(y[x < 10]) == pytest.approx(list(10 * x[x < 10]))
    assert set(y[x >= 10]) == {100.0}
    dots = np.concatenate([dots.get_offsets() for dots in axes.collections])
    expected = scale[["intensity", "gigaflops"]].to_numpy()
    assert sorted(dots.tolist()) == sorted(expected.tolist())
    names = {"batched", "loop", "grouped"} & set(scale["chosen"])
    assert len(names) > 1
    assert set(drawn.texts(axes.get_legend())) == {"batch", "1", "32", "256", "chosen", *names}


def test_predictions_stand_against_measurements_beside_the_diagonal(held_out):
    figure = figures.predictions(held_out)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("measured, ms", "predicted, ms")
    (diagonal,) = drawn.lines(axes)
    ends = [held_out["ms"].min(), held_out["ms"].max()]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == ends
    dots = np.concatenate([dots.get_offsets() for dots in axes.collections])
    assert len(dots) == len(held_out)
    assert sorted(dots.tolist()) == sorted(held_out[["ms", "predicted"]].to_numpy().tolist())
    assert drawn.texts(axes.get_legend()) == ["sparse", "dense"]


def test_the_front_names_its_heads_and_no_other(tradeoff):
    figure = figures.front(tradeoff)
    assert [axes.get_title() for axes in figure.axes] == ["head, batch 1", "model, batch 256"]
    assert figure.axes[0].get_ylabel() == "test accuracy"
    for axes in figure.axes:
        assert axes.get_xlabel() == "ms"
        assert [text.get_text() for text in axes.texts] == [
            "linear 90%",
            "sparse-e16 90%",
            "mine 90%",
        ]
        (steps,) = drawn.lines(axes, style.INK)
        assert list(steps.get_xdata()) == [1, 3, 6]
        assert list(steps.get_ydata()) == [0.6, 0.8, 0.9]
        assert steps.get_drawstyle() == "steps-post"  # between two heads nothing is to be had


def test_heads_of_one_family_have_one_colour_and_one_entry_of_the_legend(tradeoff):
    figure = figures.front(tradeoff)
    families = ["linear", "sparse", "mine", "dense"]
    assert drawn.texts(figure.legends[0]) == families
    colour = style.colours(families)
    (dots,) = drawn.lines(figure.axes[0], colour["sparse"])
    assert sorted(zip(*dots.get_data(), strict=True)) == [(3.0, 0.8), (4.0, 0.7)]
    assert colour["sparse"] == style.colours(["sparse"])["sparse"]


def test_the_bars_of_the_front_are_the_intervals(tradeoff):
    (container,) = figures.front(points(dense=(9.0, 0.9))).axes[0].containers
    _, _, (across, upright) = container
    assert across.get_segments()[0].tolist() == [[8.5, 0.9], [10.0, 0.9]]
    assert upright.get_segments()[0] == pytest.approx(np.array([[9.0, 0.88], [9.0, 0.91]]))


@pytest.fixture(params=["speedups", "overview", "roofline", "predictions", "front"])
def drawing(request, scale, held_out, tradeoff):
    """A figure's function and its arguments."""
    arguments = {
        "speedups": (scale,),
        "overview": (scale, "a device"),
        "roofline": (scale, 100.0, 10.0),
        "predictions": (held_out,),
        "front": (tradeoff,),
    }
    return getattr(figures, request.param), arguments[request.param]


def test_a_figure_leaves_matplotlibs_settings_and_its_frame_alone(drawing):
    draw, arguments = drawing
    drawn.refuse_traces(draw, *arguments)


def test_the_same_figure_is_the_same_file(tradeoff):
    first, second = (style.svg(figures.front(tradeoff)) for _ in "ab")
    assert first == second
    assert plt.get_fignums() == []


@pytest.mark.parametrize("names", [{"sparse": "sparse"}, {"soft": "mine", "sparse": "their-own"}])
def test_a_single_head_and_heads_of_unknown_names(names):
    rows = {head.replace("-", "_"): (2.0 + i, 0.5) for i, head in enumerate(names.values())}
    (label,) = figures.front(points(**rows)).axes[0].texts  # as accurate as the others, and first
    assert label.get_text() == f"{next(iter(names.values()))} 90%"


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_front_has_a_panel_for_each_part_and_batch(tradeoff, count):
    head_rows = tradeoff[tradeoff["part"] == "head"]
    table = pd.concat(
        [head_rows.assign(batch=2**power) for power in range(count)], ignore_index=True
    )
    figure = figures.front(table)
    assert [axes.get_title() for axes in figure.axes] == [
        f"head, batch {2**power}" for power in range(count)
    ]
    assert all(len(axes.texts) == 3 for axes in figure.axes)


def test_speedups_and_a_roofline_of_a_single_point(scale):
    assert len(figures.speedups(scale[:1]).axes) == 1
    assert len(figures.roofline(scale[:1], 100.0, 10.0).axes) == 1
