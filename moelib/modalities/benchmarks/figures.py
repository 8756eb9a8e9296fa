"""Scores as a figure."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from moelib.modalities.benchmarks.scores import Scores

ROW = 0.26  # inches for each score


def forest(scores: Scores) -> Figure:
    """Draw each share with its 95 % interval, from top to bottom, one colour for each score.

    At the right stands of how many answers it is the mean. Scores that are no shares, or of
    nothing, are left to the table.
    """
    shown = [score for score in scores.scores if score.share and score.value is not None]
    names = list(dict.fromkeys(score.name for score in shown))
    colors = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    with sns.axes_style("whitegrid"):
        height = 0.9 + ROW * len(shown)
        figure, axes = plt.subplots(figsize=(7.5, height), layout="constrained")
    for y, score in enumerate(shown):
        if score.low is not None:
            axes.plot([score.low, score.high], [y, y], color=colors[score.name], linewidth=2)
        axes.plot(score.value, y, "o", color=colors[score.name])
    labels = [s.name if s.subset == "all" else f"{s.name}, {s.subset}" for s in shown]
    axes.set_yticks(range(len(shown)), labels)
    counts = axes.secondary_yaxis("right")
    counts.set_yticks(range(len(shown)), [f"{score.n:,}" for score in shown])
    counts.tick_params(length=0)
    counts.set_ylabel("n")
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="y", visible=False)
    axes.set_title(scores.benchmark)
    return figure
