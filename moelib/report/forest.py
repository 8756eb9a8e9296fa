"""Effects as small panels on one axis: every study and head side by side."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moelib.records.record import Record
from moelib.report import pages
from moelib.report.effects import beside_paper
from moelib.report.loading import planned_seeds
from moelib.report.style import INK, KNOWN, MARKERS, colours, head_rows, plain_ticks, styled
from moelib.report.wording import seed_count
from moelib.study.heads import family

WIDTH = 3.4  # inches of a panel: what a phone shows at its full width
STAR = "Stars are the authors’ saved runs (ResNet-18, one seed, their own training)."
PAPER = {"marker": "*", "markersize": 9, "color": INK, "linestyle": "none", "zorder": 5}


@styled
def panels(
    effects: pd.DataFrame, label: str, line: float | None = None, log: bool = False
) -> list[Figure]:
    """A figure for each panel of `effects`: seeds (faint), mean and interval, the paper's number.

    Heads keep their colour, marker and order; all panels share one axis. Panels of several studies,
    named after them, share their rows too, so that a head is at the same height in each. `line`
    marks the value of no effect, or a threshold.
    """
    rank = {name: place for place, name in enumerate(KNOWN)}
    heads = sorted({*effects["head"]}, key=lambda h: (rank.get(family(h), len(rank)), h))
    colour = colours(heads)
    limits = _limits(effects, line, log)
    compared = _comparing(effects)
    figures = []
    for title, part in effects.groupby("panel", sort=False):
        own = {*part["head"]}
        rows = {head: colour[head] for head in colour if compared or head in own}
        figures.append(_panel(_title(title, part), part, rows, limits, label, line, log))
    return figures


def chart(
    name: str,
    effects: pd.DataFrame,
    records: Mapping[str, list[Record]],
    caption: str,
    label: str,
    line: float | None = None,
    log: bool = False,
) -> Markdown:
    """The panels as a numbered figure, with the records of the studies that are in it.

    The caption goes on with what their marks mean, where they are of seeds.
    """
    own = {study: records[study] for study in dict.fromkeys(effects["study"])}
    effects = beside_paper(effects, own)
    if effects["seeds"].any():
        caption = f"{caption} {key(effects, line, log)}"
    drawn = panels(effects, label, line, log)
    return pages.chart(name, drawn, caption, effects, pages.evidence(own))


def key(effects: pd.DataFrame, line: float | None = None, log: bool = False) -> str:
    """What the marks of panels mean, of those that occur in them."""
    left, right = _limits(effects, line, log)
    cut = (effects["low"] < left) | (effects["high"] > right)
    rows = effects["panel"].nunique() * effects["head"].nunique()
    notes = {
        "faint: each seed": True,
        "hollow: one seed": effects["low"].isna().any(),
        "bars cut at the edge continue": cut.any(),
        "empty rows were not measured": _comparing(effects) and len(effects) < rows,
    }
    told = "; ".join(note for note, occurs in notes.items() if occurs)
    star = f" {STAR}" if effects["paper"].notna().any() else ""
    return f"Mean and 95% t-interval over seeds ({told}).{star}"


def _comparing(effects: pd.DataFrame) -> bool:
    """Whether the panels are of several studies, or splits, that are named after their study."""
    panels = {*zip(effects["study"], effects["panel"], strict=True)}
    return len(panels) > 1 and all(panel.startswith(study) for study, panel in panels)


def _panel(title, part, colour, limits, label, line, log) -> Figure:
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.3 * len(colour)), layout="constrained")
    if line is not None:
        axes.axvline(line, color=INK, linewidth=1, linestyle="--", alpha=0.6)
    for y, head in enumerate(colour):
        for row in part[part["head"] == head].itertuples():
            draw_effect(axes, y, row, colour[head])
            axes.plot(row.paper, y - 0.22, **PAPER)
    axes.set(title=title, xlabel=label, xlim=limits)
    head_rows(axes, [*colour])
    if log:
        axes.set_xscale("log")
        axes.set_xlim(limits)
        plain_ticks(axes.xaxis)
    return figure


def draw_effect(axes: Axes, y: float, row, colour: tuple) -> None:
    """A row of effects at a height: its seeds (faint), its interval, and its mean."""
    style = {"color": colour, "marker": MARKERS.get(family(row.head), "o")}
    faint = {"linestyle": "none", "alpha": 0.45, "markersize": 3}
    axes.plot(row.by_seed, [y + 0.22] * len(row.by_seed), **faint, **style)
    axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2.2)
    hollow = {"markerfacecolor": "none"} if np.isnan(row.low) else {}
    axes.plot(row.value, y, markersize=6, **style, **hollow)


def _title(panel: str, part: pd.DataFrame) -> str:
    """The study on a line of its own: panels are narrow. Of seeds, how many were planned."""
    study, *rest = panel.split(", ", 1)
    fewest, most = part["seeds"].min(), part["seeds"].max()
    planned = planned_seeds(part["study"].iloc[0])
    if most:  # of times it is 0: they were taken of one seed
        plural = "s" if max(most, planned) > 1 else ""
        rest = [*rest, f"{seed_count(fewest, most, planned)} seed{plural}"]
    return f"{study}\n" + ", ".join(rest)


def _limits(effects: pd.DataFrame, line: float | None, log: bool) -> tuple[float, float]:
    """Every point is in sight; a wide interval goes on beyond the panel, that of two seeds too."""
    numbers = effects[["value", "paper"]].to_numpy(dtype=float).ravel()
    seeds = [value for values in effects["by_seed"] for value in values]
    points = np.array([*numbers, *seeds, *([] if line is None else [line])], dtype=float)
    sure = effects[effects["seeds"] != 2]  # whose interval is 13 times as wide as they are apart
    ends = sure[["low", "high"]].to_numpy(dtype=float).ravel()
    points, ends = ((np.log(v[v > 0]) if log else v[np.isfinite(v)]) for v in (points, ends))
    points = points[np.isfinite(points)]
    low, high = points.min(), points.max()
    room = (high - low) or 1
    values = np.clip([low, high, *ends], low - room / 2, high + room / 2)
    edges = values.min() - 0.06 * room, values.max() + 0.06 * room
    return tuple(np.exp(edges)) if log else edges
