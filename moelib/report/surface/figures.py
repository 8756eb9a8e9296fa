"""The loss surface as figures: rises along directions, rerouted images, planes."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from moelib.report.style import INK, head_panels, legend_below, panels, styled
from moelib.report.surface.tables import EIGENVECTOR, RANDOM

RISES = {
    EIGENVECTOR: "rise along the top eigenvector, nats",
    RANDOM: "rise along random directions, nats",
}
BEYOND = 1.25  # factor by which the axis goes below the lowest rise
WHOLE_RANGE = ("pi", 100)  # bands reach from the lowest to the highest
LINEAR_BELOW = 0.01  # nats: rises around 0, of either sign, on an axis that is logarithmic beyond
LOWEST_LOSS = 1e-6  # nats, on a logarithmic scale


@styled
def sweeps(sweeps: pd.DataFrame) -> Figure:
    """Rise of the loss against the radius: means, with bands over directions and seeds.

    The axis ends a little below the lowest rise, or below 0 where none is negative.
    """
    rows = sweeps[sweeps["radius"] > 0]
    lowest = min(0, rows["rise"].min())
    grid = _along(rows, "rise", "rise of the loss, nats")
    for axes in grid.axes.flat:
        axes.set_yscale("symlog", linthresh=LINEAR_BELOW)
        axes.set_ylim(bottom=BEYOND * lowest - LINEAR_BELOW / 10)
        axes.axhline(0, color=INK, linewidth=1)
    return legend_below(grid)


@styled
def rerouting(sweeps: pd.DataFrame) -> Figure:
    """Share of images whose chosen experts change, against the radius: means, bands as above."""
    grid = _along(sweeps.dropna(subset="rerouted"), "rerouted", "images rerouted")
    for axes in grid.axes.flat:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    return legend_below(grid)


@styled
def planes(planes: pd.DataFrame) -> Figure:
    """The loss over the plane of two directions: one panel per run and split, all on one scale."""
    splits, runs = planes["split"].unique(), planes.groupby(["head", "seed"], sort=False)
    lowest = max(planes["loss"].min(), LOWEST_LOSS)
    highest = max(planes["loss"].max(), 2 * lowest)
    colours = {"norm": LogNorm(lowest, highest), "cmap": "rocket_r"}
    levels = np.geomspace(lowest, highest, 13)
    size = (max(3.6, 0.8 + 2.0 * len(runs)), 2.1 * len(splits) + 0.3)
    labels = ("first direction", "second direction")
    figure, grid = panels(len(splits), len(runs), size, *labels, sharex=True, sharey=True)
    for column, ((head, seed), run) in zip(grid.T, runs, strict=True):
        for axes, split in zip(column, splits, strict=True):
            points = run[run["split"] == split]
            loss = points.pivot(index="second", columns="first", values="loss").clip(lower=lowest)
            contours = axes.contourf(loss.columns, loss.index, loss, levels, **colours)
            axes.plot(0, 0, "+", color="white", markersize=7)
            axes.set(title=f"{head}, seed {seed}, {split}", aspect="equal")
            axes.grid(visible=False)
    bar = figure.colorbar(contours, ax=grid, label="loss, nats", shrink=0.9)
    bar.ax.yaxis.set_major_formatter("{x:.2g}")
    return figure


def _along(sweeps: pd.DataFrame, measure: str, label: str) -> sns.FacetGrid:
    """A line for each head over the radius; the eigenvector and random directions apart."""
    columns = {"x": "radius", "y": measure, "row": "split", "col": "kind"}
    lines = {"kind": "line", "errorbar": WHOLE_RANGE, "height": 2.3, "aspect": 1.5}
    grid = head_panels(sweeps, columns, {"sharex": "col", "sharey": True}, **lines)
    grid.set_titles("{col_name}, {row_name} images")
    grid.set_axis_labels("radius", label)
    return grid
