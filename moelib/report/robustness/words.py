"""The answers beyond the test split: corruptions, calibration, agreement, their prediction."""

from collections.abc import Iterable

from IPython.display import Markdown

from moelib.records.kinds import SharpnessNumbers, TrainNumbers
from moelib.records.reliability import RobustnessNumbers
from moelib.report import comparisons, effects, loading, pages
from moelib.report.answers import comparison, elsewhere, headline, seeds_in, too_few
from moelib.report.forest import chart
from moelib.report.frames import flat
from moelib.report.headings import headings
from moelib.report.robustness import figures, tables
from moelib.report.statistics import association
from moelib.report.statistics.intervals import CONFIDENCE
from moelib.report.wording import enumeration, plain, signed, with_interval

NOTHING = (
    "No study here has such records yet. A study asks for them with "
    "`analyses: {robustness: {}}`, and `make study STUDY=NAME` makes them."
)
SHORT = 6  # rows of a table that is not folded on this page
PREDICTION = headings("study", "measure", "outcome", "runs", "rho", "within", "p_value", "holm") | {
    "p_value": ("p within", ".2g")
}
RELIABILITY = headings(
    *("study", "head", "seeds", "accuracy", "corruption_error", "ece", "tempered_ece"),
    *("corrupted_ece", "brier", "temperature"),
)


def corruptions(studies: Iterable[str]) -> list[Markdown]:
    """Is one kind of head hurt less by corrupted images than another?"""
    records = effects.few_heads(loading.by_evidence(studies, RobustnessNumbers))
    if not records:
        return [Markdown(NOTHING)]
    study, runs = next(iter(records.items()))  # of most evidence: one figure is enough
    summary, strengths = tables.summary(runs), tables.strengths(runs)
    seeds = summary.groupby(["study", "head"]).size().reset_index(name="seeds")
    lost = summary.groupby("head")["lost_accuracy"].mean().mean()  # each head weighs alike
    curves = pages.chart(
        f"corruptions-{study}",
        [figures.curves(strengths)],
        f"Corruptions cost {100 * lost:.1f} points of accuracy on average ({seeds_in(seeds)}; "
        f"{summary['images'].iloc[0]:,} test images). Mean over seeds and range, by strength; "
        "0 is the same images uncorrupted. Each panel has its own scale of accuracy.",
        strengths,
        pages.evidence({study: runs}),
    )
    errors = effects.by_head(tables.relative_errors(flat(records)), "relative_error")
    if errors.empty:
        return [curves]
    verbs = {"lower": "more robust than", "higher": "less robust than"}
    sentence = "{head} has {number} times the error of dense"
    answer = comparison(errors, verbs, plain, sentence, null=1)
    caption = (
        f"{headline(answer, errors['study'].iloc[0])} Error relative to that of dense with the "
        "same seed, averaged over corruptions."
    )
    others = elsewhere(errors, records, verbs, null=1)
    return [
        Markdown(f"{answer} {others} {too_few(errors)}"),
        chart("corruption-errors", errors, records, caption, "error, relative to dense", line=1),
        curves,
    ]


def calibration(studies: Iterable[str]) -> list[Markdown]:
    """Can the probabilities of one kind of head be trusted more than those of another?"""
    records = loading.by_evidence(studies, RobustnessNumbers)
    if not records:
        return [Markdown(NOTHING)]
    summary = tables.summary(flat(records))
    groups = summary.groupby(["study", "head"], sort=False)
    means = groups.mean(numeric_only=True).assign(seeds=groups.size())
    table = pages.table(means.reset_index(), RELIABILITY, longest=SHORT)
    differences = comparisons.beyond_reference(summary, "tempered_ece")
    errors = effects.by_head(differences, "difference", scale=100)
    if errors.empty:
        return [table]
    verbs = {"lower": "better calibrated than", "higher": "worse calibrated than"}
    sentence = "the ECE of {head} minus that of dense is {number} points"
    answer = comparison(errors, verbs, signed, sentence)
    caption = (
        f"{headline(answer, errors['study'].iloc[0])} ECE at the temperature fitted on validation "
        "images, minus that of dense with the same seed."
    )
    others = elsewhere(errors, records, verbs)
    return [
        Markdown(f"{answer} {others} {too_few(errors)}"),
        chart("calibration", errors, records, caption, "ECE minus dense, points", line=0),
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
    shares = enumeration(f"{share:.1%} ({shared})" for shared, share in means.items())
    answer = (
        f"**Two runs of `{study}` predict the same class for {shares} of test images**, "
        f"which lie {plain(100 * (means.max() - means.min()))} points apart at most. Pairs of runs "
        "are not independent of each other, so no interval is given."
    )
    return [Markdown(answer), pages.table(table, columns, longest=SHORT)]


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
        f"**Of {len(table)} pairs of a measure of sharpness and an outcome, we see "
        f"{within.sum() or 'none'} go together among the seeds of one head** ({studies}, corrected "
        "for their number in each). With heads mixed, the interval over all runs excludes 0 for "
        f"{pooled.sum()} of them; by chance it would for about "
        f"{len(table) * (1 - CONFIDENCE):.0f}. [Claim 11](claims.ipynb) concerns test images and "
        "validation accuracy."
    )
    rows = table.assign(
        measure=table["measure"].map(tables.MEASURES),
        outcome=table["outcome"].map(tables.OUTCOMES),
        rho=[with_interval(row.rho, row) for row in table.itertuples()],
    )
    return [Markdown(answer), pages.table(rows, PREDICTION, longest=SHORT)]
