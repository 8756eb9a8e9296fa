"""Figures of robustness: accuracy as corruptions grow stronger."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from moelib.report.forest import WIDTH
from moelib.report.style import MARKERS, colours, panels, styled
from moelib.study.heads import family

COLUMNS = 3  # panels beside each other in a notebook


@styled
def curves(strengths: pd.DataFrame) -> list[Figure]:
    """Accuracy by strength, a panel for each corruption: mean over seeds, and their range."""
    colour = colours(strengths["head"])
    figures = []
    for name, part in strengths.groupby("corruption", sort=False):
        figure, axes = plt.subplots(figsize=(WIDTH, 2.8), layout="constrained")
        _draw(axes, name, part, colour)
        if not figures:  # one legend for all
            axes.legend(frameon=False, handlelength=1.5)
        figures.append(figure)
    return figures


@styled
def overview(strengths: pd.DataFrame) -> Figure:
    """Accuracy on corrupted test images by strength; strength 0 is the same images before."""
    parts = list(strengths.groupby("corruption", sort=False))
    rows = -(-len(parts) // COLUMNS)
    figure, grid = panels(rows, COLUMNS, (9, 2.4 * rows), sharey=True)
    colour = colours(strengths["head"])
    for axes, (name, part) in zip(grid.flat, parts, strict=False):
        _draw(axes, name, part, colour)
    for axes in grid.flat[len(parts) :]:
        axes.set_visible(False)
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def _draw(axes: Axes, name: str, part: pd.DataFrame, colour: dict[str, tuple]) -> None:
    for head, runs in part.groupby("head", sort=False):
        levels = runs.groupby("strength")["accuracy"].agg(["mean", "min", "max"])
        style = {"color": colour[head], "marker": MARKERS.get(family(head), "o")}
        axes.plot(levels.index, levels["mean"], markersize=4, label=head, **style)
        axes.fill_between(
            levels.index, levels["min"], levels["max"], color=colour[head], alpha=0.12, lw=0
        )
    axes.set(
        title=name.replace("_", " ").replace("jpeg", "JPEG"), xlabel="strength", ylabel="accuracy"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
