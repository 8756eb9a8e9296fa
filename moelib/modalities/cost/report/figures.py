"""Costs at true shapes as figures: functions of a frame of `tables`, in the style of the book."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moelib.modalities.cost.report.published import TASKS
from moelib.report.style import INK, PALETTE, PLAIN, legend_outside, plain_ticks, styled

APART = 0.07  # of an axis, between two names of lines
EXECUTORS = ("grouped", "padded", "loop", "masked")


@styled
def decoding(steps: pd.DataFrame) -> Figure:
    """Milliseconds per decoding step by batch size: median (line) and bound (dashed)."""
    figure, axes = plt.subplots(figsize=(4.1, 3.6), layout="constrained")
    ends = {}
    for (arm, points), colour in zip(steps.groupby("arm", sort=False), PALETTE, strict=False):
        points = points.set_index("batch").sort_index()
        marker = "s" if points["mixture"].all() else "o"
        factor = points["whole_ms"] / points["ms"]
        axes.plot(points["whole_ms"], f"{marker}-", color=colour, ms=4)
        ends[arm] = points["whole_ms"].iloc[-1], colour
        _band(axes, points["ms_low"] * factor, points["ms_high"] * factor, colour)
        axes.plot(points["bound_ms"] * factor, "--", color=colour, linewidth=1)
    _logarithmic(axes, "sequences at once", "ms per step, whole model")
    _name_ends(axes, ends)
    return figure


@styled
def executors(ratios: pd.DataFrame) -> Figure:
    """Time of the experts relative to a dense perceptron of equal active size, with quartiles."""
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
    return [_task(points, task) for task in TASKS]


def _task(points: pd.DataFrame, task: str) -> Figure:
    figure, axes = plt.subplots(figsize=(3.6, 3.2), layout="constrained")
    for kind, marker, colour in (("dense", "o", PALETTE[0]), ("mixture", "D", PALETTE[2])):
        some = points[points["kind"] == kind]
        axes.plot(some["ms"], some[task], marker, color=colour, label=kind)
    for model, ms, score in zip(points["model"], points["ms"], points[task], strict=True):
        near = points[(points["ms"] - ms).abs() < 0.2 * np.ptp(points["ms"])]
        below = (near[task] > score).any()  # so that neighbours do not meet
        place = {"xytext": (0, -5), "va": "top"} if below else {"xytext": (0, 5), "va": "bottom"}
        spot = {"textcoords": "offset points", "ha": "center", "fontsize": 8.5}
        axes.annotate(model, (ms, score), **spot, **place)
    axes.set(title=task, xlabel="ms per answer of 16 tokens", ylabel="score, %")
    axes.margins(0.35, 0.15)
    legend_outside(figure, axes, columns=2)
    return figure


def _name_ends(axes: Axes, ends: dict[str, tuple[float, tuple]]) -> None:
    """Name each line at its right end, in its colour, so that no two names meet."""
    low, high = np.log(axes.get_ylim())
    names = sorted(ends, key=ends.get)
    heights = [(np.log(ends[name][0]) - low) / (high - low) for name in names]  # of the axis
    for i in range(1, len(names)):
        heights[i] = max(heights[i], heights[i - 1] + APART)
    top = 1.0
    for name, height in zip(reversed(names), reversed(heights), strict=True):
        height = min(height, top)
        spot = {"xycoords": "axes fraction", "va": "center", "fontsize": "small"}
        axes.annotate(name, (1.02, height), color=ends[name][1], **spot)
        top = height - APART


def _band(axes: Axes, low: pd.Series, high: pd.Series, colour: tuple) -> None:
    axes.fill_between(low.index, low, high, color=colour, alpha=0.2, linewidth=0)


def _logarithmic(axes: Axes, x: str, y: str) -> None:
    axes.set(yscale="log", xlabel=x, ylabel=y)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(PLAIN)
    plain_ticks(axes.yaxis)
