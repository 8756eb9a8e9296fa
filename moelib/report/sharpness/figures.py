"""Curvature as figures: measures by head, densities of eigenvalues, blocks of parameters."""

from collections.abc import Iterable
from itertools import product

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.stats import gmean

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
    """Measures of sharpness, a row of panels each: seeds (dots) and geometric means (ticks).

    The axis is logarithmic; a value that is not above 0 has no place on it.
    """
    runs = curvature.melt(["head", "split"], list(measures), "row")
    return _seeds(runs[runs["value"] > 0].replace({"row": MEASURES}), log=True)


@style.styled
def group_traces(traces: pd.DataFrame) -> Figure:
    """Trace of the block of each group of parameters: seeds (dots, with errors), means (ticks).

    The axis is linear: the trace of a block can be negative.
    """
    return _seeds(traces.assign(row=traces["group"], value=traces["trace"]))


@style.styled
def densities(densities: pd.DataFrame) -> Figure:
    """Density of the eigenvalues of each run, one line per seed.

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
def against_accuracy(
    runs: pd.DataFrame, measure: str = "lambda_max", label: str = MEASURES["lambda_max"]
) -> Figure:
    """A measure of sharpness against accuracy: one dot per run, coloured by family of heads.

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


def _seeds(runs: pd.DataFrame, log: bool = False) -> Figure:
    """Panels with a line for each head: a dot for each seed, its error where known, and a tick."""
    colour = style.colours(runs["head"])
    rows, splits, heads = runs["row"].unique(), runs["split"].unique(), [*colour]
    size = (7.2, len(rows) * (0.75 + 0.2 * len(heads)))
    figure, grid = style.panels(len(rows), len(splits), size, sharex="row", sharey=True)
    for (row, split), axes in zip(product(rows, splits), grid.flat, strict=True):
        panel = runs[(runs["row"] == row) & (runs["split"] == split)]
        for head, seeds in panel.groupby("head"):
            values, y, own = seeds["value"], heads.index(head), {"color": colour[head]}
            dots = {"fmt": "o", "markersize": 4, "alpha": 0.7, **own}
            axes.errorbar(values, [y] * len(seeds), xerr=seeds.get("trace_error"), **dots)
            mean = gmean(values) if log else values.mean()
            axes.plot(mean, y, "|", markersize=13, markeredgewidth=2.2, **own)
        style.head_rows(axes, heads)
        axes.set_title(f"{row}, {split}")
        if log:
            shown = runs[runs["row"] == row]["value"]
            axes.set(xscale="log", xlim=(shown.min() / BEYOND, shown.max() * BEYOND))
            style.plain_ticks(axes.xaxis)
        else:
            axes.axvline(0, color=style.INK, linewidth=1)
    return figure
