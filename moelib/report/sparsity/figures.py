"""Where sparsity pays, as figures: speed-ups, the roofline, predictions, the Pareto front."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from moelib.report.forest import WIDTH
from moelib.report.style import INK, colours, legend_outside, panels, plain_ticks, styled


@styled
def speedups(scale: pd.DataFrame) -> Figure:
    """Speed-up over the dense head of equal total parameters, against the share k/E of its experts.

    One panel for each width and batch; the ideal E/k is dashed, and 1 is where dense is as fast.
    """
    widths = list(dict.fromkeys(zip(scale["features"], scale["hidden"], strict=True)))
    batches = sorted(scale["batch"].unique())
    experts = sorted(scale["experts"].unique())
    colour = dict(zip(experts, sns.color_palette("flare", len(experts)), strict=True))
    size, labels = (7.4, 0.6 + 1.75 * len(widths)), ("k / E", "times faster")
    figure, grid = panels(len(widths), len(batches), size, *labels, sharex=True, sharey=True)
    ideal = np.array([scale["share"].min(), 1])
    for axes, ((features, hidden), batch) in zip(grid.flat, product(widths, batches), strict=True):
        panel = scale.query("features == @features and hidden == @hidden and batch == @batch")
        axes.plot(ideal, 1 / ideal, color=INK, linewidth=1, linestyle="--")
        axes.axhline(1, color=INK, linewidth=0.8)
        for count, points in panel.groupby("experts"):
            points = points.sort_values("share")
            axes.plot(points["share"], points["speedup"], "o-", color=colour[count], ms=2.5)
        axes.set_title(f"d {features}, h {hidden}, n {batch}", fontsize="small")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.xaxis.set_major_formatter(_share)
        axes.yaxis.set_major_formatter(_share)
    handles = [
        plt.Line2D([], [], color=colour[e], marker="o", ms=3, label=f"E = {e}") for e in experts
    ]
    figure.legend(handles=handles, loc="outside lower center", ncol=len(experts), frameon=False)
    return figure


@styled
def overview(scale: pd.DataFrame, title: str) -> Figure:
    """Speed-up over the dense head of equal total parameters, against the ideal E/k (dashed).

    A dot for each head; those with experts of one width d x h have one colour. 1 is as fast as
    dense.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    widths = list(scale.groupby(["features", "hidden"]))
    for (width, heads), colour in zip(widths, sns.color_palette("flare", len(widths)), strict=True):
        dots = {"linestyle": "none", "marker": "o", "markersize": 3, "alpha": 0.7, "color": colour}
        axes.plot(heads["ideal"], heads["speedup"], label="{} × {}".format(*width), **dots)
    ends = [scale["ideal"].min(), scale["ideal"].max()]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.set(title=title, xlabel="ideal, E / k", ylabel="times faster than dense")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.xaxis.set_major_formatter(_share)
    axes.yaxis.set_major_formatter(_share)
    axes.legend(title="an expert, d × h", frameon=False, handletextpad=0.2)
    return figure


@styled
def roofline(scale: pd.DataFrame, gigaflops: float, gigabytes: float) -> Figure:
    """Attained speed against operations per byte, under what arithmetic and memory allow."""
    figure, axes = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    intensity = np.geomspace(scale["intensity"].min() / 2, scale["intensity"].max() * 2, 200)
    axes.plot(intensity, np.minimum(gigaflops, intensity * gigabytes), color=INK, linewidth=1.5)
    columns = {"x": "intensity", "y": "gigaflops", "hue": "batch", "style": "chosen"}
    points = scale.assign(batch=scale["batch"].astype(str))
    sns.scatterplot(points, **columns, palette="flare", s=22, ax=axes)
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s")
    plain_ticks(axes.xaxis, axes.yaxis)
    sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


@styled
def predictions(held_out: pd.DataFrame) -> Figure:
    """Predicted against measured latency of sizes that the model was not fitted to."""
    figure, axes = plt.subplots(figsize=(4.6, 3.6), layout="constrained")
    columns = {"x": "ms", "y": "predicted", "hue": "head"}
    sns.scatterplot(held_out, **columns, palette="colorblind", s=12, ax=axes)
    ends = [held_out["ms"].min(), held_out["ms"].max()]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="measured, ms", ylabel="predicted, ms")
    plain_ticks(axes.xaxis, axes.yaxis)
    sns.move_legend(axes, "upper left", title=None, frameon=False)
    return figure


@styled
def front(tradeoff: pd.DataFrame) -> Figure:
    """Accuracy against latency, with intervals. The line is the Pareto front.

    Its heads are named, each with the share of resamples in which it stays there.
    """
    timed = list(tradeoff.groupby(["part", "batch"], sort=False))
    colour = colours(tradeoff["family"])
    rows = -(-len(timed) // 2)
    size, columns = (7.4, 0.5 + 3.1 * rows), min(2, len(timed))
    figure, grid = panels(rows, columns, size, y="test accuracy", sharey=True)
    for axes in grid.flat[len(timed) :]:
        axes.remove()
    for axes, ((part, batch), panel) in zip(grid.flat, timed, strict=False):
        for family, points in panel.groupby("family", sort=False):
            x, y = points["ms"], points["accuracy"]
            across = (x - points["ms_low"], points["ms_high"] - x)
            along = (y - points["low"], points["high"] - y)
            style = {"color": colour[family], "fmt": "o", "ms": 4, "lw": 0.8}
            axes.errorbar(x, y, along, across, label=family, **style)
        best = panel[panel["efficient"]].sort_values("ms")
        axes.plot(best["ms"], best["accuracy"], color=INK, linewidth=1, drawstyle="steps-post")
        for row in best.itertuples():
            at = {"xytext": (3, 3), "textcoords": "offset points", "zorder": 5}  # above the bars
            name = f"{row.head} {row.stays:.0%}"
            axes.annotate(name, (row.ms, row.accuracy), fontsize="small", **at)
        axes.set(title=f"{part}, batch {batch}", xlabel="ms")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    legend_outside(figure, grid[0, 0])
    return figure


def _share(value: float, _) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"
