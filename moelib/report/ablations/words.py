"""The answer on parts of a mixture, its chart, and what balance losses buy and cost."""

from collections.abc import Iterable, Iterator

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from moelib.records.kinds import TrainNumbers, UtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.ablations import tables
from moelib.report.answers import NOTHING
from moelib.report.effects import corrected_verdicts
from moelib.report.forest import key, panels
from moelib.report.statistics.intervals import ALIKE
from moelib.report.utilization import tables as utilization_tables
from moelib.report.wording import enumeration, plain

NAMES = {"losses": "balance losses", "gate": "gate", "layer": "hidden layer"}
TRAINS = {"soft": "dropout and losses", "sparse": "noise, dropout and losses"}  # a gate


def answer(studies: Iterable[str]) -> Iterator[Markdown]:
    """What do balance losses, gates and a hidden layer bring?"""
    records, parts = _parts(studies)
    if parts.empty:
        yield Markdown(NOTHING)
        return
    sure = parts[corrected_verdicts(parts) != ALIKE]
    if len(sure):
        gains = "; in ".join(
            f"`{study}` {enumeration(map(_gain, rows.itertuples()))}"
            for study, rows in sure.groupby("study", sort=False)
        )
        rest = "; no other effect can be told from chance" if len(sure) < len(parts) else ""
        corrected = f"verdicts are corrected for {len(parts)} parts, intervals are not"
        claim = f"**In {gains}**{rest} ({corrected})."
        seen = f"**A change in accuracy is seen for {len(sure)} of {len(parts)} parts.**"
    else:
        claim = seen = (
            "**No part of a mixture can be shown to change accuracy** with at most "
            f"{parts['seeds'].max()} seeds so far."
        )
    yield Markdown(claim)
    yield pages.chart(
        "ablations", _panels_of_parts(parts), f"{seen} Test accuracy with a part minus that "
        "without it, paired by seed: balance losses; a gate and what trains it, against a uniform "
        "or a frozen one; the dense head’s hidden layer. Each study has its own axis. "
        f"{key(parts, 0)}", parts, pages.evidence(records),
    )  # fmt: skip


def price_of_balance(studies: Iterable[str]) -> Markdown:
    """What balance losses buy and cost: evenness and accuracy of each head with them and without.

    Of the first study that has such heads.
    """
    _, parts = _parts(studies)
    used = utilization_tables.balance(loading.by_evidence(studies, UtilizationNumbers))
    used = used[["study", "head", "value"]].set_axis(["study", "free", "uneven"], axis=1)
    losses = parts.assign(side=corrected_verdicts(parts))
    losses = losses[losses["head"].str.endswith("-losses")]
    losses = losses.assign(
        head=losses["head"].str.removesuffix("-losses"),
        free=losses["head"].str.replace("-losses", "-free"),
    )
    even = used.set_axis(["study", "head", "even"], axis=1)
    losses = losses.merge(used, on=["study", "free"]).merge(even, on=["study", "head"])
    if losses.empty:
        return Markdown("No study here has the same head with and without balance losses.")
    study = losses["study"].iloc[0]
    losses = losses[losses["study"] == study]
    told = "; ".join(
        f"from {row.even:.2f} to {row.uneven:.2f} for {row.head}, which "
        f"{'gains' if row.value < 0 else 'loses'} {plain(abs(row.value))} "
        f"points{' (may be chance)' if row.side == ALIKE else ''}"
        for row in losses.itertuples()
    )
    paid = (losses["side"] == "higher").any()
    bought = "" if paid else " No head is shown to be more accurate with its losses."
    return Markdown(
        f"In `{study}`, removing the balance losses takes the variation of gate mass over experts "
        f"{told}.{bought}"
    )


def _parts(studies: Iterable[str]) -> tuple[dict[str, list[Record]], pd.DataFrame]:
    """The records of training of the studies with controls, and what parts of heads add there."""
    records = tables.with_controls(loading.by_evidence(studies, TrainNumbers))
    return records, tables.parts(records)


def _panels_of_parts(parts: pd.DataFrame) -> list[Figure]:
    """The parts of each study on an axis of its own, in words: they differ by a factor of ten."""
    drawn = []
    for _, rows in parts.groupby("study", sort=False):
        (figure,) = panels(rows, "points of accuracy added", line=0)
        (axes,) = figure.axes
        names = [label.get_text().partition("-") for label in axes.get_yticklabels()]
        axes.set_yticks(axes.get_yticks(), [f"{head}: {NAMES[part]}" for head, _, part in names])
        drawn.append(figure)
    return drawn


def _gain(row) -> str:
    head, _, part = row.head.partition("-")
    verb, sign = ("add", 1) if row.value > 0 else ("cost", -1)
    low, high = sorted((sign * row.low, sign * row.high))
    verb += "" if part == "losses" else "s"
    interval = f"95% interval {plain(low)} to {plain(high)}"
    training = f", with its {TRAINS[head]}," if part == "gate" else ""
    name = f"{NAMES[part]} of {head}{training}"
    return f"the {name} {verb} {sign * row.value:.2f} points ({interval})"
