"""Costs of inference as figures: times over batches, of heads, executors and benchmarks."""

from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moelib.report import style
from moelib.report.efficiency.tables import PARTS, analysed_heads
from moelib.report.forest import WIDTH


@style.styled
def latencies(latencies: pd.DataFrame) -> Figure:
    """Time relative to the reference, by batch size: medians of pairs (lines), quartiles (bands).

    One panel for the head alone and one for the whole model, eager, on learned routing, with the
    executor of the rule.
    """
    rows = analysed_heads(latencies)
    colour = style.colours(rows["head"])
    figure, grid = style.panels(1, len(PARTS), (7.2, 2.8), y="time, relative to the reference")
    for axes, (part, title) in zip(grid.flat, PARTS.items(), strict=True):
        for head, points in rows[rows["part"] == part].groupby("head", sort=False):
            points = points.groupby("batch")[["ratio", "ratio_low", "ratio_high"]].median()
            axes.plot(points.index, points["ratio"], "o-", color=colour[head], label=head, ms=3)
            band = points["ratio_low"], points["ratio_high"]
            axes.fill_between(points.index, *band, color=colour[head], alpha=0.2, linewidth=0)
        _over_batches(axes, title)
    style.legend_outside(figure, grid[0, 0])
    return figure


@style.styled
def executors(latencies: pd.DataFrame) -> Figure:
    """Milliseconds of the head alone: all executors on learned routing, `auto` on the others."""
    rows = latencies[(latencies["part"] == "head") & latencies["executor"].notna()].assign(
        way=lambda t: t["executor"].where(t["routing"] == "learned", t["routing"] + " routing")
    )
    # Lines lie on each other where the routing cannot matter: they differ in style too.
    columns = {"x": "batch", "y": "ms", "col": "head", "hue": "way", "style": "way"}
    lines = {"kind": "line", "estimator": "median", "errorbar": None, "palette": "colorblind"}
    size = {"height": 2.5, "aspect": max(0.8, 3.2 / rows["head"].nunique())}
    grid = sns.relplot(rows, **columns, **lines, **size, facet_kws=style.LEGEND)
    grid.set(xscale="log", yscale="log")
    grid.set_axis_labels("batch", "ms")
    grid.set_titles("{col_name}")
    for axes in grid.axes.flat:
        axes.xaxis.set_major_formatter(style.PLAIN)
        style.plain_ticks(axes.yaxis)
    return style.legend_below(grid)


@style.styled
def ways(executors: pd.DataFrame) -> list[Figure]:
    """Time of a head alone relative to dense, over batches: each executor, ringed if chosen."""
    names = list(dict.fromkeys(executors["executor"]))
    looks = [*zip(names, style.expert_colours(len(names)), "osD"[: len(names)], strict=True)]
    figures = []
    for head, rows in executors.groupby("head", sort=False):
        figure, axes = plt.subplots(figsize=(WIDTH, 2.8), layout="constrained")
        for name, colour, marker in looks:
            points = rows[rows["executor"] == name]
            line = {"color": colour, "marker": marker, "markersize": 4, "label": name}
            axes.plot(points["batch"], points["ratio"], **line)
        chosen = rows[rows["chosen"]]
        ring = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "color": style.INK}
        axes.plot(chosen["batch"], chosen["ratio"], linestyle="none", **ring, label="chosen")
        _over_batches(axes, head)
        axes.set(yscale="log", ylabel="time, relative to dense")
        style.plain_ticks(axes.yaxis)
        if not figures:  # one legend for all
            axes.legend(frameon=False)
        figures.append(figure)
    return figures


@style.styled
def stacked_experts(speed: pd.DataFrame) -> Figure:
    """How many times faster than a loop over modules, by batch: medians, quartiles, aims.

    One panel for each mode of the benchmark `heads`, a line for each head and size, dotted where
    more than never to be slower was aimed at.
    """
    modes, sizes = speed["mode"].unique(), speed.groupby(["experts", "hidden"], sort=False)
    dashes = dict(zip(sizes.groups, cycle(("-", "--", "-.")), strict=False))
    colour = style.colours(speed["head"])
    figure, grid = style.panels(1, len(modes), (7.2, 3), y="times as fast as the loop", sharey=True)
    for axes, mode in zip(grid.flat, modes, strict=True):
        lines = speed[speed["mode"] == mode].groupby(["head", "experts", "hidden"], sort=False)
        for (head, *size), points in lines:
            x, ratio = points["batch"], points["ratio"]
            ends = (ratio - points["low"], points["high"] - ratio)
            line = {"color": colour[head], "linestyle": dashes[tuple(size)]}
            label = f"{head}, E = {size[0]}, h = {size[1]}"
            axes.errorbar(x, ratio, ends, label=label, marker="o", markersize=3, **line)
            axes.plot(x, points["target"].where(points["target"] > 1), ":", color=colour[head])
        _over_batches(axes, mode)
    style.legend_outside(figure, grid[0, 0], columns=2)
    return figure


def _over_batches(axes: Axes, title: str) -> None:
    """A panel of times over batches; the dashed line is the time that they are compared with."""
    axes.axhline(1, color=style.INK, linewidth=1, linestyle="--")
    axes.set(xlabel="batch", title=title)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(style.PLAIN)
