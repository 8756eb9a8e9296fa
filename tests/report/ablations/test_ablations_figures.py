"""The figure of hypotheses: a line for each, below its question."""

import numpy as np
import pandas as pd
import pytest

from moelib.report.ablations import figures, words
from moelib.report.effects import frame, row

pytestmark = pytest.mark.usefixtures("closed")


def test_each_difference_stands_below_its_question_in_points():
    judged = pd.DataFrame(
        {"study": "s", "question": question, "head": head, "against": against,
         "by_seed": (0.01, 0.02, 0.03)}
        for question, head, against in (
            ("Why?", "dense", "linear"), ("How?", "soft", "dense"), ("How?", "sparse", "dense")
        )
    )  # fmt: skip
    (figure,) = figures.differences(judged)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    minus = "\N{MINUS SIGN}"
    expected = ["", f"dense {minus} linear", "", f"soft {minus} dense", f"sparse {minus} dense"]
    assert labels == expected
    assert [text.get_text() for text in axes.texts] == ["Why?", "How?"]
    _, seeds, bar, mean, *_ = axes.lines  # after the line of no difference, of the first row
    assert list(seeds.get_xdata()) == pytest.approx([1, 2, 3])
    half = 4.3026527 / 3**0.5  # Student's t of two degrees of freedom, a deviation of 1
    assert list(bar.get_xdata()) == pytest.approx([2 - half, 2 + half])
    assert list(mean.get_xdata()) == pytest.approx([2]) and list(mean.get_ydata()) == [1]


def test_parts_of_a_study_have_an_axis_of_their_own_and_words():
    rows = [row("a", "a", "dense-layer", [8.0, 9.0]), row("b", "b", "soft-gate", [0.1, 0.2])]
    large, small = words._panels_of_parts(frame(rows))
    (label,) = small.axes[0].get_yticklabels()
    assert label.get_text() == "soft: gate"
    assert np.ptp(small.axes[0].get_xlim()) < 1 < np.ptp(large.axes[0].get_xlim())
