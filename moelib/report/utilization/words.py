"""The answer on the use of experts, and its charts."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import UtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading
from moelib.report.answers import BARS, NOTHING, STAR, headline, run_name
from moelib.report.effects import few_heads, verdicts
from moelib.report.forest import chart
from moelib.report.frames import flat
from moelib.report.statistics.intervals import ALIKE
from moelib.report.thresholds import BALANCED
from moelib.report.utilization import tables
from moelib.report.wording import enumeration, signed, span


def answer(studies: Iterable[str], name: str = "utilization") -> Iterator[Markdown]:
    """Are all experts used, and does the choice of an expert follow the class?"""
    records = few_heads(loading.by_evidence(studies, UtilizationNumbers))
    if not records:
        yield Markdown(NOTHING)
        return
    balance, information = tables.balance(records), tables.information(records)
    evenly = _evenness(balance)
    knowing = information.loc[information["value"].idxmin()]
    tests = tables.on_test(flat(records))
    above = int((tests["information"] > tests["null_95"]).sum())
    untrained = ", untrained gates among them" if "frozen" in set(tests["head"]) else ""
    knows = (
        f"**In {above} of {len(tests)} runs{untrained}, the expert that gets an image tells more "
        f"of its class than chance does**, least in {run_name(knowing)}: "
        f"{knowing['value']:.2f} nats."
    )
    learned = _beyond_frozen(loading.by_evidence(studies, UtilizationNumbers))
    yield Markdown("\n\n".join(filter(None, (learned, evenly, knows))))
    yield chart(
        f"{name}-balance", balance, records,
        f"{headline(evenly)} Coefficient of variation of gate mass over experts, test images; 0 is "
        f"even use, the dashed line the threshold. {BARS} {STAR}",
        "variation of gate mass", line=BALANCED,
    )  # fmt: skip
    yield chart(
        f"{name}-information", information, records,
        f"{headline(learned or knows)} Mutual information of class and expert, test images; a "
        f"`frozen` gate was never trained. {BARS} {STAR}",
        "class-expert information, nats", line=0,
    )  # fmt: skip


def _evenness(balance: pd.DataFrame) -> str:
    """Which heads of the study of most evidence use their experts evenly, as far as is sure."""
    rows = balance[balance["study"] == balance["study"].iloc[0]]
    sides = verdicts(rows, BALANCED)
    words = {"lower": "evenly", "higher": "unevenly", ALIKE: "undecided"}
    heads = {word: enumeration(rows["head"][sides == side]) for side, word in words.items()}
    told = "; ".join(f"{names} {word}" for word, names in heads.items() if names)
    return (
        f"**How images are shared over experts in `{rows['study'].iloc[0]}`: {told}** (evenly: "
        f"variation of gate mass below {BALANCED:g})."
    )


def _beyond_frozen(records: Mapping[str, list[Record]]) -> str:
    """What a gate that learns adds to a random one, in the first study that has one; else nothing.

    Where the same head without its balance losses was trained too, also what is left without them.
    """
    table = tables.information_beyond_frozen(flat(records))
    if table.empty:
        return ""
    study = table["study"].iloc[0]
    gains = {row.head: row for row in table[table["study"] == study].itertuples()}
    head, row = next(iter(gains.items()))
    free = gains.get(f"{head}-free")
    claim = (
        f"**The {head} gate {_tells(row)} than a gate that never learned**: "
        f"{signed(row.difference)} nats (95% interval {span(row)}; {row.seeds} seeds of `{study}`)."
    )
    if free is None:
        return claim
    return (
        f"{claim}\n\n**Without its balance losses it {_tells(free)}**: {signed(free.difference)} "
        f"({span(free)})."
    )


def _tells(row) -> str:
    verbs = {"higher": "tells more", "lower": "tells less"}
    return f"{verbs.get(row.verdict, 'is not seen to tell more')} of the class"
