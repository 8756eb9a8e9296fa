"""Where sparsity pays, as figures: speed-ups, the roofline, predictions, the Pareto front."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from moelib.report.style import INK, colours, legend_outside, plain_ticks, styled


@styled
def speedups(scale: pd.DataFrame) -> Figure:
    """Speed-up over the dense head of equal total parameters, against the share k/E of its experts.

    One panel for each width and batch; the ideal E/k is dashed, and 1 is where dense is as fast.
    """
    widths = list(dict.fromkeys(zip(scale["features"], scale["hidden"], strict=True)))
    batches = sorted(scale["batch"].unique())
    experts = sorted(scale["experts"].unique())
    colour = dict(zip(experts, sns.color_palette("flare", len(experts)), strict=True))
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
        palette="flare",
        s=22,
        ax=axes,
    )
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s")
    plain_ticks(axes.xaxis, axes.yaxis)
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
    plain_ticks(axes.xaxis, axes.yaxis)
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


def _share(value: float, _) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"
