"""What the head can do at all: hypotheses about heads on features that nothing has trained.

They are those of `studies/weak-backbone.yaml`. Words are chosen by the numbers.
"""

from collections.abc import Iterator

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.report import effects, loading, pages
from moelib.report.ablations import contrasts, expectations, figures
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.accuracy import words as accuracy_words
from moelib.report.answers import MIXTURES, headline
from moelib.report.comparisons import REFERENCE, beyond_reference, mean_differences
from moelib.report.headings import headings
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from moelib.report.wording import enumeration, in_points, span

STUDY = "weak-backbone"
WORDS = {SUPPORTED: "Yes", CONTRADICTED: "No", INCONCLUSIVE: "Undecided"}
MEASURES = {"last_train_accuracy": "Training images", "test_accuracy": "Test images"}
FITTED = headings("head", "seeds") | {name: (title, ".1%") for name, title in MEASURES.items()}


def answer() -> Iterator[Markdown]:
    """Do experts pay where the head has something to do?"""
    records = loading.load(STUDY, TrainNumbers)
    accuracy = accuracy_tables.finals(records)
    check = contrasts.judge([contrasts.SOMETHING_TO_DO], accuracy)
    judged = contrasts.judge(contrasts.WEAK, accuracy, contrasts.MATTERS)
    if judged.empty:
        yield expectations.missing(contrasts.WEAK)
        return
    beside = accuracy_tables.effects({STUDY: records})
    beside = beside[beside["head"].isin(MIXTURES)]  # of as many parameters as dense
    claim = accuracy_words.beside_dense(beside)
    shown = pd.concat([check, judged])
    yield Markdown(f"{claim}\n\n{_by_question(shown)}")
    caption = (
        f"{headline(claim)} Test accuracy of one head minus that of another with the same seed"
    )
    yield figures.chart(STUDY, shown, caption, [STUDY])
    yield expectations.table(shown, longest=0)


def fit() -> Iterator[Markdown]:
    """Do the heads behind dense on test images also fit worse? Nothing without records."""
    accuracy = accuracy_tables.finals(loading.load(STUDY, TrainNumbers))
    if accuracy.empty:
        return
    unfit, behind = (_behind(accuracy, measure) for measure in MEASURES)
    both = [head for head in behind if head in unfit]
    others = [head for head in behind if head not in unfit]
    rest = f"; for {enumeration(others)} we do not see this" if others else ""
    if behind:
        yield Markdown(
            f"**Of the heads behind {REFERENCE} on test images, {enumeration(both) or 'none'} "
            f"{'is' if len(both) < 2 else 'are'} behind on training images, too** (after "
            f"correction for {accuracy['head'].nunique() - 1} heads){rest}."
        )
    groups = accuracy.groupby("head", sort=False)
    means = groups[[*MEASURES]].mean().assign(seeds=groups.size())
    yield pages.table(means.reset_index(), FITTED)


def images_of_experts() -> Markdown:
    """Whether it explains the loss of `sparse` that its experts learn from few images each.

    Those of `soft` learn from every image.
    """
    records = loading.load(STUDY, TrainNumbers)
    accuracy = accuracy_tables.finals(records)
    differences = mean_differences(beyond_reference(accuracy, "test_accuracy", "sparse"))
    row = next((row for row in differences.itertuples() if row.head == "soft"), None)
    if row is None:
        return Markdown("The soft and sparse heads are not compared here yet.")
    sparse = next(run.study.heads["sparse"] for run in records if run.head == "sparse")
    more = row.verdict == "higher"
    explains = "explains part of" if more else "alone does not explain"
    return Markdown(
        f"With {sparse.k} of {sparse.experts} experts chosen, an expert learns from "
        f"{sparse.k / sparse.experts:.0%} of the images on average; in soft, from all. Soft "
        f"is {'' if more else 'not seen to be '}more accurate than sparse "
        f"({in_points(row.difference)} points, 95% interval {span(row, in_points)}), so this "
        f"{explains} what sparse loses."
    )


def _behind(accuracy: pd.DataFrame, measure: str) -> list[str]:
    """The heads whose measure is lower than dense's, after correction for all of them."""
    differences = effects.by_head(beyond_reference(accuracy, measure), "difference")
    lower = effects.corrected_verdicts(differences) == "lower"
    return differences["head"][lower].tolist()


def _by_question(judged: pd.DataFrame) -> str:
    """The answer to each question: yes or no where all of its hypotheses agree."""
    answers = []
    for question, verdicts in judged.groupby("question", sort=False)["verdict"]:
        word = WORDS[verdicts.iloc[0]] if verdicts.nunique() == 1 else "In part"
        answers.append(f"{question} **{word}.**")
    return " ".join(answers)
