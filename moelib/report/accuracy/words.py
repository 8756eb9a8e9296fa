"""The answer on accuracy, and its chart."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.report import loading
from moelib.report.accuracy import tables
from moelib.report.answers import MIXTURES, NOTHING, comparison, elsewhere, headline
from moelib.report.comparisons import paired_runs
from moelib.report.effects import few_heads
from moelib.report.forest import chart
from moelib.report.wording import across_devices, enumeration, signed

ORIGINS = "reproducibility.ipynb#where-the-numbers-of-this-book-come-from"
VERBS = {"higher": "more accurate than", "lower": "less accurate than"}


def answer(studies: Iterable[str], name: str = "accuracy") -> Iterator[Markdown]:
    """Does a mixture of experts classify better than a dense head of its size?"""
    records = few_heads(loading.by_evidence(studies, TrainNumbers))
    frame = tables.effects(records)
    if frame.empty:
        yield Markdown(NOTHING)
        return
    claim = beside_dense(frame)
    others = elsewhere(frame, records, VERBS)
    others = f"**{others}** {across_studies(frame, records)}".strip() if others else ""
    yield Markdown("\n\n".join(filter(None, (claim, others))))
    bold = headline(claim, frame["study"].iloc[0])
    caption = f"{bold} Test accuracy minus that of dense with the same seed."
    yield chart(name, frame, records, caption, "difference from dense, points", line=0)


def beside_dense(frame: pd.DataFrame) -> str:
    """Which mixtures are more or less accurate than dense, in the first study of the effects."""
    return comparison(frame, VERBS, signed, "{head} differs from dense by {number} points")


def across_studies(frame: pd.DataFrame, records: Mapping[str, list[Record]]) -> str:
    """Which mixtures lose less to dense in the study of the best net than in that of the worst.

    Of corrected studies of enough seeds, and only of heads whose intervals there do not meet.
    """
    nets = tables.studies(records).query("protocol == 'corrected'").sort_values("accuracy")["study"]
    enough = frame[(frame["seeds"] >= loading.SEEDS_TO_LEAD) & frame["head"].isin(MIXTURES)]
    nets = nets[nets.isin(enough["study"])]
    if len(nets) < 2:
        return ""
    worst, best = (enough[enough["study"] == net].set_index("head") for net in nets.iloc[[0, -1]])
    lost = worst["high"] < best["low"].clip(upper=0).reindex(worst.index)
    better = list(lost.index[lost])
    if not better:
        return ""
    example = (best["value"] - worst["value"])[better].idxmax()
    low, high = (signed(net["value"][example]) for net in (worst, best))
    return (
        f"{enumeration(better).capitalize()} {'loses' if len(better) == 1 else 'lose'} less to "
        f"dense in `{nets.iloc[-1]}` than in `{nets.iloc[0]}` ({example}: {high} points against "
        f"{low})."
    )


def devices(records: Mapping[str, list[Record]]) -> Iterator[Markdown]:
    """Which studies were trained on several kinds of device, and how many pairs of runs were."""
    several = [
        f"`{study}`"
        for study, runs in records.items()
        if len({run.provenance.device for run in runs}) > 1
    ]
    if several:
        pairs = [pair for runs in records.values() for pair in paired_runs(runs)]
        within = across_devices(pairs) or "The runs paired here always share one."
        yield Markdown(
            f"Different seeds of {enumeration(several)} were trained on different devices "
            f"([on which]({ORIGINS})). {within}"
        )
