"""The answer on accuracy, and its chart."""

from collections.abc import Iterable, Iterator

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.report import loading
from moelib.report.accuracy import tables
from moelib.report.answers import BARS, NOTHING, STAR, comparison, seeds_in
from moelib.report.effects import few_heads
from moelib.report.forest import chart
from moelib.report.wording import listed, signed, with_interval

PAPER_SIZE = "paper"  # the study
VERBS = {"higher": "more accurate than", "lower": "less accurate than"}


def answer(studies: Iterable[str], name: str = "accuracy") -> Iterator[Markdown]:
    """Does a mixture of experts classify better than a dense head of its size?"""
    records = few_heads(loading.by_evidence(studies, TrainNumbers))
    frame = tables.effects(records)
    if frame.empty:
        yield Markdown(NOTHING)
        return
    claim = beside_dense(frame)
    yield Markdown("\n\n".join(filter(None, (claim, _in_numbers(second_study(frame))))))
    yield chart(name, frame, records, f"{claim} Test accuracy minus that of dense in the same "
                f"seed. {BARS} {STAR}", "minus dense, percentage points", line=0)  # fmt: skip


def beside_dense(frame: pd.DataFrame) -> str:
    """Which mixtures are more or less accurate than dense, in the first study of the effects."""
    return comparison(frame, VERBS, signed, "{head} minus dense is {number} points")


def second_study(frame: pd.DataFrame) -> pd.DataFrame:
    """The effects of the study to tell beside the first: that of the paper's size, else the next.

    Of studies with two seeds or more; empty where there is no other.
    """
    others = frame[(frame["study"] != frame["study"].iloc[0]) & (frame["seeds"] > 1)]
    names = [*others["study"]]
    name = PAPER_SIZE if PAPER_SIZE in names else next(iter(names), None)
    return others[others["study"] == name]


def _in_numbers(frame: pd.DataFrame) -> str:
    """Each head beside dense in one study; nothing without rows."""
    if frame.empty:
        return ""
    parts = listed(f"{row.head} {with_interval(row.value, row)}" for row in frame.itertuples())
    return f"With {seeds_in(frame)}, minus dense, in points: {parts}."
