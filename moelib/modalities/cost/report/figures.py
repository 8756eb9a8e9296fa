"""Costs at true shapes as figures: functions of a frame of `tables`, in the style of the book."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moelib.report.style import INK, PALETTE, PLAIN, legend_outside, plain_ticks, styled

EXECUTORS = ("grouped", "padded", "loop", "masked")


@styled
def decoding(steps: pd.DataFrame) -> Figure:
    """Milliseconds of one decoding step over batches: median (line), and its bound (dashed)."""
    figure, axes = plt.subplots(figsize=(4.1, 3.8), layout="constrained")
    for (arm, points), colour in zip(steps.groupby("arm", sort=False), PALETTE, strict=False):
        points = points.set_index("batch").sort_index()
        marker, name = ("s", f"{arm}, mixture") if points["mixture"].all() else ("o", arm)
        factor = points["whole_ms"] / points["ms"]
        axes.plot(points["whole_ms"], f"{marker}-", color=colour, label=name, ms=4)
        _band(axes, points["ms_low"] * factor, points["ms_high"] * factor, colour)
        axes.plot(points["bound_ms"] * factor, "--", color=colour, linewidth=1)
    _logarithmic(axes, "sequences at once", "ms a step, whole model")
    legend_outside(figure, axes, columns=1)
    return figure


@styled
def executors(ratios: pd.DataFrame) -> Figure:
    """Time of the experts, times a dense perceptron of equal active size: medians, quartiles."""
    figure, axes = plt.subplots(figsize=(4.1, 3.2), layout="constrained")
    for name, colour in zip(EXECUTORS, PALETTE, strict=False):
        points = ratios[ratios["arm"] == f"{name}, uniform"].set_index("per_expert").sort_index()
        axes.plot(points["ratio"], "o-", color=colour, label=name, ms=3)
        _band(axes, points["ratio_low"], points["ratio_high"], colour)
    for level in (1, 8):
        axes.axhline(level, color=INK, linewidth=1, linestyle="--")
    axes.axvline(256, color=INK, linewidth=1, linestyle=":")
    _logarithmic(axes, "tokens per expert", "time, times dense")
    legend_outside(figure, axes, columns=2)
    return figure


@styled
def front(points: pd.DataFrame) -> list[Figure]:
    """Published scores over the time of an answer at the published shapes, a figure a task."""
    return [_task(name, scores) for name, scores in points.groupby("task", sort=False)]


def _task(name: str, scores: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(figsize=(3.6, 3.2), layout="constrained")
    for kind, marker, colour in (("dense", "o", PALETTE[0]), ("mixture", "D", PALETTE[2])):
        some = scores[scores["kind"] == kind]
        axes.plot(some["ms"], some["score"], marker, color=colour, label=kind)
    for row in scores.itertuples():
        near = scores[(scores["ms"] - row.ms).abs() < 0.2 * np.ptp(scores["ms"])]
        below = (near["score"] > row.score).any()  # so that neighbours do not meet
        place = {"xytext": (0, -5), "va": "top"} if below else {"xytext": (0, 5), "va": "bottom"}
        spot = {"xy": (row.ms, row.score), "textcoords": "offset points", "ha": "center"}
        axes.annotate(row.model, **spot, **place, fontsize=7)
    axes.set(title=name, xlabel="ms an answer of 16 tokens", ylabel="score, %")
    axes.margins(0.25, 0.15)
    legend_outside(figure, axes, columns=2)
    return figure


def _band(axes: Axes, low: pd.Series, high: pd.Series, colour: tuple) -> None:
    axes.fill_between(low.index, low, high, color=colour, alpha=0.2, linewidth=0)


def _logarithmic(axes: Axes, x: str, y: str) -> None:
    axes.set(yscale="log", xlabel=x, ylabel=y)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(PLAIN)
    plain_ticks(axes.yaxis)
