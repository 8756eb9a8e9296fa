"""Figures of sparsity: their panels, lines and names, drawn from synthetic records."""

import drawn
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.colors import to_rgb

from moelib.report import style
from moelib.report.sparsity import figures, tables

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]


@pytest.fixture(scope="module")
def scale():
    return tables.scale(synthetic.scaled())


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


def test_shares_and_factors_are_written_as_fractions(scale):
    figure = figures.speedups(scale, scale["device"])
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "1/4" in labels and "1" in labels
    assert not any("." in label for label in labels)


def test_speedups_have_a_dot_for_each_head_and_a_colour_for_each_width(scale):
    figure = figures.speedups(scale, "batches of " + scale["batch"].astype(str))
    assert [axes.get_title() for axes in figure.axes] == [f"batches of {n}" for n in (1, 32, 256)]
    legend = figure.legends[0]
    assert drawn.texts(legend) == ["512 × 64", "512 × 512"]
    colours = {
        text.get_text(): handle.get_markerfacecolor()
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    for axes, (_, heads) in zip(figure.axes, scale.groupby("batch"), strict=True):
        (dots,) = axes.collections
        expected = heads[["ideal", "speedup"]].to_numpy().tolist()
        assert dots.get_offsets().tolist() == expected
        for hidden, colour in zip(heads["hidden"], dots.get_facecolors(), strict=True):
            assert colour[:3] == pytest.approx(to_rgb(colours[f"512 × {hidden}"]))
        ideal, even = drawn.lines(axes)
        assert list(ideal.get_xdata()) == list(ideal.get_ydata()) == [1, 64]
        assert ideal.get_linestyle() == "--" and set(even.get_ydata()) == {1}


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


@pytest.fixture(params=["speedups", "front"])
def drawing(request, scale, tradeoff):
    """A figure's function and its arguments."""
    arguments = {
        "speedups": (scale, scale["device"]),
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


def test_speedups_of_a_single_point(scale):
    assert len(figures.speedups(scale[:1], scale["device"][:1]).axes) == 1
