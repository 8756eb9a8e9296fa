"""The answer on the cost of inference, its chart, and sentences on executors and benchmarks."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.benchmarks import BenchmarkNumbers
from moelib.records.kinds import EfficiencyNumbers
from moelib.report import loading
from moelib.report.answers import MIXTURES, NOTHING, headline, run_name
from moelib.report.effects import few_heads
from moelib.report.efficiency import tables
from moelib.report.forest import chart
from moelib.report.frames import Efficient, flat, run_of
from moelib.report.thresholds import FASTER
from moelib.report.wording import devices_of, listed, plain, span
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
        f"**{len(fast) or 'Not one'} of {len(whole)} models with experts can be shown to be faster "
        f"than the one with a dense head.** The fastest, {run_name(best)}, takes "
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


def _alone(frame: pd.DataFrame) -> str:
    """What mixtures cost beside a dense head when nothing else is timed."""
    heads = frame[(frame["part"] == "head") & frame["head"].map(family).isin(MIXTURES)]
    if heads.empty:
        return ""
    slower = int((heads["low"] > 1).sum())
    return (
        f"Without the backbone {slower} of {len(heads)} heads with experts are slower than a "
        f"dense one, by factors of {plain(heads['value'].min())} to {plain(heads['value'].max())}."
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
