"""The answer on the use of experts, and its charts."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import UtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading, pages, paper
from moelib.report.answers import NOTHING, headline
from moelib.report.effects import few_heads, trains_backbone, verdicts
from moelib.report.forest import chart
from moelib.report.frames import flat
from moelib.report.statistics.intervals import ALIKE
from moelib.report.thresholds import BALANCED
from moelib.report.utilization import figures, tables
from moelib.report.utilization.tables import FROZEN
from moelib.report.wording import enumeration, listed, signed, span, with_interval


def answer(studies: Iterable[str], name: str = "utilization") -> Iterator[Markdown]:
    """Are all experts used, and does the choice of an expert follow the class?"""
    every = loading.by_evidence(studies, UtilizationNumbers)
    records = few_heads(every)
    if not records:
        yield Markdown(NOTHING)
        return
    balance, information = tables.balance(records), tables.information(records)
    study, runs = next(iter(records.items()))
    sizes, dead = runs[0].study.analyses.utilization, tables.dead_by_epoch(runs)
    learned, alone = _beyond_frozen(every), _on_fixed_features(every)
    evenly, died = _evenness(balance), _died(dead, runs[0].study.backbone.kind)
    knows = "" if learned else _beyond_chance(tables.on_test(flat(records)))
    yield Markdown("\n\n".join(filter(None, (learned, alone, evenly, died, knows))))
    yield chart(
        f"{name}-balance", balance, records,
        f"{headline(evenly)} Coefficient of variation of gate mass over experts on test images: 0 "
        "is even use, the dashed line the threshold.",
        "variation of gate mass", line=BALANCED,
    )  # fmt: skip
    yield chart(
        f"{name}-information", information, records,
        f"{headline(learned or knows)} Mutual information between class and expert on test images. "
        "A `frozen` gate is never trained.",
        "class-expert information, nats", line=0,
    )  # fmt: skip
    yield pages.chart(
        f"{name}-dead",
        [figures.dead_by_epoch(dead)],
        f"{headline(died)} Number of experts with less than {sizes.dead_below:g} of an even share "
        "of gate mass in training, one line per seed.",
        dead,
        pages.evidence({study: runs}),
    )


def _evenness(balance: pd.DataFrame) -> str:
    """Which heads of the study of most evidence use their experts evenly, as far as is sure."""
    rows = balance[balance["study"] == balance["study"].iloc[0]]
    sides = verdicts(rows, BALANCED)
    words = {"lower": "even for", "higher": "uneven for", ALIKE: "undecided for"}
    heads = {word: enumeration(rows["head"][sides == side]) for side, word in words.items()}
    told = "; ".join(f"{word} {names}" for word, names in heads.items() if names)
    return (
        f"**In `{rows['study'].iloc[0]}` use of the experts is {told}** (even: variation of gate "
        f"mass below {BALANCED:g})."
    )


def _beyond_chance(usage: pd.DataFrame) -> str:
    """In how many runs the choice of an expert follows the class at all."""
    above = (usage["information"] > usage["null_95"]).sum()
    return (
        f"**In {above} of the {len(usage)} runs shown here, the chosen expert reveals more about "
        "an image’s class than under 95% of label shuffles.**"
    )


def _beyond_frozen(records: Mapping[str, list[Record]]) -> str:
    """What a gate that learns adds to a random one, in the first study that trains a backbone too.

    And what is left of it without balance losses, in the first study that trains such a head.
    """
    trained = [record for record in flat(records) if trains_backbone(record)]
    table = tables.information_beyond_frozen(trained)
    if table.empty:
        return ""
    row = next(table.itertuples())
    claim = (
        f"**In `{row.study}` the {row.head} gate {_reveals(row)} about the class than a gate that "
        f"never learned**: {signed(row.difference)} nats (95% interval {span(row)}; {row.seeds} "
        "seeds)."
    )
    free = next(table[table["head"] == f"{row.head}-free"].itertuples(), None)
    if free is None:
        return claim
    value = with_interval(free.difference, free)
    return (
        f"{claim}\n\n**Without its balance losses it {_reveals(free)}**: {value} nats "
        f"({free.seeds} seeds of `{free.study}`)."
    )


def _on_fixed_features(records: Mapping[str, list[Record]]) -> str:
    """What a frozen gate reveals if no backbone is trained through it, and what a gate adds there.

    Beside a study that trains its backbone: that can arrange its features for any gate.
    """
    frozen = [record for record in flat(records) if record.head == FROZEN]
    trained = [record.study.name for record in frozen if trains_backbone(record)]
    fixed = [record for record in flat(records) if not trains_backbone(record)]
    gains = tables.information_beyond_frozen(fixed)
    if gains.empty or not trained:
        return ""
    known = tables.on_test(frozen).groupby("study")["information"].mean()
    row, one = next(gains.itertuples()), trained[0]
    return (
        f"**A gate that never learned reveals {known[row.study]:.2f} nats about the class on a "
        f"fixed backbone, and {known[one]:.2f} where the backbone is trained through it** "
        f"(`{row.study}`, `{one}`). On fixed features the {row.head} gate {_reveals(row)}: "
        f"{signed(row.difference)} nats ({span(row)}; {row.seeds} seeds)."
    )


def _died(dead: pd.DataFrame, backbone: str) -> str:
    """Which heads of a study had dead experts in training, from when to when, and how many stay."""
    study, epochs = dead["study"].iloc[0], dead["epoch"].max()
    last = dead[dead["dead"] > 0].groupby(["head", "seed"], sort=False)["epoch"].max()
    if last.empty:
        return f"**No expert is dead in any epoch of `{study}`.**"
    runs = dead.groupby("head")["seed"].nunique()
    counts = dead.pivot(index="epoch", columns=["head", "seed"], values="dead").sort_index()
    born, later = (counts.iloc[0] > 0).sum(), (counts.diff() > 0).any().sum()
    left = (last == epochs).sum()
    claim = (
        f"In {born} of {runs.sum()} runs of `{study}` experts are dead in the first epoch, "
        f"{later or 'none'} {'loses' if later < 2 else 'lose'} an expert later, and "
        f"{left or 'none'} {'ends' if left < 2 else 'end'} with a dead one"
    )
    told = "; ".join(
        f"in {len(ends)} of {runs[head]} {head} runs, up to epoch {ends.max()}"
        for head, ends in last.groupby("head", sort=False)
    )
    theirs = listed(f"{head}, up to epoch {epoch}" for head, epoch in paper.DEAD_UNTIL.items())
    beside = f" (the authors’ run: {theirs})" if backbone == paper.BACKBONE else ""
    return f"**{claim}**: dead experts occur {told} of {epochs}{beside}."


def _reveals(row) -> str:
    verbs = {"higher": "reveals more", "lower": "reveals less"}
    return verbs.get(row.verdict, "cannot be shown to reveal more")
