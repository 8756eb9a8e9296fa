"""Records of modalities as figures, in the book's style."""

from fractions import Fraction
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from moelib.modalities.report.tables import CHANCE
from moelib.report.style import EXPERTS, INK, PALETTE, head_rows, styled

WIDTH = 4.1  # inches, which a phone shows readably
PANEL = 3.4  # inches of one of several, which stand side by side where there is room
SMALL = {"frameon": False, "fontsize": "small"}  # legend
PERCENT = PercentFormatter(1, decimals=0)
ENTRIES = [*zip(cycle(PALETTE), "oD^svPX", strict=False)]  # of a legend: colour and marker


@styled
def curves(epochs: pd.DataFrame) -> Figure:
    """Loss of new training items and accuracy on validation items of a run, by epoch."""
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 2.6), layout="constrained")
    labels = {"loss": "loss, nats", "validation_accuracy": "accuracy"}
    for axes, (measure, label) in zip(panels, labels.items(), strict=True):
        axes.plot(epochs["epoch"], epochs[measure], color=PALETTE[0])
        axes.set(xlabel="epoch", ylabel=label)
    axes.yaxis.set_major_formatter(PERCENT)
    return figure


@styled
def splits(table: pd.DataFrame) -> Figure:
    """Accuracy on the truths of each split of the test, by arm: mean over seeds, and each seed."""
    arms = [*table["arm"].unique()]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + 0.28 * len(arms)), layout="constrained")
    parts = table.groupby("split", sort=False)
    for (split, part), (colour, marker) in zip(parts, ENTRIES, strict=False):
        runs = part.pivot(index="seed", columns="arm", values="truths")[arms]
        _runs_and_mean(axes, runs, split, colour, marker)
    axes.axvline(CHANCE, color=INK, linewidth=1, linestyle="--", alpha=0.6)
    axes.xaxis.set_major_formatter(PERCENT)
    _name_rows(axes, arms, "accuracy on truths")
    return figure


@styled
def experts_by_type(runs: pd.DataFrame) -> Figure:
    """Experts that compute for a token of each type, by arm: mean over seeds, and each seed."""
    types = [*runs.columns.drop("arm")]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.2 + 0.26 * len(types)), layout="constrained")
    parts = runs.groupby("arm", sort=False)
    for (arm, own), (colour, marker) in zip(parts, ENTRIES, strict=False):
        _runs_and_mean(axes, own[types], arm, colour, marker)
    axes.set_xlim(left=0)
    _name_rows(axes, types, "experts per token")
    return figure


def _runs_and_mean(axes: Axes, runs: pd.DataFrame, label: str, colour, marker: str) -> None:
    """Columns as rows of a figure: the value of each run (faint), and their mean."""
    style = {"color": colour, "linestyle": "none"}
    rows = range(runs.shape[1])
    for _, run in runs.iterrows():
        axes.plot(run, rows, marker, markersize=3, alpha=0.4, **style)
    axes.plot(runs.mean(), rows, marker, label=label, **style)


def _name_rows(axes: Axes, names: list[str], label: str) -> None:
    """Name the rows, and the axis that they share; the legend stands above."""
    head_rows(axes, names)
    axes.set_xlabel(label)
    axes.legend(**SMALL, ncols=3, loc="lower left", bbox_to_anchor=(-0.2, 1))


@styled
def loads(layers: pd.DataFrame) -> list[Figure]:
    """Share of a modality's choices that fall on each expert, a figure for each layer."""
    figures = []
    for number, part in layers.groupby("layer"):
        figure, axes = plt.subplots(figsize=(PANEL, 2.2), layout="constrained")
        wide = part.pivot(index="expert", columns="modality", values="load")
        wide.plot.bar(ax=axes, width=0.8, rot=0, color=EXPERTS[::6])
        axes.axhline(1 / len(wide), color=INK, linewidth=1, linestyle="--")
        axes.set(title=f"layer {number}", xlabel="expert", ylabel="share of choices")
        axes.set_ylim(0, 1.1 * layers["load"].max())
        axes.grid(axis="x", visible=False)
        axes.legend(**SMALL)
        figures.append(figure)
    return figures


@styled
def sparsity(table: pd.DataFrame) -> list[Figure]:
    """Accuracy and gap over the share k/E of experts that a token meets, a line for each family.

    An arm of one seed is hollow, and no line joins it.
    """
    figures = []
    shares = sorted({*table["share"]})
    families = table.groupby("family", sort=False)
    labels = {"iid": "accuracy on iid (all forms), %", "gap": "gap on compositions, points"}
    for measure, label in labels.items():
        figure, axes = plt.subplots(figsize=(PANEL, 2.7), layout="constrained")
        for (family, part), colour in zip(families, PALETTE, strict=False):
            points = 100 * part.pivot(index="share", columns="seed", values=measure)
            alone = points.count(axis=1) == 1
            axes.plot(points[~alone], "o", color=colour, markersize=3, alpha=0.4)
            means = points.mean(axis=1)
            axes.plot(means[~alone], "D-", color=colour, label=family)
            axes.plot(means[alone], "D", color=colour, markerfacecolor="none")
        axes.set_xscale("log", base=2)
        axes.set_xticks(shares, [str(Fraction(share)) for share in shares], minor=False)
        axes.set(xlabel="k/E", ylabel=label)
        axes.legend(**SMALL, loc="lower left", bbox_to_anchor=(-0.1, 1))
        figures.append(figure)
    return figures
