"""The answer on accuracy, and its chart."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.report import loading
from moelib.report.accuracy import tables
from moelib.report.answers import BARS, MIXTURES, NOTHING, STAR, comparison, headline
from moelib.report.effects import few_heads
from moelib.report.forest import chart
from moelib.report.wording import enumeration, signed

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
    yield Markdown("\n\n".join(filter(None, (claim, across_studies(frame, records)))))
    caption = f"{headline(claim)} Test accuracy minus that of dense in the same seed. {BARS} {STAR}"
    yield chart(name, frame, records, caption, "minus dense, percentage points", line=0)


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


def across_studies(frame: pd.DataFrame, records: Mapping[str, list[Record]]) -> str:
    """Each mixture minus dense in every corrected study of enough seeds, the best net last."""
    sizes = tables.studies(records).set_index("study")
    sizes = sizes[sizes["protocol"] == "corrected"].sort_values("accuracy")
    enough = frame[(frame["seeds"] >= loading.SEEDS_TO_LEAD) & frame["head"].isin(MIXTURES)]
    wide = enough.pivot(index="head", columns="study", values="value")
    wide = wide.reindex(index=MIXTURES, columns=sizes.index).dropna(axis=1, how="all").dropna()
    if wide.shape[1] < 2 or wide.empty:
        return ""
    shrinks = [h for h, row in wide.iterrows() if row.lt(0).all() and row.is_monotonic_increasing]
    verb = "loses" if len(shrinks) == 1 else "lose"
    first = f"**The better the net, the less {enumeration(shrinks)} {verb}.** " if shrinks else ""
    nets = enumeration(f"`{study}` ({sizes['accuracy'][study]:.1%} right)" for study in wide)
    points = "; ".join(f"{head} {enumeration(map(signed, row))}" for head, row in wide.iterrows())
    return (
        f"{first}Minus dense, in points, in {nets}: {points}. The studies differ in more than the "
        "size of their nets."
    )
