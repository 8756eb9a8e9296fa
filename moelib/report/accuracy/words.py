"""The answer on accuracy, and its chart."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.report import loading
from moelib.report.accuracy import tables
from moelib.report.answers import (
    MIXTURES,
    NOTHING,
    comparison,
    headline,
    sides_of_dense,
)
from moelib.report.effects import few_heads
from moelib.report.forest import chart
from moelib.report.wording import enumeration, signed

VERBS = {"higher": "more accurate than", "lower": "less accurate than"}


def answer(studies: Iterable[str], name: str = "accuracy") -> Iterator[Markdown]:
    """Does a mixture of experts classify better than a dense head of its size?"""
    records = few_heads(loading.by_evidence(studies, TrainNumbers))
    frame = tables.effects(records)
    if frame.empty:
        yield Markdown(NOTHING)
        return
    claim = beside_dense(frame)
    yield Markdown("\n\n".join(filter(None, (claim, across_studies(frame, records)))))
    caption = f"{headline(claim)} Test accuracy minus that of dense in the same seed."
    yield chart(name, frame, records, caption, "minus dense, percentage points", line=0)


def beside_dense(frame: pd.DataFrame) -> str:
    """Which mixtures are more or less accurate than dense, in the first study of the effects."""
    return comparison(frame, VERBS, signed, "{head} minus dense is {number} points")


def across_studies(frame: pd.DataFrame, records: Mapping[str, list[Record]]) -> str:
    """Each mixture minus dense in every corrected study of enough seeds, the best net last.

    What is said of the two ends is said only of heads whose intervals there do not meet.
    """
    sizes = tables.studies(records).set_index("study")
    sizes = sizes[sizes["protocol"] == "corrected"].sort_values("accuracy")
    enough = frame[(frame["seeds"] >= loading.SEEDS_TO_LEAD) & frame["head"].isin(MIXTURES)]
    by_head = enough.set_index(["study", "head"])
    nets = [study for study in sizes.index if study in {*enough["study"]}]
    heads = [head for head in MIXTURES if all((net, head) in by_head.index for net in nets)]
    if len(nets) < 2 or not heads:
        return ""
    worst, best = nets[0], nets[-1]
    better = [h for h in heads if by_head["high"][worst, h] < min(by_head["low"][best, h], 0)]
    verb = "stands" if len(better) == 1 else "stand"
    there = sides_of_dense(enough[enough["study"] == worst], VERBS)
    claim = f"{enumeration(better).capitalize()} {verb} better beside dense in `{best}` than in"
    first = f"**{claim} `{worst}`, where {there}.** " if better else ""
    where = enumeration(f"`{net}` ({sizes['accuracy'][net]:.1%} right)" for net in nets)
    points = "; ".join(
        f"{head} {enumeration(signed(by_head['value'][net, head]) for net in nets)}"
        for head in heads
    )
    return (
        f"{first}Minus dense, in points, in {where}: {points}. The studies differ in more than the "
        "size of their nets."
    )
