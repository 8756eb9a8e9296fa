"""The answer on sharpness, its charts, and where the comparison with PyHessian is from."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import CrosscheckNumbers, SharpnessNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.answers import Ratio, times_dense
from moelib.report.effects import few_heads
from moelib.report.frames import of_split
from moelib.report.sharpness import tables
from moelib.report.wording import listed, rounded


def answer(studies: Iterable[str], name: str = "sharpness") -> Iterator[Markdown]:
    """Is the minimum of one head sharper than that of another?"""
    records = few_heads(loading.by_evidence(studies, SharpnessNumbers))
    measures = ("trace", "matched_trace")
    raw, matched = (tables.effects(records, measure) for measure in measures)
    traces = pd.concat([_on_test(raw, "as trained"), _on_test(matched, "at matched loss")])
    condition = " at matched loss" if matched["value"].notna().any() else ""
    order = [study for study in records if study in {*traces["study"]}]
    ratios = [
        Ratio(
            f"{name}-lambda-max",
            tables.effects(records, "lambda_max"),
            "on test images {head} has {number} times the largest eigenvalue of dense",
            "The largest eigenvalue, times that of dense in the same seed.",
            "largest eigenvalue, times dense",
            " by the largest eigenvalue",
        ),
        Ratio(
            f"{name}-trace",
            traces.set_index("study").loc[order].reset_index()[traces.columns],
            f"on test images {{head}} has {{number}} times the trace of dense{condition}",
            "The trace on test images, times that of dense in the same seed, of nets as they are "
            f"and with all at the same loss. {temperatures(records)}",
            "trace, times dense",
            f" by the trace{condition}",
        ),
    ]
    return times_dense(records, ratios, "sharper", "flatter")


def temperatures(records: Mapping[str, list[Record]]) -> str:
    """What logits are divided by to bring all heads to one loss, in the first study with it."""
    for study, runs in records.items():
        table = of_split(tables.curvature(runs), "test").dropna(subset="matched_temperature")
        if table.empty:
            continue
        by_head = table.groupby("head", sort=False)["matched_temperature"].mean()
        divided = listed(f"{head} by {mean:.2g}" for head, mean in by_head.items())
        matched = runs[0].study.analyses.sharpness.matched_loss
        own = f"{rounded(table['loss'].min())} to {rounded(table['loss'].max())}"
        return (
            f"In `{study}` that loss is {matched:g}, their own is {own}, and logits are divided "
            f"for it: {divided}, in the mean."
        )
    return ""


def beyond_training(studies: Iterable[str]) -> list[Markdown]:
    """How much sharper the loss on test images is than that on training images, over runs."""
    records = few_heads(loading.by_evidence(studies, SharpnessNumbers))
    if not records:
        return []
    study, runs = next(iter(records.items()))
    table = tables.curvature(runs).pivot(index=["head", "seed"], columns="split")

    def span_of(measure: str) -> str:
        ratios = table[measure]["test"] / table[measure]["train"]
        return f"{rounded(ratios.min())} to {rounded(ratios.max())}"

    return [
        Markdown(
            f"In the runs of `{study}` it is {span_of('lambda_max')} times, and the trace "
            f"{span_of('trace')} times."
        )
    ]


def _on_test(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The effects on test images, panels named by a condition."""
    part = frame[frame["panel"].str.endswith("test images")]
    return part.assign(panel=part["study"] + ", " + condition)


def crosscheck_source(records: Mapping[str, Record[CrosscheckNumbers]]) -> Markdown:
    """Say where the comparison with PyHessian ran, link its records, name the command."""
    first = next(iter(records.values()))
    links = (pages.record_link("crosscheck", file, record.head) for file, record in records.items())
    return pages.script_source(
        "crosscheck",
        records.values(),
        f"Study `{first.study.name}`, seed {first.seed}, {first.numbers.images} training images. "
        f"{first.provenance.device}",
        f"Records: {listed(links)}",
    )
