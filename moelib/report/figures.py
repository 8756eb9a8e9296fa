"""Frames as figures: functions of a frame of `frames` that return a matplotlib figure.

A head has the same colour in every figure, and an expert too.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from io import StringIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from moelib.study.heads import family

PALETTE = [c for i, c in enumerate(sns.color_palette("colorblind")) if i != 6]  # too pale a pink
# Other hues than the heads', also told apart by colour-blind readers (Tol 2021, "muted").
EXPERTS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499"),
)
KNOWN = ("dense", "soft", "sparse", "switch", "linear", "uniform", "frozen")
MARKERS = dict(zip(KNOWN, "os^DvpX", strict=True))  # of heads; a star is the paper's number
INK, GRID = "#1f1f1e", "#c9c9c8"  # text and lines: pages show these in the colours of their theme
STYLE = {
    **sns.axes_style("whitegrid"),
    **sns.plotting_context("paper", font_scale=1.05),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("grid.color", "axes.edgecolor"), GRID),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "axes.grid.axis": "y",
    "lines.linewidth": 1.8,
}
PLAIN = "{x:g}"  # numbers on a logarithmic axis
LEGEND = {"legend_out": False}  # of a grid; outside, seaborn draws all twice to find its place
LEGEND_WIDTH, MARKER_WIDTH = 90, 7  # characters: of a row of a legend, and of an entry's marker
# Constant ids and no date: the same figure is the same file.
VECTOR = {"svg.hashsalt": "moelib", "svg.fonttype": "none"}


def colours(heads: Iterable[str]) -> dict[str, tuple]:
    """The colour of each head: its family's where that is known, else the next one left over."""
    heads = list(dict.fromkeys(heads))
    fixed = dict(zip(KNOWN, PALETTE, strict=False))
    others = itertools.cycle(PALETTE[len(KNOWN) :])
    return {head: fixed.get(family(head)) or next(others) for head in heads}


def svg(figure: Figure) -> str:
    """The figure as SVG text, the same text whenever it is drawn; the figure is closed."""
    text = StringIO()
    # Panels that make room themselves keep their size; a legend beside a grid would be cut off.
    box = None if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine) else "tight"
    with mpl.rc_context(VECTOR):
        figure.savefig(text, format="svg", bbox_inches=box, metadata={"Date": None})
    plt.close(figure)
    markup = text.getvalue()
    return markup[markup.index("<svg") :]  # without the declaration, which no page may repeat


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a function that draws a frame do so in the book's style, which does not leak."""

    @functools.wraps(draw)
    def in_style(frame: pd.DataFrame, *arguments, **options) -> Figure:
        # Not `rc_context`, which restores all: also what the notebook's backend sets when the first
        # figure loads it, without which no later figure is shown.
        before = {name: mpl.rcParams[name] for name in STYLE}
        mpl.rcParams.update(STYLE)
        try:
            result = draw(frame, *arguments, **options)
            for figure in result if isinstance(result, list) else [result]:
                figure.set_label(draw.__doc__.partition("\n")[0])  # what a page says below it
            return result
        finally:
            mpl.rcParams.update(before)

    return in_style


# -- accuracy -------------------------------------------------------------------------------------


@styled
def learning_curves(epochs: pd.DataFrame) -> Figure:
    """Loss and accuracy over epochs: mean over seeds, band from the lowest to the highest seed.

    Heads of one colour share an entry of the legend, under the name of their family.
    """
    tidy = epochs.melt(
        id_vars=["head", "seed", "epoch", "split"],
        value_vars=["loss", "accuracy"],
        var_name="measure",
    )
    grid = head_panels(
        tidy,
        x="epoch",
        y="value",
        row="measure",
        col="split",
        estimator="mean" if tidy["seed"].nunique() > 1 else None,  # which takes seconds
        errorbar=("pi", 100),
        legend=False,
        height=2.4,
        aspect=1.45,
        axes={"sharey": "row"},
    )
    for (measure, split), axes in grid.axes_dict.items():
        axes.set(title=f"{measure}, {split} images", ylabel="", xlabel="")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if measure == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        else:
            axes.set_yscale("log")
    for axes in grid.axes[-1]:
        axes.set_xlabel("epoch")
    grid.axes[0, 0].set_ylabel("nats per image")
    grid.add_legend(_by_colour(tidy["head"]), title="head")
    return legend_below(grid)


