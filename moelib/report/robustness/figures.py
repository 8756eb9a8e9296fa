"""Figures of robustness: accuracy as corruptions grow stronger."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from moelib.report import style
from moelib.study.heads import family


@style.styled
def curves(strengths: pd.DataFrame) -> Figure:
    """Accuracy by strength, a panel for each corruption: mean over seeds, and their range.

    Strength 0 is the same images before.
    """
    names = strengths["corruption"].str.replace("_", " ").str.replace("jpeg", "JPEG")
    columns = {"x": "strength", "y": "accuracy", "col": "corruption"}
    markers = {head: style.MARKERS.get(family(head), "o") for head in strengths["head"].unique()}
    lines = {"kind": "line", "style": "head", "markers": markers, "dashes": False}
    layout = {"errorbar": ("pi", 100), "col_wrap": 3, "height": 2.2, "aspect": 1.1}
    grid = style.head_panels(
        strengths.assign(corruption=names), columns, {"sharey": False}, **lines, **layout
    )
    grid.set_titles("{col_name}")
    for axes in grid.axes.flat:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return style.legend_below(grid)
