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
from moelib.report.wording import enumeration, listed, rounded


def answer(studies: Iterable[str], name: str = "sharpness") -> Iterator[Markdown]:
    """Is the minimum of one head sharper than that of another?"""
    records = few_heads(loading.by_evidence(studies, SharpnessNumbers))
    raw, matched = (tables.effects(records, measure) for measure in ("trace", "matched_trace"))
    traces = pd.concat([_on_test(raw, "as trained"), _on_test(matched, "at matched loss")])
    traces = traces.sort_values("study", key=lambda s: s.map([*records].index), kind="stable")
    condition = " at matched loss" if matched["value"].notna().any() else ""
    ratios = [
        Ratio(
            f"{name}-lambda-max",
            tables.effects(records, "lambda_max"),
            "on test images {head} has {number} times the largest eigenvalue of dense",
            "The largest eigenvalue, relative to that of dense with the same seed.",
            "largest eigenvalue, relative to dense",
            " by the largest eigenvalue",
        ),
        Ratio(
            f"{name}-trace",
            traces,
            f"on test images {{head}} has {{number}} times the trace of dense{condition}",
            "The trace on test images, relative to that of dense with the same seed, for nets as "
            "trained and all at the same loss.",
            "trace, relative to dense",
            f" by the trace{condition}",
        ),
    ]
    return times_dense(records, ratios, "sharper", "flatter")


def confidence(studies: Iterable[str]) -> list[Markdown]:
    """What confidence does to curvature: on test images, and until all nets have the same loss.

    Of all runs of the study of most evidence; logits are divided to bring a net to that loss.
    """
    records = few_heads(loading.by_evidence(studies, SharpnessNumbers))
    if not records:
        return []
    study, runs = next(iter(records.items()))
    table = tables.curvature(runs)
    by_split = table.pivot(index=["head", "seed"], columns="split")
    eigenvalues, traces = (
        _ends(by_split[measure]["test"] / by_split[measure]["train"])
        for measure in ("lambda_max", "trace")
    )
    told = (
        f"In `{study}` test images have {eigenvalues} times the largest eigenvalue of training "
        f"images, and {traces} times the trace."
    )
    matched = of_split(table, "test").dropna(subset="matched_temperature")
    if len(matched):
        means = matched.groupby("head", sort=False)["matched_temperature"].mean()
        divided = enumeration(f"{mean:.2g} for {head}" for head, mean in means.items())
        loss = runs[0].study.analyses.sharpness.matched_loss
        told += (
            f" Losses on test images are {_ends(matched['loss'])}. To bring all to {loss:g}, "
            f"logits are divided on average by {divided}."
        )
    return [Markdown(told)]


def _ends(values: pd.Series) -> str:
    return f"{rounded(values.min())} to {rounded(values.max())}"


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
