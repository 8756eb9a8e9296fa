"""The answers beyond the test split: corruptions, calibration, agreement, their prediction."""

from collections.abc import Iterable

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import SharpnessNumbers, TrainNumbers
from moelib.records.record import Record
from moelib.records.reliability import RobustnessNumbers
from moelib.report import comparisons, effects, loading, pages
from moelib.report.answers import comparison, headline, too_few
from moelib.report.forest import chart
from moelib.report.frames import flat
from moelib.report.headings import headings
from moelib.report.robustness import figures, tables
from moelib.report.robustness.tables import NEITHER, SAME_HEAD, SAME_SEED
from moelib.report.statistics import association
from moelib.report.statistics.intervals import CONFIDENCE
from moelib.report.wording import enumeration, listed, plain, seeds_in_words, signed, with_interval

NOTHING = (
    "No study with such records is here yet. A study asks for them with "
    "`analyses: {robustness: {}}`, and `make study STUDY=NAME` makes them."
)
PREDICTION = headings(
    "study", "measure", "outcome", "runs", "rho", "tau", "within", "p_value", "holm"
) | {"tau": ("Kendall, all", ".2f"), "p_value": ("p within", ".2g")}
RELIABILITY = headings(
    *("study", "head", "seeds", "accuracy", "corruption_error", "ece", "tempered_ece"),
    *("corrupted_ece", "brier", "temperature"),
)


def corruptions(studies: Iterable[str]) -> list[Markdown]:
    """Is one kind of head hurt less by corrupted images than another?"""
    records = loading.by_evidence(studies, RobustnessNumbers)
    if not records:
        return [Markdown(NOTHING)]
    study, runs = next(iter(records.items()))  # of most evidence: one figure is enough
    kinds = _kinds(runs)
    summary = tables.summary(kinds)
    lost = summary.groupby("head")["lost_accuracy"].mean().mean()  # each head weighs alike
    words = (
        f"In `{study}` ({_seeds_by_head(summary)}) corruptions cost {100 * lost:.1f} points of "
        f"accuracy on average, of {summary['images'].iloc[0]:,} test images."
    )
    strengths = tables.strengths(kinds)
    curves = pages.chart(
        f"corruptions-{study}", figures.curves(strengths),
        f"{words} Accuracy by strength, mean over seeds and their range; 0 is the same images "
        "before. Each panel has its own range of accuracy.",
        strengths, pages.evidence({study: kinds}),
    )  # fmt: skip
    frame = effects.by_head(tables.relative_errors(flat(records)), "relative_error")
    if frame.empty:
        return [Markdown(words), curves]
    verbs = {"lower": "more robust than", "higher": "less robust than"}
    answer = comparison(frame, verbs, plain, "{head} has {number} times the error of dense", null=1)
    caption = (
        f"{headline(answer)} Mean over corruptions of the error, times that of dense in the same "
        f"seed."
    )
    return [
        Markdown(f"{answer} {too_few(frame)}"),
        curves,
        chart("corruption-errors", frame, records, caption, "error, times dense", line=1),
    ]


def calibration(studies: Iterable[str]) -> list[Markdown]:
    """Can the probabilities of one kind of head be trusted more than those of another?"""
    records = loading.by_evidence(studies, RobustnessNumbers)
    if not records:
        return [Markdown(NOTHING)]
    summary = tables.summary(flat(records))
    groups = summary.groupby(["study", "head"], sort=False)
    means = groups.mean(numeric_only=True).assign(seeds=groups.size())
    table = pages.table(means.reset_index(), RELIABILITY)
    differences = comparisons.beyond_reference(summary, "tempered_ece")
    frame = effects.by_head(differences, "difference", scale=100)
    if frame.empty:
        return [table]
    verbs = {"lower": "better calibrated than", "higher": "worse calibrated than"}
    answer = comparison(
        frame, verbs, signed, "ECE of {head} minus that of dense is {number} points"
    )
    caption = (
        f"{headline(answer)} Expected calibration error at the temperature that suits validation "
        f"images, minus that of dense in the same seed."
    )
    return [
        Markdown(f"{answer} {too_few(frame)}"),
        chart("calibration", frame, records, caption, "ECE minus dense, points", line=0),
        table,
    ]


