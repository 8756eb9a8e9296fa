"""The answer on the cost of inference, its chart, and sentences on executors and benchmarks."""

from collections.abc import Iterable, Iterator

import pandas as pd
from IPython.display import Markdown

from moelib.records.benchmarks import BenchmarkNumbers
from moelib.records.kinds import EfficiencyNumbers
from moelib.report import loading, pages
from moelib.report.answers import NOTHING, headline
from moelib.report.effects import few_heads
from moelib.report.efficiency import figures, tables
from moelib.report.forest import chart
from moelib.report.frames import flat
from moelib.report.statistics.intervals import median_interval
from moelib.report.thresholds import FASTER
from moelib.report.wording import devices_of, enumeration, extent, plain, span, with_interval
from moelib.study.heads import has_experts


def answer(studies: Iterable[str], name: str = "efficiency") -> Iterator[Markdown]:
    """Is inference with few experts faster than with a dense head?"""
    records = few_heads(loading.by_evidence(studies, EfficiencyNumbers))
    frame = tables.effects(records)
    mixed = {
        record.head for record in flat(records) if has_experts(record.study.heads[record.head])
    }
    mixtures = frame[frame["head"].isin(mixed)]
    whole, alone = (mixtures[mixtures["part"] == part] for part in ("model", "head"))
    if whole.empty:
        yield Markdown(NOTHING)
        return
    best, fast = whole.loc[whole["value"].idxmin()], (whole["high"] < FASTER).sum()
    slower = (alone["low"] > 1).sum()
    claim = (
        f"**{fast or 'None'} of the {len(whole)} mixtures {'are' if fast > 1 else 'is'} measurably "
        "faster than the same model with a dense head.** The fastest, "
        f"{best['head']} in `{best['study']}`, takes {plain(best['value'])} times as long (95% "
        f"interval {span(best, plain)}; batches of {best['batch']}; "
        f"{devices_of(records[best['study']])})."
    )
    yield Markdown(
        f"{claim}\n\nWithout the backbone, heads with experts take {extent(alone['value'])} "
        f"times as long as a dense one, as the rule executes them; for {slower} of {len(alone)} "
        "the interval lies above 1."
    )
    caption = (
        f"{headline(claim)} Time of one call, divided by that of a dense head of as many hidden "
        "units beside it. Bars are 95% intervals of the median over pairs of calls. One device, "
        "named in the tables."
    )
    yield chart(name, frame, records, caption, "time, relative to dense", line=1, log=True)


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
    by_rule = table.loc[table.groupby(["head", "batch"])["ms"].idxmin(), "chosen"]
    missed = (
        f"In {(~by_rule).sum()} of {len(by_rule)} cases the rule, which was fitted to other times, "
        "misses the executor with the lowest median."
    )
    yield Markdown("\n\n".join([*told, missed]))
    run = [record for record in records[study] if record.head in set(table["head"])]
    yield pages.chart(
        name, figures.ways(table),
        f"{headline(told[0])} Time of the head alone with each executor on learned routing, "
        "divided by that of a dense head (dashed) of as many hidden units in the same round: "
        f"medians. A ring marks the rule's choice. `{study}`, {devices_of(run)}.",
        table.drop(columns=["ratios", "beside_all"]), pages.evidence({study: run}),
    )  # fmt: skip


def _executed(table: pd.DataFrame, batch: int) -> str:
    """What is computed at a batch, and whether to visit only the chosen experts takes less."""
    rows = table[table["batch"] == batch]
    chosen = rows[rows["chosen"]]
    does = {False: "computes all experts of", True: "visits only the chosen ones of"}
    runs = " and ".join(
        f"{does[spares]} {enumeration(heads)}"
        for spares, heads in chosen.groupby(chosen["executor"] != tables.ALL_EXPERTS)["head"]
    )
    some = rows[(rows["executor"] != tables.ALL_EXPERTS) & (rows["beside_all"].map(len) > 0)]
    quickest = some.loc[some.groupby("head", sort=False)["ms"].idxmin()]
    times = enumeration(_beside_all(row) for row in quickest.itertuples())
    beside = f" As a share of the time for all, the chosen ones alone take {times} (95% intervals)."
    return f"**In batches of {batch} the rule {runs}.**{beside if times else ''}"


def _beside_all(row) -> str:
    interval = median_interval(row.beside_all)
    return f"{with_interval(interval.estimate, interval, plain)} for {row.head} by *{row.executor}*"


def benchmark_question(numbers: BenchmarkNumbers) -> Markdown:
    """What a benchmark asks, and the two ways that it compares."""
    name = numbers.name.replace("_", " ").capitalize()
    return Markdown(
        f"**{name}**: {numbers.question} Baseline: {numbers.baseline}. "
        f"This project: {numbers.candidate}. Both in {numbers.unit}."
    )
