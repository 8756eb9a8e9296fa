"""Costs as figures: functions of a frame of `moelib.report.costs`, in the style of the others."""

from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from moelib.report.costs import analysed_heads
from moelib.report.figures import (
    INK,
    LEGEND,
    PLAIN,
    colours,
    legend_below,
    legend_outside,
    styled,
)


@styled
def latency(latencies: pd.DataFrame) -> Figure:
    """Time times that of the reference over batches: median of the pairs (line), quartiles (band).

    One panel for the head alone and one for the whole model, eager, on learned routing, with the
    executor of the rule.
    """
    rows = analysed_heads(latencies)
    parts = [part for part in ("head", "model") if part in set(rows["part"])]
    colour = colours(rows["head"])
    figure, grid = plt.subplots(
        1, len(parts), figsize=(7.2, 2.8), squeeze=False, layout="constrained"
    )
    for axes, part in zip(grid.flat, parts, strict=True):
        for head, points in rows[rows["part"] == part].groupby("head", sort=False):
            points = points.groupby("batch")[["ratio", "ratio_low", "ratio_high"]].median()
            axes.plot(points.index, points["ratio"], "o-", color=colour[head], label=head, ms=3)
            band = points["ratio_low"], points["ratio_high"]
            axes.fill_between(points.index, *band, color=colour[head], alpha=0.2, linewidth=0)
        _over_batches(axes, {"head": "head alone", "model": "whole model"}[part])
    grid[0, 0].set_ylabel("time, times the reference's")
    legend_outside(figure, grid[0, 0])
    return figure


@styled
def executors(latencies: pd.DataFrame) -> Figure:
    """Milliseconds of the head alone: each executor on learned routing, `auto` on the others."""
    rows = latencies[(latencies["part"] == "head") & latencies["executor"].notna()].assign(
        way=lambda t: t["executor"].where(t["routing"] == "learned", t["routing"] + " routing")
    )
    grid = sns.relplot(
        rows,
        kind="line",
        x="batch",
        y="ms",
        col="head",
        hue="way",
        style="way",  # lines lie on each other where the routing cannot matter
        estimator="median",
        errorbar=None,
        palette="colorblind",
        height=2.5,
        aspect=max(0.8, 3.2 / rows["head"].nunique()),
        facet_kws=LEGEND,
    )
    grid.set(xscale="log", yscale="log")
    grid.set_axis_labels("batch", "ms")
    grid.set_titles("{col_name}")
    for axes in grid.axes.flat:
        axes.xaxis.set_major_formatter(PLAIN)
        axes.yaxis.set_major_formatter(PLAIN)
        axes.yaxis.set_minor_formatter(NullFormatter())
    return legend_below(grid)


