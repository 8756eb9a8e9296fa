"""The answer on sharpness, its charts, and where the comparison with PyHessian is from."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import CrosscheckNumbers, SharpnessNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.answers import BARS, STAR, Ratio, times_dense
from moelib.report.effects import few_heads
from moelib.report.sharpness import tables
from moelib.report.wording import listed


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
            f"The largest eigenvalue, times that of dense in the same seed. {BARS} {STAR}",
            "largest eigenvalue, times dense",
            " by the largest eigenvalue",
        ),
        Ratio(
            f"{name}-trace",
            traces.set_index("study").loc[order].reset_index()[traces.columns],
            f"on test images {{head}} has {{number}} times the trace of dense{condition}",
            "The trace on test images, times that of dense in the same seed, of nets as they are "
            f"and with all at the same loss. {BARS} {STAR}",
            "trace, times dense",
            f" by the trace{condition}",
        ),
    ]
    return times_dense(records, ratios, "sharper", "flatter")


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
