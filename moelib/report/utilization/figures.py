"""The use of experts as figures: their shares of images, over epochs and by class."""

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moelib.report import style


@style.styled
def expert_shares(usage: pd.DataFrame) -> Figure:
    """Each expert's share of gate mass and of selections; the dashed line is uniform use."""
    measures = {"gate_mass": "gate mass", "selections": "selections"}
    runs = ["head", "seed", "split", "expert"]
    tidy = usage.rename(columns=measures).melt(runs, [*measures.values()], var_name="share of")
    columns = {"x": "expert", "y": "value", "col": "head", "hue": "share of"}
    if tidy["split"].nunique() > 1:
        columns["row"] = "split"
    palette = [style.PALETTE[6], style.PALETTE[8]]
    size = _panels(tidy["head"].nunique()) | style.LEGEND
    grid = sns.catplot(tidy, kind="bar", **columns, palette=palette, errorbar=None, **size)
    _uniform_line(grid, tidy)
    grid.set_axis_labels("expert", "share")
    grid.set_titles(col_template="{col_name}", row_template="{row_name} images")
    return style.legend_below(grid)


@style.styled
def expert_shares_by_epoch(usage: pd.DataFrame) -> Figure:
    """Each expert's share of gate mass by epoch; an expert whose line touches 0 is dead."""
    chosen = usage[usage["split"] == "train"]
    colours = style.expert_colours(chosen["expert"].nunique())
    columns = {"x": "epoch", "y": "gate_mass", "col": "head", "hue": "expert"}
    drawing = {"kind": "line", "palette": colours, "errorbar": None, "facet_kws": style.LEGEND}
    grid = sns.relplot(chosen, **columns, **drawing, **_panels(chosen["head"].nunique()))
    _uniform_line(grid, chosen)
    grid.set(ylim=(0, None))
    grid.set_axis_labels("epoch", "share of gate mass")
    grid.set_titles("{col_name}")
    for axes in grid.axes.flat:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return style.legend_below(grid)


@style.styled
def dead_by_epoch(dead: pd.DataFrame) -> Figure:
    """The number of dead experts in each epoch of training, one line per run."""
    columns = {"x": "epoch", "y": "dead", "col": "head"}
    lines = {"kind": "line", "units": "seed", "estimator": None, "drawstyle": "steps-mid"}
    looks = {"alpha": 0.7, "linewidth": 1.2, "legend": False} | _panels(dead["head"].nunique())
    grid = style.head_panels(dead, columns, {}, **lines, **looks)
    grid.set(ylim=(-0.2, dead["experts"].max()))
    grid.set_axis_labels("epoch", "dead experts")
    grid.set_titles("{col_name}")
    for axes in grid.axes.flat:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
    return grid.figure


@style.styled
def class_shares(shares: pd.DataFrame, classes: Sequence[str] | None = None) -> Figure:
    """How each class's gate mass is divided among the experts: rows of a heat map sum to 1."""
    runs = list(shares.groupby(["head", "seed"], sort=False))
    width = 1.2 + max(2.4, 1.9 * len(runs))
    figure, grid = style.panels(1, len(runs), (width, 2.8), "expert", "class", sharey=True)
    for axes, ((head, seed), run) in zip(grid.flat, runs, strict=True):
        matrix = run.pivot(index="class", columns="expert", values="share")  # (c, e)
        # An image and no cells: as vectors those of many studies weigh a megabyte on a page.
        scale = {"vmin": 0, "vmax": 1, "cmap": sns.color_palette("rocket_r", as_cmap=True)}
        image = axes.imshow(matrix, **scale, interpolation="none", aspect="auto")
        axes.grid(visible=False)
        axes.set_title(f"{head}, seed {seed}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        names = [str(c) if classes is None else classes[c] for c in matrix.index]
        axes.set_yticks(range(len(matrix)), names)
    figure.colorbar(image, ax=grid, label="share of gate mass", shrink=0.8)
    return figure


def _panels(columns: int) -> dict:
    """Size of the panels of a row that is as wide as the page."""
    return {"height": 2.3, "aspect": max(0.8, 3.2 / columns)}


def _uniform_line(grid: sns.FacetGrid, usage: pd.DataFrame) -> None:
    experts = usage.groupby("head")["expert"].nunique()  # heads of a study may differ in it
    for panel, axes in grid.axes_dict.items():
        head = panel[-1] if isinstance(panel, tuple) else panel  # a row and a column, or a column
        axes.axhline(1 / experts[head], color=style.INK, linewidth=1, linestyle="--", zorder=3)
