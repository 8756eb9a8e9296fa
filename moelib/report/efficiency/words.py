"""The answer on the cost of inference, its chart, and sentences on executors and benchmarks."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from IPython.display import Markdown

from moelib.records.benchmarks import BenchmarkNumbers
from moelib.records.kinds import EfficiencyNumbers
from moelib.report import loading, pages
from moelib.report.answers import MIXTURES, NOTHING, headline, run_name
from moelib.report.effects import few_heads
from moelib.report.efficiency import figures, tables
from moelib.report.forest import chart
from moelib.report.frames import Efficient, flat, run_of
from moelib.report.statistics.intervals import median_interval
from moelib.report.thresholds import FASTER
from moelib.report.wording import devices_of, enumeration, listed, plain, span
from moelib.study.heads import family, has_experts


def answer(studies: Iterable[str], name: str = "efficiency") -> Iterator[Markdown]:
    """Is inference with few experts faster than with a dense head?"""
    records = few_heads(loading.by_evidence(studies, EfficiencyNumbers))
    frame = tables.effects(records).dropna(subset="value")
    mixtures = {run_of(r)[:2] for r in flat(records) if has_experts(r.study.heads[r.head])}
    mixed = pd.MultiIndex.from_frame(frame[["study", "head"]]).isin(mixtures)
    whole = frame[(frame["part"] == "model") & mixed]
    if whole.empty:
        yield Markdown(NOTHING)
        return
    fast = whole[whole["high"] < FASTER]
    best = whole.loc[whole["value"].idxmin()]
    claim = (
        f"**{_counted(len(fast), len(whole))} measurably faster than the same model with a dense "
        f"head.** The fastest, {run_name(best)}, takes "
        f"{plain(best['value'])} times as long (95% interval {span(best, plain)}; "
        f"batches of {best['batch']}; {devices_of(records[best['study']])})."
    )
    yield Markdown("\n\n".join(filter(None, (claim, _alone(frame)))))
    caption = (
        f"{headline(claim)} Time of one call divided by that of a dense head of as many hidden "
        "units beside it; the bar is the 95% interval of the median over pairs of calls. One "
        "device, named in the tables."
    )
    yield chart(name, frame, records, caption, "time, times dense", line=1, log=True)


def _counted(fast: int, mixtures: int) -> str:
    """How many of so many mixtures, with their verb."""
    whole = f"the {mixtures} mixtures" if mixtures > 1 else "one mixture"
    return f"{fast or 'None'} of {whole} {'are' if fast > 1 else 'is'}"


def _alone(frame: pd.DataFrame) -> str:
    """What mixtures cost beside a dense head when nothing else is timed."""
    heads = frame[(frame["part"] == "head") & frame["head"].map(family).isin(MIXTURES)]
    if heads.empty:
        return ""
    slower = int((heads["low"] > 1).sum())
    return (
        f"Without the backbone {slower} of {len(heads)} heads with experts are slower than a "
        f"dense one, by factors of {plain(heads['value'].min())} to {plain(heads['value'].max())}, "
        "as the rule executes them."
    )


def ways(studies: Iterable[str], name: str = "ways") -> Iterator[Markdown]:
    """What a head that leaves experts out computes: all experts or those it chose, in what time."""
    records = few_heads(loading.by_evidence(studies, EfficiencyNumbers))
    tabled = {study: tables.executors(runs) for study, runs in records.items()}
    study, table = next(((s, t) for s, t in tabled.items() if len(t)), ("", pd.DataFrame()))
    if table.empty:
        yield Markdown(NOTHING)
        return
    judged = tables.whole_models(records[study])["batch"].max()
    told = [_executed(table, batch) for batch in dict.fromkeys((judged, table["batch"].max()))]
    yield Markdown("\n\n".join([*told, _regret(table)]))
    run = [record for record in records[study] if record.head in set(table["head"])]
    yield pages.chart(
        name, figures.ways(table),
        f"{headline(told[0])} Time of the head alone by each executor on learned routing, divided "
        "by that of a dense head (dashed) of as many hidden units in the same round: medians; a "
        f"ring marks the one that the rule chooses. `{study}`, {devices_of(run)}.",
        table.drop(columns=["ratios", "beside_all"]), pages.evidence({study: run}),
    )  # fmt: skip


def _executed(table: pd.DataFrame, batch: int) -> str:
    """What is computed at a batch, and whether to visit only the chosen experts takes less."""
    rows = table[table["batch"] == batch]
    chosen = rows[rows["chosen"]]
    of_all = chosen["executor"] == tables.ALL_EXPERTS
    parts = {"computes all experts of": of_all, "visits only the chosen ones of": ~of_all}
    runs = " and ".join(
        f"{does} {enumeration(chosen['head'][which])}"
        for does, which in parts.items()
        if which.any()
    )
    some = rows[(rows["executor"] != tables.ALL_EXPERTS) & (rows["beside_all"].map(len) > 0)]
    quickest = some.loc[some.groupby("head", sort=False)["ms"].idxmin()]
    times = enumeration(_beside_all(row) for row in quickest.itertuples())
    words = f"**In batches of {batch} the rule {runs}.**"
    beside = f" Visiting only the chosen ones takes, of the time of all, {times}."
    return f"{words}{beside if times else ''}"


def _beside_all(row) -> str:
    middle, low, high = median_interval(row.beside_all)
    interval = "" if np.isnan(low) else f", 95% interval {plain(low)} to {plain(high)}"
    return f"{plain(middle)} for {row.head} (*{row.executor}*{interval})"


def _regret(table: pd.DataFrame) -> str:
    """How often the rule misses the fastest executor, by the median of each."""
    cases = table.groupby(["head", "batch"], sort=False)
    missed = sum(not rows.loc[rows["ms"].idxmin(), "chosen"] for _, rows in cases)
    return (
        f"The rule, which was fitted to other times, misses the executor of the lowest median in "
        f"{missed} of {cases.ngroups} cases."
    )


def executor_choice(records: Efficient) -> str:
    """Which executor the rule chose at which batches, and what that means for the routing."""
    chosen = "; ".join(
        f"{record.head} {' and '.join(_batches(record.numbers.chosen))}"
        for record in records
        if record.numbers.chosen
    )
    if not chosen:
        return ""
    return (
        f"The rule chose: {chosen}. Where it chose batched, all experts are computed whatever the "
        "plan says: there the routing cannot matter to auto."
    )


def _batches(chosen: Mapping[int, str]) -> Iterator[str]:
    """Each executor, and for which batches it was chosen."""
    for executor in dict.fromkeys(chosen.values()):
        sizes = listed(batch for batch, name in chosen.items() if name == executor)
        yield f"{executor} in batches of {sizes}"


def benchmark_question(numbers: BenchmarkNumbers) -> Markdown:
    """What a benchmark asks, and the two ways that it compares."""
    name = numbers.name.replace("_", " ").capitalize()
    return Markdown(
        f"**{name}**: {numbers.question} Baseline: {numbers.baseline}. "
        f"This project: {numbers.candidate}. Both in {numbers.unit}."
    )
