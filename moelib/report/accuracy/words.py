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
from moelib.report.wording import signed


def answer(studies: Iterable[str], name: str = "accuracy") -> Iterator[Markdown]:
    """Does a mixture of experts classify better than a dense head of its size?"""
    records = few_heads(loading.by_evidence(studies, TrainNumbers))
    frame = tables.effects(records)
    if frame.empty:
        yield Markdown(NOTHING)
        return
    claim = beside_dense(frame)
    yield Markdown(claim)
    yield chart(name, frame, records, f"{claim} Test accuracy minus that of dense in the same "
                f"seed. {BARS} {STAR}", "minus dense, percentage points", line=0)  # fmt: skip


def beside_dense(frame: pd.DataFrame) -> str:
    """Which mixtures are more or less accurate than dense, in the first study of the effects."""
    verbs = {"higher": "more accurate than", "lower": "less accurate than"}
    return comparison(frame, verbs, signed, "{head} minus dense is {number} points")