def _by_colour(heads: Iterable[str]) -> dict[str, Line2D]:
    """A line of each colour, named after the head that has it, or the family of several."""
    sharing: dict[tuple, list[str]] = {}
    for head, colour in colours(heads).items():
        sharing.setdefault(colour, []).append(head)
    return {
        names[0] if len(names) == 1 else family(names[0]): Line2D([], [], color=colour)
        for colour, names in sharing.items()
    }


@styled
def accuracy(accuracy: pd.DataFrame, finals: pd.DataFrame) -> Figure:
    """Test accuracy: each seed (dot), and mean with interval (bar) of each head."""
    figure, axes = plt.subplots(figsize=(7.2, 0.5 + 0.42 * len(accuracy)))
    _intervals(axes, accuracy["head"], accuracy["mean"], accuracy, finals, "test_accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("test accuracy")
    return figure


@styled
def differences(differences: pd.DataFrame, by_seed: pd.DataFrame) -> Figure:
    """Paired differences to the dense head: each seed (dot), and mean with interval (bar)."""
    figure, axes = plt.subplots(figsize=(7.2, 0.5 + 0.42 * len(differences)))
    means, dots = _in_points(differences), _in_points(by_seed)
    _intervals(axes, means["head"], means["difference"], means, dots, "difference")
    axes.axvline(0, color=INK, linewidth=1, linestyle="--")
    axes.set_xlabel("test accuracy minus that of dense, percentage points")
    return figure


def _intervals(axes, heads, centres, intervals, runs, value: str) -> None:
    colour = colours(heads)
    for y, (head, centre) in enumerate(zip(heads, centres, strict=True)):
        row = intervals[intervals["head"] == head].iloc[0]
        axes.plot([row["low"], row["high"]], [y, y], color=colour[head], linewidth=2.2)
        axes.plot(centre, y, marker="|", markersize=14, markeredgewidth=2.2, color=colour[head])
        dots = runs[runs["head"] == head][value]
        axes.plot(dots, [y + 0.22] * len(dots), "o", color=colour[head], alpha=0.7, markersize=4)
    head_rows(axes, heads)


def _in_points(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = frame.columns.intersection(["difference", "low", "high"])
    return frame.assign(**{name: 100 * frame[name] for name in numbers})


# -- utilization ----------------------------------------------------------------------------------


@styled
def expert_usage(usage: pd.DataFrame) -> Figure:
    """Each expert's share of gate mass and of selections, beside the uniform share (dashed)."""
    measures = {"gate_mass": "gate mass", "selections": "selections"}
    tidy = usage.rename(columns=measures).melt(
        id_vars=["head", "seed", "split", "expert"],
        value_vars=list(measures.values()),
        var_name="share of",
    )
    grid = sns.catplot(
        tidy,
        kind="bar",
        x="expert",
        y="value",
        row=None if tidy["split"].nunique() == 1 else "split",
        col="head",
        hue="share of",
        palette=[PALETTE[6], PALETTE[8]],
        errorbar=None,
        **LEGEND,
        **_panels(tidy["head"].nunique()),
    )
    _uniform_line(grid, tidy)
    grid.set_axis_labels("expert", "share")
    grid.set_titles(col_template="{col_name}", row_template="{row_name} images")
    return legend_below(grid)


@styled
def usage_over_epochs(usage: pd.DataFrame, split: str = "train") -> Figure:
    """Share of gate mass of each expert over epochs: a line that touches 0 is a dead expert."""
    chosen = usage[usage["split"] == split]
    experts = chosen["expert"].nunique()
    grid = sns.relplot(
        chosen,
        kind="line",
        x="epoch",
        y="gate_mass",
        col="head",
        hue="expert",
        palette=expert_colours(experts),
        errorbar=None,
        facet_kws=LEGEND,
        **_panels(chosen["head"].nunique()),
    )
    _uniform_line(grid, chosen)
    grid.set(ylim=(0, None))
    grid.set_axis_labels("epoch", "share of gate mass")
    grid.set_titles("{col_name}")
    for axes in grid.axes.flat:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return legend_below(grid)


@styled
def entropy(epochs: pd.DataFrame, bounds: dict[str, float]) -> Figure:
    """Entropy of the gate over epochs (mean and range over seeds), and its bound (dashed)."""
    rows = epochs[(epochs["split"] == "validation") & epochs["head"].isin(bounds)]
    colour = colours(rows["head"])
    figure, axes = plt.subplots(figsize=(7.2, 2.8))
    sns.lineplot(
        rows,
        x="epoch",
        y="entropy",
        hue="head",
        palette=colour,
        errorbar=("pi", 100),
        ax=axes,
    )
    for head, bound in bounds.items():
        axes.axhline(bound, color=colour[head], linestyle="--", linewidth=1)
    axes.set(ylim=(-0.05, None), ylabel="entropy of the gate, nats")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5), title=None, frameon=False)
    return figure


