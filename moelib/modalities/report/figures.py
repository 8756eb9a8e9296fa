"""Records of modalities as figures, in the book's style."""

from fractions import Fraction

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from moelib.report.style import EXPERTS, INK, PALETTE, styled

WIDTH = 4.1  # inches, which a phone shows readably
PANEL = 3.4  # inches of one of several, which stand side by side where there is room


@styled
def curves(epochs: pd.DataFrame) -> Figure:
    """Loss of new training items and accuracy on validation items, by epoch."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.6), layout="constrained")
    for number, (arm, part) in enumerate(epochs.groupby("arm", sort=False)):
        mean = part.groupby("epoch")[["loss", "validation"]].mean()
        colour = PALETTE[number % len(PALETTE)]
        left.plot(mean.index, mean["loss"], color=colour, label=arm)
        right.plot(mean.index, mean["validation"], color=colour, label=arm)
    left.set(xlabel="epoch", ylabel="loss, nats")
    right.set(xlabel="epoch", ylabel="accuracy")
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.legend(frameon=False, fontsize="small")
    return figure


@styled
def splits(table: pd.DataFrame) -> Figure:
    """Accuracy on the truths of each split of the test, by arm: mean over seeds, and each seed."""
    arms, names = list(dict.fromkeys(table["arm"])), list(dict.fromkeys(table["split"]))
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + 0.28 * len(arms)), layout="constrained")
    for number, split in enumerate(names):
        part = table[table["split"] == split]
        y = part["arm"].map(arms.index)
        colour = PALETTE[number % len(PALETTE)]
        axes.plot(part["truths"], y, "o", color=colour, markersize=3, alpha=0.4)
        mean = part.groupby("arm")["truths"].mean()
        marker = "oD^sv"[number % 5]
        axes.plot(mean, [arms.index(a) for a in mean.index], marker, color=colour, label=split)
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("accuracy on truths")
    axes.grid(axis="x", visible=True)
    axes.legend(frameon=False, fontsize="small", ncols=3, loc="lower left",
                bbox_to_anchor=(-0.2, 1))  # fmt: skip
    return figure


@styled
def experts_by_type(table: pd.DataFrame) -> Figure:
    """Experts that compute for a token of each type, an arm a line."""
    wide = table.set_index("arm")
    figure, axes = plt.subplots(
        figsize=(WIDTH, 1.2 + 0.26 * len(wide.columns)), layout="constrained"
    )
    for number, (arm, row) in enumerate(wide.iterrows()):
        colour, marker = PALETTE[number % len(PALETTE)], "os^DvPX"[number % 7]
        axes.plot(row, range(len(row)), marker, color=colour, label=arm, markersize=6, alpha=0.85)
    axes.set_yticks(range(len(wide.columns)), wide.columns)
    axes.set_ylim(len(wide.columns) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("experts per token")
    axes.grid(axis="x", visible=True)
    axes.legend(
        frameon=False, fontsize="small", ncols=3, loc="lower left", bbox_to_anchor=(-0.2, 1)
    )
    return figure


@styled
def loads(layers: pd.DataFrame) -> list[Figure]:
    """Share of a modality's choices that fall on each expert, a figure for each layer."""
    highest = 1.1 * layers["load"].max()
    figures = []
    for number, part in layers.groupby("layer"):
        figure, axes = plt.subplots(figsize=(PANEL, 2.2), layout="constrained")
        for shift, (modality, colour) in enumerate(
            {"text": EXPERTS[0], "vision": EXPERTS[6]}.items()
        ):
            own = part[part["modality"] == modality]
            axes.bar(own["expert"] + 0.4 * shift, own["load"], 0.4, color=colour, label=modality)
        axes.axhline(1 / part["expert"].nunique(), color=INK, linewidth=1, linestyle="--")
        axes.set(title=f"layer {number}", xlabel="expert", ylim=(0, highest))
        axes.set_ylabel("share of choices")
        axes.legend(frameon=False, fontsize="small")
        figures.append(figure)
    return figures


@styled
def sparsity(table: pd.DataFrame) -> list[Figure]:
    """Accuracy and gap over the share k/E of experts that a token meets, a line for each family."""
    figures = []
    shown = table.assign(accuracy=100 * table["accuracy"], gap=100 * table["gap"])
    labels = {"accuracy": "accuracy on iid, %", "gap": "gap on compositions, points"}
    for measure, label in labels.items():
        figure, axes = plt.subplots(figsize=(PANEL, 2.7), layout="constrained")
        for number, (family, part) in enumerate(shown.groupby("family", sort=False)):
            colour = PALETTE[number]
            axes.plot(part["share"], part[measure], "o", color=colour, markersize=3, alpha=0.4)
            mean = part.groupby("share")[measure].mean()
            axes.plot(mean.index, mean, color=colour, marker="D", label=family)
        shares = sorted({*table["share"]})
        axes.set_xscale("log", base=2)
        axes.set_xticks(shares, [str(Fraction(share)) for share in shares], minor=False)
        axes.set(xlabel="k/E", ylabel=label)
        axes.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(-0.1, 1))
        figures.append(figure)
    return figures
