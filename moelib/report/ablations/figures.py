"""Hypotheses as a figure: all differences of a study on one axis, by the question they answer."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from moelib.report.ablations.tables import of_judged
from moelib.report.forest import draw_effect
from moelib.report.style import INK, colours, head_rows, styled
from moelib.report.wording import MINUS

SIZE = 4.1, 0.9, 0.27  # inches: width, height of the axis, and of a line


@styled
def differences(judged: pd.DataFrame) -> list[Figure]:
    """Each head minus the one it is judged against, in points: seeds (faint), mean, interval.

    Rows of one question stand below it.
    """
    points = of_judged(judged, judged["question"]).assign(against=[*judged["against"]])
    lines = []  # a question, or a row
    for question, rows in points.groupby("panel", sort=False):
        lines += [question, *rows.itertuples()]
    width, axis, line = SIZE
    figure, axes = plt.subplots(figsize=(width, axis + line * len(lines)), layout="constrained")
    edge = blended_transform_factory(figure.transFigure, axes.transData)
    axes.axvline(0, color=INK, linewidth=1, linestyle="--", alpha=0.6)
    colour = colours(judged["head"])
    names = []
    for y, row in enumerate(lines):
        if isinstance(row, str):
            names.append("")
            text = axes.text(0.01, y + 0.1, row, va="center", transform=edge)
            text.set_in_layout(False)  # it may stand beside the labels and above the rows
            continue
        names.append(f"{row.head} {MINUS} {row.against}")
        draw_effect(axes, y, row, colour[row.head])
    head_rows(axes, names)
    axes.set_xlabel("difference, percentage points")
    return [figure]
