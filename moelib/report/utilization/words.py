"""The answer on the use of experts, and its charts."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import UtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading
from moelib.report.answers import BARS, NOTHING, STAR, run_name
from moelib.report.effects import few_heads
from moelib.report.forest import chart
from moelib.report.thresholds import BALANCED
from moelib.report.utilization import tables
from moelib.report.wording import signed, span


def answer(studies: Iterable[str], name: str = "utilization") -> Iterator[Markdown]:
    """Are all experts used, and does the choice of an expert follow the class?"""
    records = few_heads(loading.by_evidence(studies, UtilizationNumbers))
    if not records:
        yield Markdown(NOTHING)
        return
    balance, information = tables.balance(records), tables.information(records)
    even = balance[balance["value"] < BALANCED]
    most = balance.loc[balance["value"].idxmax()]
    evenly = (
        f"**{len(even)} of {len(balance)} heads share their images evenly over experts** "
        f"(variation of gate mass below {BALANCED:g}); {run_name(most)} is the most uneven, "
        f"with {most['value']:.2f}."
    )
    knowing = information.loc[information["value"].idxmin()]
    tests = pd.concat(tables.summary(r).query("split == 'test'") for r in records.values())
    above = int((tests["information"] > tests["null_95"]).sum())
    knows = (
        f"**In {above} of {len(tests)} runs the expert that gets an image tells more of its class "
        f"than chance does**, least in {run_name(knowing)}: {knowing['value']:.2f} nats."
    )
    learned = _beyond_frozen(loading.by_evidence(studies, UtilizationNumbers))
    yield Markdown("\n\n".join(filter(None, (learned, evenly, knows))))
    yield chart(
        f"{name}-balance", balance, records, f"{evenly} Coefficient of variation of gate mass over "
        f"experts, test images; 0 is even use, the dashed line the threshold. {BARS} {STAR}",
        "variation of gate mass", line=BALANCED,
    )  # fmt: skip
    yield chart(
        f"{name}-information", information, records, f"{learned or knows} Mutual information of "
        f"class and expert, test images; a `frozen` gate was never trained. {BARS} {STAR}",
        "class-expert information, nats", line=0,
    )  # fmt: skip


def _beyond_frozen(records: Mapping[str, list[Record]]) -> str:
    """What a gate that learns adds to a random one, in the first study that has one; else nothing.

    Where the same head without its balance losses was trained too, also what is left without them.
    """
    verbs = {"higher": "tells more of the class than", "lower": "tells less of the class than"}
    for study, runs in records.items():
        gains = {row.head: row for row in tables.information_beyond_frozen(runs).itertuples()}
        if not gains:
            continue
        head, row = next(iter(gains.items()))
        verb = verbs.get(row.verdict, "tells no more of the class, as far as can be seen, than")
        claim = (
            f"**The choice of the {head} head {verb} that of a gate that never learned**: "
            f"{signed(row.difference)} nats (95% interval {span(row)}; {row.seeds} seeds of "
            f"`{study}`)"
        )
        free = gains.get(f"{head}-free")
        if free is not None:
            claim += f", and {signed(free.difference)} ({span(free)}) without its balance losses"
        return f"{claim}."
    return ""
