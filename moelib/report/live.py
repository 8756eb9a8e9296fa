"""Learning curves that grow while a run trains, for a person who watches in JupyterLab."""

import os
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.ticker import MaxNLocator, PercentFormatter

from moelib.records.kinds import Epoch

MEASURES = ("loss", "accuracy")
SPLITS = ("train", "validation")


def live_curves(title: str) -> Callable[[Sequence[Epoch]], None] | None:
    """What draws the finished epochs of a training anew after each; null where nobody watches.

    The figure is one output of the cell, redrawn in place. Executed by papermill, a notebook draws
    its curves once, at the end, and spends no time on this.
    """
    if "JPY_SESSION_NAME" not in os.environ:  # set in a kernel that a person works with
        return None
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(8, 2.6), layout="constrained")
    for panel, measure in zip(axes, MEASURES, strict=True):
        for split in SPLITS:
            panel.plot([], [], marker=".", label=split)
        panel.set(title=f"{title}: {measure}", xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set(yscale="log", ylabel="nats per image")
    axes[1].yaxis.set_major_formatter(PercentFormatter(1))
    axes[1].legend()
    plt.close(figure)  # shown here alone, and not again at the end of the cell
    output = display(figure, display_id=True)

    def draw(epochs: Sequence[Epoch]) -> None:
        numbers = [epoch.epoch for epoch in epochs]
        for panel, measure in zip(axes, MEASURES, strict=True):
            for line, split in zip(panel.lines, SPLITS, strict=True):
                values = [getattr(getattr(epoch, split), measure) for epoch in epochs]
                line.set_data(numbers, values)
            panel.relim()
            panel.autoscale_view()
        output.update(figure)

    return draw
