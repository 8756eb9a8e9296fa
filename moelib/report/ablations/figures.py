"""Hypotheses as a figure: all differences of a study on one axis, by the question they answer."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from moelib.records.kinds import TrainNumbers
from moelib.report import loading, pages
from moelib.report.ablations.tables import of_judged
from moelib.report.forest import draw_effect
from moelib.report.style import INK, colours, head_rows, styled
from moelib.report.wording import MINUS, seed_count

SIZE = 4.1, 0.9, 0.27  # inches: width, height of the axis, and of a line


def chart(name: str, judged: pd.DataFrame, caption: str, studies: Iterable[str]) -> Markdown:
    """What `contrasts.judge` judged, as a numbered figure.

    Args:
        name: of the figure.
        judged: the rows.
        caption: says what is drawn.
        studies: those of the runs and of the ones that they are compared with.
    """
    fewest, most = judged["seeds"].min(), judged["seeds"].max()
    seeds = f"{seed_count(fewest, most, planned=0)} seed{'' if most == 1 else 's'}"
    marks = f"Mean and 95% t-interval over {seeds} (faint: each seed)"
    records = loading.by_evidence(studies, TrainNumbers)
    text, evidence = f"{caption}. {marks}.", pages.evidence(records)
    return pages.chart(name, differences(judged), text, judged, evidence)


@styled
def differences(judged: pd.DataFrame) -> list[Figure]:
    """Each head minus what it is judged against, in points: seeds (faint), mean, interval.

    Rows of one question stand below it; where `against` is empty, they are named by the head alone.
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
        names.append(f"{row.head} {MINUS} {row.against}" if row.against else row.head)
        draw_effect(axes, y, row, colour[row.head])
    head_rows(axes, names)
    axes.grid(visible=False)  # which headings would cross
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("difference, percentage points")
    return [figure]