def agreement(studies: Iterable[str]) -> list[Markdown]:
    """Do two runs of one head agree more than runs of two heads?"""
    records = loading.by_evidence(studies, RobustnessNumbers)
    trained = [run for study in records for run in loading.load(study, TrainNumbers)]
    pairs = tables.agreement(flat(records), trained)
    if pairs.empty:
        return [Markdown(NOTHING)]
    # Each head, and each pair of heads, weighs alike, however many of its runs are there.
    heads = pairs.groupby(["study", "shared", "first", "second"], sort=False)
    means = heads[["agreement", "equal_errors"]].mean().assign(pairs=heads.size())
    groups = means.groupby(["study", "shared"], sort=False)
    table = groups.mean().assign(pairs=groups["pairs"].sum()).reset_index()
    columns = headings("study", "shared", "pairs", "agreement", "equal_errors")
    study = table["study"].iloc[0]
    means = table[table["study"] == study].set_index("shared")["agreement"]
    words = {SAME_HEAD: "two seeds of one head", SAME_SEED: "two heads of one seed",
             NEITHER: "two heads of two seeds"}  # fmt: skip
    shares = (f"{words[shared]} on {100 * share:.1f}%" for shared, share in means.items())
    answer = (
        f"**In `{study}` runs predict the same class of a test image as follows: "
        f"{listed(shares)}.**{_mark(means)} Pairs of runs are not independent of each other, so no "
        "interval is given."
    )
    return [Markdown(answer), pages.table(table, columns)]


def _mark(means: pd.Series) -> str:
    """Whether the kind of head is seen in what two runs predict."""
    if not {SAME_HEAD, NEITHER} <= {*means.index}:
        return ""
    more = 100 * (means[SAME_HEAD] - means[NEITHER])
    return (
        f" Two runs of one head agree on {plain(more)} points more images than two of two heads."
        if more > 0
        else " The kind of head leaves no mark here."
    )


def predictions(studies: Iterable[str]) -> list[Markdown]:
    """Does any measure of sharpness predict accuracy, robustness or calibration?"""
    records = loading.by_evidence(studies, RobustnessNumbers)
    sharp = [run for study in records for run in loading.load(study, SharpnessNumbers)]
    table = tables.associations(flat(records), sharp)
    if table.empty:
        return [
            Markdown(f"No study here has {association.FEWEST} runs with sharpness and robustness.")
        ]
    pooled = (table["low"] > 0) | (table["high"] < 0)
    within = table["holm"] < 1 - CONFIDENCE
    studies = enumeration(f"`{study}`" for study in dict.fromkeys(table["study"]))
    answer = (
        f"**Of {len(table)} pairs of a measure of sharpness on training images and an outcome, in "
        f"{within.sum() or 'none'} the two are seen to go together among "
        f"the seeds of one head** (in {studies}, corrected for their number in each). With heads "
        f"mixed, the interval over all runs leaves 0 out for {pooled.sum()} of them; by chance it "
        f"would for about {len(table) * (1 - CONFIDENCE):.0f}. On test images and validation "
        "accuracy see [claim 11](claims.ipynb)."
    )
    rows = table.assign(
        measure=table["measure"].map(tables.MEASURES),
        outcome=table["outcome"].map(tables.OUTCOMES),
        rho=[with_interval(row.rho, row) for row in table.itertuples()],
    )
    return [Markdown(answer), pages.table(rows, PREDICTION, longest=12)]


def _seeds_by_head(summary: pd.DataFrame) -> str:
    """How many seeds there are of each head, or once of all."""
    seeds = summary.groupby("head", sort=False).size()
    if seeds.nunique() == 1:
        return seeds_in_words(seeds.iloc[0])
    return f"seeds: {listed(f'{head} {count}' for head, count in seeds.items())}"


def _kinds(runs: list[Record[RobustnessNumbers]]) -> list[Record[RobustnessNumbers]]:
    """The runs of heads that are called what they are, if any; else all."""
    return [run for run in runs if run.head == run.study.heads[run.head].kind] or runs
