"""Curvature as figures: measures by head, densities of eigenvalues, blocks of parameters."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from moelib.report import style
from moelib.study.heads import family

MEASURES = {
    "lambda_max": "largest eigenvalue",
    "trace": "trace",
    "adaptive_max": "adaptive eigenvalue",
    "adaptive_trace": "adaptive trace",
    "matched_max": "eigenvalue, matched loss",
    "matched_trace": "trace, matched loss",
}
BEYOND = 1.25  # factor by which a logarithmic axis goes beyond the values


@style.styled
def curvature(curvature: pd.DataFrame, measures: Iterable[str] = tuple(MEASURES)) -> Figure:
    """Measures of sharpness, a row of panels for each: every seed (dot) and their mean (tick).

    The mean is geometric, as the axis is; a value that is not above 0 has no place on it.
    """
    measures = [name for name in measures if (curvature[name] > 0).any()]
    heads, splits = list(style.colours(curvature["head"])), list(dict.fromkeys(curvature["split"]))
    size = (7.2, len(measures) * (0.75 + 0.2 * len(heads)))
    shared = {"sharex": "row", "sharey": True}
    figure, grid = plt.subplots(len(measures), len(splits), figsize=size, squeeze=False, **shared)
    for row, measure in zip(grid, measures, strict=True):
        for axes, split in zip(row, splits, strict=True):
            _dots(axes, curvature[curvature["split"] == split], measure, heads)
            axes.set_title(f"{MEASURES[measure]}, {split}")
        positive = curvature[measure][curvature[measure] > 0]
        row[0].set_xlim(positive.min() / BEYOND, positive.max() * BEYOND)
        for axes in row:
            style.plain_ticks(axes.xaxis)
    figure.tight_layout()
    return figure


@style.styled
def densities(densities: pd.DataFrame) -> Figure:
    """Density of the eigenvalues of each run, one line for each seed.

    The axis ends a little below the height of a single eigenvalue among all.
    """
    columns = {"x": "eigenvalue", "y": "density", "col": "split", "units": "seed"}
    lines = {"kind": "line", "estimator": None, "linewidth": 1, "alpha": 0.8}
    grid = style.head_panels(densities, columns, {"sharex": False}, height=2.8, aspect=1.3, **lines)
    highest = densities["density"].max()
    grid.set(yscale="log", ylim=(highest / (10 * densities["parameters"].max()), 2 * highest))
    grid.set_axis_labels("eigenvalue", "density")
    grid.set_titles("{col_name} images")
    return style.legend_below(grid)


@style.styled
def group_traces(traces: pd.DataFrame) -> Figure:
    """Trace of the block of each group of parameters: every seed (dot, standard error), and mean.

    Each panel has its own axis, which is linear: the trace of a block can be negative.
    """
    names, splits = traces["group"].unique(), traces["split"].unique()
    heads = list(style.colours(traces["head"]))
    size = (7.2, 0.5 + 1.9 * len(splits))
    figure, grid = plt.subplots(len(splits), len(names), figsize=size, sharex=True, squeeze=False)
    for row, split in zip(grid, splits, strict=True):
        for axes, name in zip(row, names, strict=True):
            rows = traces[(traces["split"] == split) & (traces["group"] == name)]
            _upright(axes, rows, heads)
            axes.set_title(f"{name}, {split}")
        row[0].set_ylabel("trace")
    figure.tight_layout()
    return figure


@style.styled
def against_accuracy(
    runs: pd.DataFrame, measure: str = "lambda_max", label: str = MEASURES["lambda_max"]
) -> Figure:
    """A measure of sharpness against accuracy: a dot for each run, coloured by family of heads.

    A value that is not above 0 has no place on the axis, which is logarithmic.
    """
    runs = runs.assign(head=runs["head"].map(family))
    columns = {"x": measure, "y": "test_accuracy", "col": "split"}
    dots = {"kind": "scatter", "s": 45}
    grid = style.head_panels(runs, columns, {"sharex": False}, height=2.6, aspect=1.4, **dots)
    grid.set(xscale="log")
    for axes in grid.axes.flat:
        style.plain_ticks(axes.xaxis)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    grid.set_axis_labels(label, "test accuracy")
    grid.set_titles("on {col_name} images")
    return style.legend_below(grid)


def _dots(axes, runs: pd.DataFrame, measure: str, heads: list[str]) -> None:
    """Lay a line for each head on a logarithmic axis: a dot for each seed, a tick for the mean."""
    colour = style.colours(heads)
    axes.set_xscale("log")
    for y, head in enumerate(heads):
        values = runs[runs["head"] == head][measure]
        values = values[values > 0]
        axes.plot(values, [y] * len(values), "o", color=colour[head], alpha=0.7, markersize=4)
        if len(values):
            mean = np.exp(np.log(values).mean())
            axes.plot(mean, y, marker="|", markersize=13, markeredgewidth=2.2, color=colour[head])
    style.head_rows(axes, heads)
    axes.grid(axis="x", which="minor", linewidth=0.4)


def _upright(axes, runs: pd.DataFrame, heads: list[str]) -> None:
    colour = style.colours(heads)
    for x, head in enumerate(heads):
        values = runs[runs["head"] == head]
        if values.empty:
            continue
        places = x + 0.16 * (np.arange(len(values)) - (len(values) - 1) / 2)
        dots = {"fmt": "o", "color": colour[head], "markersize": 4, "linewidth": 1.2}
        axes.errorbar(places, values["trace"], values["trace_error"], **dots)
        mean = values["trace"].mean()
        axes.plot(x, mean, marker="_", markersize=18, markeredgewidth=2.2, color=colour[head])
    axes.axhline(0, color=style.INK, linewidth=1)
    axes.set_xticks(range(len(heads)), heads, rotation=90)
    axes.set_xlim(-0.6, len(heads) - 0.4)
