"""What figures show, as tests read it, and what drawing leaves behind: nothing."""

import matplotlib
import pandas as pd


def lines(axes, colour=None):
    """The lines that hold data; seaborn adds empty ones for its legend."""
    return [
        line
        for line in axes.lines
        if len(line.get_xdata()) and (colour is None or line.get_color() == colour)
    ]


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def refuse_traces(draw, frame, *options):
    """Draw a frame, which must stay as it is, as must the settings of matplotlib."""
    settings, copy = dict(matplotlib.rcParams), frame.copy()
    draw(frame, *options)
    assert dict(matplotlib.rcParams) == settings
    pd.testing.assert_frame_equal(frame, copy)
