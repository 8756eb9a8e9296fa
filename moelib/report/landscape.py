"""Curvature and the loss surface as figures: functions of a frame, in the style of the others."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

from moelib.report.figures import INK, PLAIN, colours, head_panels, head_rows, legend_below, styled
from moelib.report.frames import EIGENVECTOR, RANDOM
from moelib.study.heads import family

MEASURES = {
    "lambda_max": "largest eigenvalue",
    "trace": "trace",
    "adaptive_max": "adaptive eigenvalue",
    "adaptive_trace": "adaptive trace",
    "matched_max": "eigenvalue, matched loss",
    "matched_trace": "trace, matched loss",
}
RISES = {
    EIGENVECTOR: "rise along the top eigenvector, nats",
    RANDOM: "rise along random directions, nats",
}
BEYOND = 1.25  # factor by which a logarithmic axis goes beyond the values
MARKS = (  # below a span: ticks of each decade
    (1.4, (*np.arange(1, 2, 0.1), *np.arange(2, 4, 0.2), *np.arange(4, 10, 0.5))),
    (2, (*np.arange(1, 2, 0.2), *np.arange(2, 4, 0.5), *range(4, 10))),
    (5, (1, 1.5, 2, 3, 4, 5, 7)),
    (50, (1, 2, 5)),
)
WHOLE_RANGE = ("pi", 100)  # bands reach from the lowest to the highest
LINEAR_BELOW = 0.01  # nats: rises around 0, of either sign, on an axis that is logarithmic beyond
LOWEST_LOSS = 1e-6  # nats, on a logarithmic scale


# -- curvature ------------------------------------------------------------------------------------


@styled
def curvature(curvature: pd.DataFrame, measures: Iterable[str] = tuple(MEASURES)) -> Figure:
    """Measures of sharpness, a row of panels for each: every seed (dot) and their mean (tick).

    The mean is geometric, as the axis is; a value that is not above 0 has no place on it.
    """
    measures = [name for name in measures if (curvature[name] > 0).any()]
    heads, splits = list(colours(curvature["head"])), list(dict.fromkeys(curvature["split"]))
    figure, grid = plt.subplots(
        len(measures),
        len(splits),
        figsize=(7.2, len(measures) * (0.75 + 0.2 * len(heads))),
        sharex="row",
        sharey=True,
        squeeze=False,
    )
    for row, measure in zip(grid, measures, strict=True):
        for axes, split in zip(row, splits, strict=True):
            _dots(axes, curvature[curvature["split"] == split], measure, heads)
            axes.set_title(f"{MEASURES.get(measure, measure)}, {split}")
        positive = curvature[measure][curvature[measure] > 0]
        row[0].set_xlim(positive.min() / BEYOND, positive.max() * BEYOND)
        for axes in row:
            _plain_ticks(axes)
    figure.tight_layout()
    return figure


@styled
def densities(densities: pd.DataFrame) -> Figure:
    """Density of the eigenvalues of each run, one line for each seed.

    The axis ends a little below the height of a single eigenvalue among all.
    """
    grid = head_panels(
        densities,
        x="eigenvalue",
        y="density",
        col="split",
        units="seed",
        estimator=None,
        linewidth=1,
        alpha=0.8,
        height=2.8,
        aspect=1.3,
        axes={"sharex": False},
    )
    highest = densities["density"].max()
    grid.set(yscale="log", ylim=(highest / (10 * densities["parameters"].max()), 2 * highest))
    grid.set_axis_labels("eigenvalue", "density")
    grid.set_titles("{col_name} images")
    return legend_below(grid)


@styled
def groups(traces: pd.DataFrame) -> Figure:
    """Trace of the block of each group of parameters: every seed (dot, standard error), and mean.

    Each panel has its own axis, which is linear: the trace of a block can be negative.
    """
    names, splits = _distinct(traces["group"]), _distinct(traces["split"])
    heads = list(colours(traces["head"]))
    figure, grid = plt.subplots(
        len(splits),
        len(names),
        figsize=(7.2, 0.5 + 1.9 * len(splits)),
        sharex=True,
        squeeze=False,
    )
    for row, split in zip(grid, splits, strict=True):
        for axes, name in zip(row, names, strict=True):
            rows = traces[(traces["split"] == split) & (traces["group"] == name)]
            _upright(axes, rows, heads)
            axes.set_title(f"{name}, {split}")
        row[0].set_ylabel("trace")
    figure.tight_layout()
    return figure


@styled
def sharpness_and_accuracy(
    runs: pd.DataFrame, measure: str = "lambda_max", accuracy: str = "test_accuracy"
) -> Figure:
    """A measure of sharpness against accuracy: a dot for each run, coloured by family of heads.

    A value that is not above 0 has no place on the axis, which is logarithmic.
    """
    runs = runs.assign(head=runs["head"].map(family))
    grid = head_panels(
        runs,
        kind="scatter",
        x=measure,
        y=accuracy,
        col="split",
        s=45,
        height=2.6,
        aspect=1.4,
        axes={"sharex": False},
    )
    grid.set(xscale="log")
    for axes in grid.axes.flat:
        _plain_ticks(axes)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    grid.set_axis_labels((MEASURES | RISES)[measure], accuracy.replace("_", " "))
    grid.set_titles("on {col_name} images")
    return legend_below(grid)


# -- loss surface ---------------------------------------------------------------------------------


@styled
def sweeps(sweeps: pd.DataFrame) -> Figure:
    """Rise of the loss over the radius: mean, and band over directions and seeds.

    The axis ends a little below the lowest rise, or below 0 where none is negative.
    """
    rows = sweeps[sweeps["radius"] > 0]
    lowest = min(0, rows["rise"].min())
    grid = _along(rows, "rise")
    for axes in grid.axes.flat:
        axes.set_yscale("symlog", linthresh=LINEAR_BELOW)
        axes.set_ylim(bottom=BEYOND * lowest - LINEAR_BELOW / 10)
        axes.axhline(0, color=INK, linewidth=1)
    for axes in grid.axes[:, 0]:
        axes.set_ylabel("rise of the loss, nats")
    return legend_below(grid)


@styled
def rerouting(sweeps: pd.DataFrame) -> Figure:
    """Share of images whose chosen experts change, over the radius: mean, and band as above."""
    grid = _along(sweeps.dropna(subset="rerouted"), "rerouted")
    for axes in grid.axes.flat:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in grid.axes[:, 0]:
        axes.set_ylabel("images rerouted")
    return legend_below(grid)


@styled
def plane(planes: pd.DataFrame) -> Figure:
    """The loss over the plane of two directions, a panel for each run and split, one scale."""
    splits = _distinct(planes["split"])
    panels = [
        run
        for split in splits
        for run in planes[planes["split"] == split].groupby(["split", "head", "seed"], sort=False)
    ]
    columns = len(panels) // len(splits)
    lowest = max(planes["loss"].min(), LOWEST_LOSS)
    scale = LogNorm(lowest, max(planes["loss"].max(), 2 * lowest))
    levels = np.geomspace(scale.vmin, scale.vmax, 13)
    figure, grid = plt.subplots(
        len(splits),
        columns,
        figsize=(max(3.6, 0.8 + 2.0 * columns), 2.1 * len(splits) + 0.3),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, ((split, head, seed), panel) in zip(grid.flat, panels, strict=True):
        loss = panel.pivot(index="second", columns="first", values="loss").clip(lower=lowest)
        contours = axes.contourf(
            *(loss.columns, loss.index, loss),
            levels=levels,
            norm=scale,
            cmap=sns.color_palette("rocket_r", as_cmap=True),
        )
        axes.plot(0, 0, "+", color="white", markersize=7)
        axes.set(title=f"{head}, seed {seed}, {split}", aspect="equal")
        axes.grid(visible=False)
    for axes in grid[-1]:
        axes.set_xlabel("first direction")
    for axes in grid[:, 0]:
        axes.set_ylabel("second direction")
    bar = figure.colorbar(contours, ax=grid, label="loss, nats", shrink=0.9)
    bar.ax.yaxis.set_major_formatter("{x:.2g}")
    return figure


def _along(sweeps: pd.DataFrame, measure: str) -> sns.FacetGrid:
    """A line for each head over the radius; the eigenvector and random directions apart."""
    grid = head_panels(
        sweeps,
        x="radius",
        y=measure,
        row="split",
        col="kind",
        errorbar=WHOLE_RANGE,
        height=2.3,
        aspect=1.5,
        axes={"sharex": "col", "sharey": True},
    )
    grid.set_titles("{col_name}, {row_name} images")
    grid.set_axis_labels("radius", "")
    return grid


# -- parts ----------------------------------------------------------------------------------------


def _dots(axes, runs: pd.DataFrame, measure: str, heads: list[str]) -> None:
    """Lay a line for each head on a logarithmic axis: a dot for each seed, a tick for the mean."""
    colour = colours(heads)
    axes.set_xscale("log")
    for y, head in enumerate(heads):
        values = runs[runs["head"] == head][measure]
        values = values[values > 0]
        axes.plot(values, [y] * len(values), "o", color=colour[head], alpha=0.7, markersize=4)
        if len(values):
            mean = np.exp(np.log(values).mean())
            axes.plot(mean, y, marker="|", markersize=13, markeredgewidth=2.2, color=colour[head])
    head_rows(axes, heads)
    axes.grid(axis="x", which="minor", linewidth=0.4)


def _upright(axes, runs: pd.DataFrame, heads: list[str]) -> None:
    colour = colours(heads)
    for x, head in enumerate(heads):
        values = runs[runs["head"] == head]
        if values.empty:
            continue
        places = x + 0.16 * (np.arange(len(values)) - (len(values) - 1) / 2)
        axes.errorbar(
            *(places, values["trace"], values["trace_error"]),
            fmt="o",
            color=colour[head],
            markersize=4,
            linewidth=1.2,
        )
        mean = values["trace"].mean()
        axes.plot(x, mean, marker="_", markersize=18, markeredgewidth=2.2, color=colour[head])
    axes.axhline(0, color=INK, linewidth=1)
    axes.set_xticks(range(len(heads)), heads, rotation=90)
    axes.set_xlim(-0.6, len(heads) - 0.4)


def _plain_ticks(axes) -> None:
    """Plain numbers on a logarithmic axis whose limits are set, more of them where it is short."""
    low, high = axes.get_xlim()
    marks = next((marks for span, marks in MARKS if high / low < span), (1,))
    axes.xaxis.set_major_locator(LogLocator(subs=marks))
    axes.xaxis.set_major_formatter(PLAIN)
    axes.xaxis.set_minor_formatter(NullFormatter())


def _distinct(values: pd.Series) -> list[str]:
    return list(dict.fromkeys(values))
