"""Accuracy as figures: learning curves, and heads with their intervals."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from moelib.report.style import INK, colours, head_panels, head_rows, legend_below, styled
from moelib.study.heads import family


@styled
def learning_curves(epochs: pd.DataFrame) -> Figure:
    """Loss and accuracy over epochs: mean over seeds, band from the lowest to the highest seed.

    Heads of one colour share an entry of the legend, under the name of their family.
    """
    tidy = epochs.melt(
        id_vars=["head", "seed", "epoch", "split"],
        value_vars=["loss", "accuracy"],
        var_name="measure",
    )
    grid = head_panels(
        tidy,
        x="epoch",
        y="value",
        row="measure",
        col="split",
        estimator="mean" if tidy["seed"].nunique() > 1 else None,  # which takes seconds
        errorbar=("pi", 100),
        legend=False,
        height=2.4,
        aspect=1.45,
        axes={"sharey": "row"},
    )
    for (measure, split), axes in grid.axes_dict.items():
        axes.set(title=f"{measure}, {split} images", ylabel="", xlabel="")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if measure == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        else:
            axes.set_yscale("log")
    for axes in grid.axes[-1]:
        axes.set_xlabel("epoch")
    grid.axes[0, 0].set_ylabel("nats per image")
    grid.add_legend(_by_colour(tidy["head"]), title="head")
    return legend_below(grid)


@styled
def means(accuracy: pd.DataFrame, finals: pd.DataFrame) -> Figure:
    """Test accuracy: each seed (dot), and mean with interval (bar) of each head."""
    figure, axes = plt.subplots(figsize=(7.2, 0.5 + 0.42 * len(accuracy)))
    _intervals(axes, accuracy["head"], accuracy["mean"], accuracy, finals, "test_accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("test accuracy")
    return figure


@styled
def differences(differences: pd.DataFrame, by_seed: pd.DataFrame) -> Figure:
    """Paired differences to the dense head: each seed (dot), and mean with interval (bar)."""
    figure, axes = plt.subplots(figsize=(7.2, 0.5 + 0.42 * len(differences)))
    means, dots = _in_points(differences), _in_points(by_seed)
    _intervals(axes, means["head"], means["difference"], means, dots, "difference")
    axes.axvline(0, color=INK, linewidth=1, linestyle="--")
    axes.set_xlabel("test accuracy minus that of dense, percentage points")
    return figure


def _by_colour(heads: Iterable[str]) -> dict[str, Line2D]:
    """A line of each colour, named after the head that has it, or the family of several."""
    sharing: dict[tuple, list[str]] = {}
    for head, colour in colours(heads).items():
        sharing.setdefault(colour, []).append(head)
    return {
        names[0] if len(names) == 1 else family(names[0]): Line2D([], [], color=colour)
        for colour, names in sharing.items()
    }


def _intervals(axes, heads, centres, intervals, runs, value: str) -> None:
    colour = colours(heads)
    for y, (head, centre) in enumerate(zip(heads, centres, strict=True)):
        row = intervals[intervals["head"] == head].iloc[0]
        axes.plot([row["low"], row["high"]], [y, y], color=colour[head], linewidth=2.2)
        axes.plot(centre, y, marker="|", markersize=14, markeredgewidth=2.2, color=colour[head])
        dots = runs[runs["head"] == head][value]
        axes.plot(dots, [y + 0.22] * len(dots), "o", color=colour[head], alpha=0.7, markersize=4)
    head_rows(axes, heads)


def _in_points(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = frame.columns.intersection(["difference", "low", "high"])
    return frame.assign(**{name: 100 * frame[name] for name in numbers})
