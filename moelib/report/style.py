"""The style of all figures: colours, markers, axes, legends, and figures as SVG.

A head has the same colour in every figure, and an expert too.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from io import StringIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter

from moelib.study.heads import family

# Of seaborn's palette for the colour-blind, without a pink and with a darker yellow than its own,
# which are too pale on white.
PALETTE = [
    {8: to_rgb("#aa9a00")}.get(i, colour)
    for i, colour in enumerate(sns.color_palette("colorblind"))
    if i != 6
]
# Other hues than the heads', also told apart by colour-blind readers (Tol 2021, "muted").
EXPERTS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499"),
)
KNOWN = ("dense", "soft", "sparse", "switch", "linear", "uniform", "frozen")
ARMS = {"top": "#8a8a2e", "slots": "#cc6677", "guided": "#aa4499", "hard": "#33998a"}  # modalities
MARKERS = dict(zip((*KNOWN, *ARMS), "os^DvpXPd<h", strict=True))  # a star is the paper's number
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
TICKS = (  # below a ratio of its ends: ticks of each decade
    (1.4, (*np.arange(1, 2, 0.1), *np.arange(2, 4, 0.2), *np.arange(4, 10, 0.5))),
    (2, (*np.arange(1, 2, 0.2), *np.arange(2, 4, 0.5), *range(4, 10))),
    (5, (1, 1.5, 2, 3, 4, 5, 7)),
    (25, (1, 2, 3, 5)),
    (100, (1, 2, 5)),
)
LEGEND = {"legend_out": False}  # of a grid; outside, seaborn draws all twice to find its place
LEGEND_WIDTH, MARKER_WIDTH = 90, 7  # characters: of a row of a legend, and of an entry's marker
# Constant ids and no date: the same figure is the same file.
VECTOR = {"svg.hashsalt": "moelib", "svg.fonttype": "none"}


def colours(heads: Iterable[str]) -> dict[str, tuple]:
    """The colour of each head: its family's where that is known, else the next one left over."""
    heads = list(dict.fromkeys(heads))
    fixed = dict(zip(KNOWN, PALETTE, strict=False)) | ARMS
    others = itertools.cycle(PALETTE[len(KNOWN) :])
    return {head: fixed.get(family(head)) or next(others) for head in heads}


def expert_colours(experts: int) -> list[tuple]:
    """A colour for each of so many experts."""
    return sns.color_palette(EXPERTS if experts <= len(EXPERTS) else "husl", experts)


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


def head_panels(
    frame: pd.DataFrame, columns: dict[str, str], axes: dict[str, object], **options
) -> sns.FacetGrid:
    """Panels in which each head has its colour: `seaborn.relplot`.

    Args:
        frame: with the columns that are drawn.
        columns: what of it is x, y, row and col.
        axes: what panels share.
        options: others of seaborn's.
    """
    hue = {"hue": "head", "palette": colours(frame["head"])}
    return sns.relplot(frame, **columns, **hue, facet_kws={**axes, **LEGEND}, **options)


def panels(
    rows: int, columns: int, size: tuple[float, float], x: str = "", y: str = "", **options
) -> tuple[Figure, np.ndarray]:
    """A grid of panels (row, column) of a size in inches; those at its edges name the axes."""
    figure, grid = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained", **options
    )
    for axes in grid[-1]:
        axes.set_xlabel(x)
    for axes in grid[:, 0]:
        axes.set_ylabel(y)
    return figure, grid


def head_rows(axes: Axes, heads: Sequence[str]) -> None:
    """Name the rows of panels in which each head has one, the first on top."""
    axes.set_yticks(range(len(heads)), heads)
    axes.set_ylim(len(heads) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)


def plain_ticks(*axes: Axis) -> None:
    """Plain numbers on logarithmic axes whose ends are set, more of them on a short one."""
    for axis in axes:
        low, high = axis.get_view_interval()
        ticks = next((ticks for ratio, ticks in TICKS if high / low < ratio), (1,))
        axis.set_major_locator(LogLocator(subs=ticks))
        axis.set_major_formatter(PLAIN)
        axis.set_minor_formatter(NullFormatter())


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