@styled
def stacked_experts(speed: pd.DataFrame) -> Figure:
    """How many times faster than a loop over modules, over batches: medians, quartiles, aims.

    One panel for each mode of the benchmark `heads`, a line for each head and size, dotted where
    more than never to be slower was aimed at.
    """
    modes, sizes = speed["mode"].unique(), speed.groupby(["experts", "hidden"], sort=False)
    style = dict(zip(sizes.groups, cycle(("-", "--", "-.")), strict=False))
    colour = colours(speed["head"])
    figure, grid = plt.subplots(
        1, len(modes), figsize=(7.2, 3), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, mode in zip(grid.flat, modes, strict=True):
        lines = speed[speed["mode"] == mode].groupby(["head", "experts", "hidden"], sort=False)
        for (head, *size), points in lines:
            x, ratio = points["batch"], points["ratio"]
            axes.errorbar(
                x,
                ratio,
                (ratio - points["low"], points["high"] - ratio),
                label=f"{head}, E = {size[0]}, h = {size[1]}",
                color=colour[head],
                linestyle=style[tuple(size)],
                marker="o",
                markersize=3,
            )
            axes.plot(x, points["target"].where(points["target"] > 1), ":", color=colour[head])
        _over_batches(axes, mode)
    grid[0, 0].set_ylabel("times as fast as the loop")
    legend_outside(figure, grid[0, 0], columns=2)
    return figure


@styled
def speedups(scale: pd.DataFrame) -> Figure:
    """Speed-up over the dense head of equal total parameters, against the share k/E of its experts.

    One panel for each width and batch; the ideal E/k is dashed, and 1 is where dense is as fast.
    """
    widths = list(dict.fromkeys(zip(scale["features"], scale["hidden"], strict=True)))
    batches = sorted(scale["batch"].unique())
    experts = sorted(scale["experts"].unique())
    colour = dict(zip(experts, sns.color_palette("viridis", len(experts)), strict=True))
    figure, grid = plt.subplots(
        len(widths),
        len(batches),
        figsize=(7.4, 0.6 + 1.75 * len(widths)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for row, (features, hidden) in zip(grid, widths, strict=True):
        for axes, batch in zip(row, batches, strict=True):
            panel = scale.query("features == @features and hidden == @hidden and batch == @batch")
            ideal = np.array([scale["share"].min(), 1])
            axes.plot(ideal, 1 / ideal, color=INK, linewidth=1, linestyle="--")
            axes.axhline(1, color=INK, linewidth=0.8)
            for count, points in panel.groupby("experts"):
                points = points.sort_values("share")
                axes.plot(points["share"], points["speedup"], "o-", color=colour[count], ms=2.5)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            axes.set_title(f"d {features}, h {hidden}, n {batch}", fontsize="small")
            axes.xaxis.set_major_formatter(FuncFormatter(_share))
            axes.yaxis.set_major_formatter(FuncFormatter(_share))
    for axes in grid[-1]:
        axes.set_xlabel("k / E")
    for axes in grid[:, 0]:
        axes.set_ylabel("times faster")
    handles = [
        plt.Line2D([], [], color=colour[e], marker="o", ms=3, label=f"E = {e}") for e in experts
    ]
    figure.legend(handles=handles, loc="outside lower center", ncol=len(experts), frameon=False)
    return figure


@styled
def roofline(scale: pd.DataFrame, gigaflops: float, gigabytes: float) -> Figure:
    """Attained speed against operations per byte, under what arithmetic and memory allow."""
    figure, axes = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    intensity = np.geomspace(scale["intensity"].min() / 2, scale["intensity"].max() * 2, 200)
    axes.plot(intensity, np.minimum(gigaflops, intensity * gigabytes), color=INK, linewidth=1.5)
    sns.scatterplot(
        scale.assign(batch=scale["batch"].astype(str)),
        x="intensity",
        y="gigaflops",
        hue="batch",
        style="chosen",
        palette="viridis",
        s=22,
        ax=axes,
    )
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s")
    axes.xaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_major_formatter(PLAIN)
    sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


@styled
def predictions(held_out: pd.DataFrame) -> Figure:
    """Predicted against measured latency of sizes that the model was not fitted to."""
    figure, axes = plt.subplots(figsize=(4.6, 3.6), layout="constrained")
    sns.scatterplot(
        held_out, x="ms", y="predicted", hue="head", palette="colorblind", s=12, ax=axes
    )
    ends = [held_out["ms"].min(), held_out["ms"].max()]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="measured, ms", ylabel="predicted, ms")
    axes.xaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_major_formatter(PLAIN)
    sns.move_legend(axes, "upper left", title=None, frameon=False)
    return figure


@styled
def front(tradeoff: pd.DataFrame) -> Figure:
    """Accuracy against latency, with intervals; the line is the Pareto front, its heads named."""
    panels = list(dict.fromkeys(zip(tradeoff["part"], tradeoff["batch"], strict=True)))
    colour = colours(tradeoff["family"])
    rows = -(-len(panels) // 2)
    figure, grid = plt.subplots(
        rows,
        min(2, len(panels)),
        figsize=(7.4, 0.5 + 3.1 * rows),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, (part, batch) in zip(grid.flat, panels, strict=False):
        panel = tradeoff[(tradeoff["part"] == part) & (tradeoff["batch"] == batch)]
        for family, points in panel.groupby("family", sort=False):
            axes.errorbar(
                points["ms"],
                points["accuracy"],
                yerr=[points["accuracy"] - points["low"], points["high"] - points["accuracy"]],
                xerr=[points["ms"] - points["ms_low"], points["ms_high"] - points["ms"]],
                fmt="o",
                ms=4,
                lw=0.8,
                color=colour[family],
                label=family,
            )
        best = panel[panel["efficient"]].sort_values("ms")
        axes.plot(best["ms"], best["accuracy"], color=INK, linewidth=1, drawstyle="steps-post")
        for row in best.itertuples():
            axes.annotate(
                row.head,
                (row.ms, row.accuracy),
                fontsize=6,
                xytext=(3, 3),
                textcoords="offset points",
                zorder=5,  # above the bars
            )
        axes.set(title=f"{part}, batch {batch}", xlabel="ms")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    for axes in grid[:, 0]:
        axes.set_ylabel("test accuracy")
    legend_outside(figure, grid[0, 0])
    return figure


def _over_batches(axes: Axes, title: str) -> None:
    """A panel of times over batches; the dashed line is the time that they are compared with."""
    axes.axhline(1, color=INK, linewidth=1, linestyle="--")
    axes.set(xlabel="batch", title=title)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(PLAIN)


def _share(value: float, _) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"