@styled
def class_expert(shares: pd.DataFrame, classes: Iterable[str] | None = None) -> Figure:
    """How each class's gate mass is divided among the experts: rows of a heat map sum to 1."""
    panels = list(shares.groupby(["head", "seed"], sort=False))
    figure, grid = plt.subplots(
        1, len(panels), figsize=(max(3.6, 2.9 * len(panels)), 3.1), sharey=True, squeeze=False
    )
    for axes, ((head, seed), panel) in zip(grid.flat, panels, strict=True):
        matrix = panel.pivot(index="class", columns="expert", values="share")  # (c, e)
        sns.heatmap(
            matrix,
            vmin=0,
            vmax=1,
            cmap=sns.color_palette("rocket_r", as_cmap=True),
            square=True,
            linewidths=0.4,
            cbar=axes is grid.flat[-1],
            cbar_kws={"label": "share of the class's gate mass", "shrink": 0.8},
            yticklabels="auto" if classes is None else list(classes),
            ax=axes,
        )
        axes.set(title=f"{head}, seed {seed}", ylabel="class" if axes is grid.flat[0] else "")
        axes.tick_params(axis="y", labelrotation=0)
    figure.tight_layout()
    return figure


def _panels(columns: int) -> dict:
    """Size of the panels of a row that is as wide as the page."""
    return {"height": 2.3, "aspect": max(0.8, 3.2 / columns)}


def expert_colours(experts: int) -> list[tuple]:
    """A colour for each of so many experts."""
    return sns.color_palette(EXPERTS if experts <= len(EXPERTS) else "husl", experts)


def _uniform_line(grid: sns.FacetGrid, usage: pd.DataFrame) -> None:
    experts = usage.groupby("head")["expert"].nunique()  # heads of a study may differ in it
    for panel, axes in grid.axes_dict.items():
        head = panel[-1] if isinstance(panel, tuple) else panel  # a row and a column, or a column
        axes.axhline(1 / experts[head], color=INK, linewidth=1, linestyle="--", zorder=3)


def head_panels(frame: pd.DataFrame, axes: dict, kind: str = "line", **options) -> sns.FacetGrid:
    """Panels in which each head has its colour: `seaborn.relplot`, and what its axes share."""
    facets = {**axes, **LEGEND}
    colour = colours(frame["head"])
    return sns.relplot(frame, kind=kind, hue="head", palette=colour, facet_kws=facets, **options)


def head_rows(axes: Axes, heads: Sequence[str]) -> None:
    """Name the rows of panels in which each head has one, the first on top."""
    axes.set_yticks(range(len(heads)), heads)
    axes.set_ylim(len(heads) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)


def legend_outside(figure: Figure, axes: Axes, columns: int | None = None) -> None:
    """The legend of one panel beneath all, in a row or in columns."""
    handles, labels = axes.get_legend_handles_labels()
    place = {"loc": "outside lower center", "frameon": False}
    figure.legend(handles, labels, ncol=columns or len(labels), **place)


def legend_below(grid: sns.FacetGrid) -> Figure:
    """The grid's figure, its legend in rows beneath the panels, no wider than they are."""
    if grid.legend is not None:
        names = [text.get_text() for text in grid.legend.get_texts()]
        columns = LEGEND_WIDTH // (max(map(len, names)) + MARKER_WIDTH)
        sns.move_legend(
            *(grid, "upper center"),
            bbox_to_anchor=(0.5, 0.02),
            ncol=max(1, min(len(names), columns)),
            frameon=False,
        )
    return grid.figure
