"""Accuracy as figures: learning curves."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from moelib.report.style import colours, head_panels, legend_below, styled
from moelib.study.heads import family


@styled
def learning_curves(epochs: pd.DataFrame) -> Figure:
    """Loss and accuracy over epochs: means over seeds, bands from lowest to highest seed.

    Heads of one family share a colour, and an entry of the legend.
    """
    runs = ["head", "seed", "epoch", "split"]
    tidy = epochs.melt(runs, ["loss", "accuracy"], var_name="measure")
    mean = "mean" if tidy["seed"].nunique() > 1 else None  # which takes seconds
    columns = {"x": "epoch", "y": "value", "row": "measure", "col": "split"}
    drawing = {"kind": "line", "estimator": mean, "errorbar": ("pi", 100), "legend": False}
    grid = head_panels(tidy, columns, {"sharey": "row"}, height=2.4, aspect=1.45, **drawing)
    for (measure, split), axes in grid.axes_dict.items():
        axes.set(title=f"{measure}, {split} images", ylabel="")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if measure == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        else:
            axes.set_yscale("log")
    grid.axes[0, 0].set_ylabel("nats per image")
    families = {
        family(head): Line2D([], [], color=colour) for head, colour in colours(tidy["head"]).items()
    }
    grid.add_legend(families, title="head")
    return legend_below(grid)
