"""Records of modalities as figures, in the book's style."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from moelib.modalities.report.tables import CHANCE
from moelib.report.style import EXPERTS, INK, PALETTE, styled

WIDTH = 4.1  # inches, which a phone shows readably
PANEL = 3.4  # inches of one of several, which stand side by side where there is room
SMALL = {"frameon": False, "fontsize": "small"}  # legend


@styled
def curves(epochs: pd.DataFrame) -> Figure:
    """Loss of new training items and accuracy on validation items, by epoch."""
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 2.6), layout="constrained")
    labels = {"loss": "loss, nats", "validation_accuracy": "accuracy"}
    for axes, (measure, label) in zip(panels, labels.items(), strict=True):
        for (arm, part), colour in zip(_by(epochs, "arm"), cycle(PALETTE), strict=False):
            axes.plot(part.groupby("epoch")[measure].mean(), color=colour, label=arm)
        axes.set(xlabel="epoch", ylabel=label)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(**SMALL)
    return figure


@styled
def splits(table: pd.DataFrame) -> Figure:
    """Accuracy on the truths of each split of the test, by arm: mean over seeds, and each seed."""
    arms = [*table["arm"].unique()]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + 0.28 * len(arms)), layout="constrained")
    styles = zip(cycle(PALETTE), cycle("oD^sv"))
    for (split, part), (colour, marker) in zip(_by(table, "split"), styles, strict=False):
        rows = part["arm"].map(arms.index)
        axes.plot(part["truths"], rows, "o", color=colour, markersize=3, alpha=0.4)
        means = part.groupby("arm")["truths"].mean()
        axes.plot(means, means.index.map(arms.index), marker, color=colour, label=split)
    axes.axvline(CHANCE, color=INK, linewidth=1, linestyle="--", alpha=0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _name_rows(axes, arms, "accuracy on truths")
    return figure


@styled
def experts_by_type(runs: pd.DataFrame) -> Figure:
    """Experts that compute for a token of each type, by arm: mean over seeds, and each seed."""
    types = [*runs.columns.drop("arm")]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.2 + 0.26 * len(types)), layout="constrained")
    styles = zip(cycle(PALETTE), cycle("os^DvPX"))
    for (arm, own), (colour, marker) in zip(_by(runs, "arm"), styles, strict=False):
        rows = range(len(types))
        for _, run in own[types].iterrows():
            axes.plot(run, rows, marker, color=colour, markersize=3, alpha=0.35)
        mean = own[types].mean()
        axes.plot(mean, rows, marker, color=colour, label=arm, markersize=6, alpha=0.85)
    axes.set_xlim(left=0)
    _name_rows(axes, types, "experts per token")
    return figure


def _name_rows(axes: Axes, names: Sequence[str], label: str) -> None:
    """Name the rows, the first on top, and the axis that they share; the legend stands above."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(axis="x", visible=True)
    axes.legend(**SMALL, ncols=3, loc="lower left", bbox_to_anchor=(-0.2, 1))


@styled
def loads(layers: pd.DataFrame) -> list[Figure]:
    """Share of a modality's choices that fall on each expert, a figure for each layer."""
    figures = []
    for number, part in layers.groupby("layer"):
        figure, axes = plt.subplots(figsize=(PANEL, 2.2), layout="constrained")
        for shift, (modality, own) in enumerate(_by(part, "modality")):
            colour = EXPERTS[6 * shift]
            axes.bar(own["expert"] + 0.4 * shift, own["load"], 0.4, color=colour, label=modality)
        axes.axhline(1 / part["expert"].nunique(), color=INK, linewidth=1, linestyle="--")
        axes.set(title=f"layer {number}", xlabel="expert", ylabel="share of choices")
        axes.set_ylim(0, 1.1 * layers["load"].max())
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
    labels = {"accuracy": "accuracy on iid (all forms), %", "gap": "gap on compositions, points"}
    for measure, label in labels.items():
        figure, axes = plt.subplots(figsize=(PANEL, 2.7), layout="constrained")
        for (family, part), colour in zip(_by(table, "family"), PALETTE, strict=False):
            values = (100 * part[measure]).groupby(part["share"])
            means, alone = values.mean(), values.size() == 1
            several = part[~part["share"].map(alone)]
            axes.plot(several["share"], 100 * several[measure], "o", color=colour, ms=3, alpha=0.4)
            axes.plot(means[~alone], "D-", color=colour, label=family)
            axes.plot(means[alone], "D", color=colour, markerfacecolor="none")
        axes.set_xscale("log", base=2)
        axes.set_xticks(shares, [str(Fraction(share)) for share in shares], minor=False)
        axes.set(xlabel="k/E", ylabel=label)
        axes.legend(**SMALL, loc="lower left", bbox_to_anchor=(-0.1, 1))
        figures.append(figure)
    return figures


def _by(table: pd.DataFrame, column: str):
    """The parts of a table by the values of a column, in the order of the table."""
    return table.groupby(column, sort=False)
