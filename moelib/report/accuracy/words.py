"""The answer on accuracy, and its chart."""

from collections.abc import Iterable, Iterator

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.report import loading
from moelib.report.accuracy import tables
from moelib.report.answers import BARS, NOTHING, STAR, comparison
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
    yield Markdown("\n\n".join(filter(None, (claim, at_paper_size(frame)))))
    yield chart(name, frame, records, f"{claim} Test accuracy minus that of dense in the same "
                f"seed. {BARS} {STAR}", "minus dense, percentage points", line=0)  # fmt: skip


def at_paper_size(frame: pd.DataFrame) -> str:
    """Each head beside dense in the study of the paper's own net and epochs; nothing without it."""
    rows = frame[frame["study"] == PAPER_SIZE]
    if rows.empty:
        return ""
    parts = listed(f"{row.head} {with_interval(row.value, row)}" for row in rows.itertuples())
    return (
        f"At the paper’s own size, ResNet-18 and 50 epochs, {rows['seeds'].max()} of "
        f"{loading.planned_seeds(PAPER_SIZE)} seeds are here. Minus dense, in points: {parts}."
    )


def beside_dense(frame: pd.DataFrame) -> str:
    """Which mixtures are more or less accurate than dense, in the first study of the effects."""
    return comparison(frame, VERBS, signed, "{head} minus dense is {number} points")
