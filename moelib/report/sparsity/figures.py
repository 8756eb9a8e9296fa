"""Where sparsity pays, as figures: speed-ups, the Pareto front."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from moelib.report.forest import WIDTH
from moelib.report.style import (
    INK,
    colours,
    legend_below,
    legend_outside,
    panels,
    styled,
)


@styled
def speedups(scale: pd.DataFrame, panel: pd.Series) -> Figure:
    """Speed-up over the dense head of equal total parameters, against the ideal E/k (dashed).

    A mark for each head; those with experts of one width d x h have one colour and shape. 1 is as
    fast as dense.

    Args:
        scale: rows of `tables.scale`.
        panel: the name of the panel of each.
    """
    widths = scale["features"].astype(str) + " × " + scale["hidden"].astype(str)
    sizes = widths.nunique()
    columns = {"x": "ideal", "y": "speedup", "hue": "an expert, d × h", "col": "panel"}
    grid = sns.relplot(
        scale.assign(**{"panel": panel, columns["hue"]: widths}),
        **columns,
        style=columns["hue"],
        col_wrap=min(2, panel.nunique()),
        palette=sns.color_palette("viridis", sizes + 1)[:sizes],  # without the palest
        height=3.2,
        aspect=WIDTH / 3.2,
        alpha=0.7,
        s=20,
        facet_kws={"legend_out": False},
    )
    ends = [scale["ideal"].min(), scale["ideal"].max()]
    for axes in grid.axes.flat:
        axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
        axes.axhline(1, color=INK, linewidth=0.8)
        for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
            set_scale("log", base=2)
            axis.set_major_formatter(_fraction)
    grid.set_titles("{col_name}").set_axis_labels("ideal, E / k", "times faster than dense")
    return legend_below(grid)


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


def _fraction(value: float, _) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"
