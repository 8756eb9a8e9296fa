"""The answer on the use of experts, and its charts."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import UtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading, pages, paper
from moelib.report.answers import NOTHING, headline, run_name
from moelib.report.effects import few_heads, trains_backbone, verdicts
from moelib.report.forest import chart
from moelib.report.frames import flat
from moelib.report.statistics.intervals import ALIKE
from moelib.report.thresholds import BALANCED
from moelib.report.utilization import figures, tables
from moelib.report.utilization.tables import FROZEN
from moelib.report.wording import enumeration, listed, signed, span


def answer(studies: Iterable[str], name: str = "utilization") -> Iterator[Markdown]:
    """Are all experts used, and does the choice of an expert follow the class?"""
    records = few_heads(loading.by_evidence(studies, UtilizationNumbers))
    if not records:
        yield Markdown(NOTHING)
        return
    balance, information = tables.balance(records), tables.information(records)
    evenly = _evenness(balance)
    tests = tables.on_test(flat(records))
    knowing = tests.loc[tests["information"].idxmin()]
    above = int((tests["information"] > tests["null_95"]).sum())
    untrained = ", untrained gates among them" if FROZEN in set(tests["head"]) else ""
    knows = (
        f"**In {above} of the {len(tests)} runs drawn here{untrained}, the expert that gets an "
        f"image tells more of its class than chance does**, least in seed {knowing['seed']} of "
        f"{run_name(knowing)}: {knowing['information']:.2f} nats."
    )
    every = loading.by_evidence(studies, UtilizationNumbers)
    learned, alone = _beyond_frozen(every), _on_fixed_features(every)
    study, runs = next(iter(records.items()))
    sizes, dead = runs[0].study.analyses.utilization, tables.dead_by_epoch(runs)
    died = _died(dead, runs[0].study.backbone.kind)
    yield Markdown("\n\n".join(filter(None, (learned, alone, evenly, died, knows))))
    yield chart(
        f"{name}-balance", balance, records,
        f"{headline(evenly)} Coefficient of variation of gate mass over experts, test images; 0 is "
        "even use, the dashed line the threshold.",
        "variation of gate mass", line=BALANCED,
    )  # fmt: skip
    yield chart(
        f"{name}-information", information, records,
        f"{headline(learned or knows)} Mutual information of class and expert, test images; a "
        "`frozen` gate was never trained.",
        "class-expert information, nats", line=0,
    )  # fmt: skip
    yield pages.chart(
        f"{name}-dead",
        [figures.dead_by_epoch(dead)],
        f"{headline(died)} Experts with less than {sizes.dead_below:g} of an even share of gate "
        "mass in training, a line for each seed.",
        dead,
        pages.evidence({study: runs}),
    )


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
    """What a gate that learns adds to a random one, in the first study that trains a backbone too.

    Where the same head without its balance losses was trained too, also what is left without them.
    """
    trained = [record for record in flat(records) if trains_backbone(record)]
    table = tables.information_beyond_frozen(trained)
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


def _on_fixed_features(records: Mapping[str, list[Record]]) -> str:
    """What a frozen gate tells where no backbone is trained through it, and what a gate adds there.

    Beside a study that trains its backbone: that can arrange its features for any gate.
    """
    frozen = tables.on_test([record for record in flat(records) if record.head == FROZEN])
    if frozen.empty:
        return ""
    known = frozen.groupby("study", sort=False)["information"].mean()
    fixed = [study for study in known.index if not trains_backbone(records[study][0])]
    trained = [study for study in known.index if study not in fixed]
    gains = tables.information_beyond_frozen([r for study in fixed for r in records[study]])
    if gains.empty or not trained:
        return ""
    row, one = next(gains.itertuples()), trained[0]
    return (
        f"**Where no backbone is trained through it, a gate that never learned tells "
        f"{known[row.study]:.2f} nats of the class; where one is, {known[one]:.2f}** "
        f"(`{row.study}`, `{one}`). There the {row.head} gate {_tells(row)}: "
        f"{signed(row.difference)} nats ({span(row)}; {row.seeds} seeds)."
    )


def _died(dead: pd.DataFrame, backbone: str) -> str:
    """Which heads of a study had dead experts in training, until when, and whether any is left."""
    study, epochs = dead["study"].iloc[0], dead["epoch"].max()
    last = dead[dead["dead"] > 0].groupby(["head", "seed"], sort=False)["epoch"].max()
    if last.empty:
        return f"**No expert is dead in any epoch of `{study}`.**"
    runs = dead.groupby("head")["seed"].nunique()
    told = listed(
        f"{head} in {len(ends)} of {runs[head]} runs, until epoch {_between(ends)}"
        for head, ends in last.groupby("head", sort=False)
    )
    left = int((last == epochs).sum())
    claim = (
        f"In {left} of {runs.sum()} runs of `{study}` an expert is dead at the end"
        if left
        else f"Experts of `{study}` die and come back"
    )
    theirs = listed(
        f"one of {head}’s until epoch {epoch}"
        for head, epoch in paper.DEAD_UNTIL.items()
        if head in last.index.unique("head") and backbone == paper.BACKBONE
    )
    return f"**{claim}**: {told} of {epochs}{f' (the authors’ run: {theirs})' if theirs else ''}."


def _between(values: pd.Series) -> str:
    ends = sorted({values.min(), values.max()})
    return " to ".join(map(str, ends))


def _tells(row) -> str:
    verbs = {"higher": "tells more", "lower": "tells less"}
    return f"{verbs.get(row.verdict, 'is not seen to tell more')} of the class"
