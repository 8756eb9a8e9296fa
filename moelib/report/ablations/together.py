"""All departures of the authors' code at once, beside the sum of what each did alone.

The hypotheses are those of `studies/ablations-as-run.yaml`, written before any of its runs.
"""

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.report.ablations import contrasts, expectations, figures
from moelib.report.ablations.contrasts import DEPARTURES, HEADS, MATTERS, Arm, Contrast
from moelib.report.ablations.tables import of_judged
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.answers import headline
from moelib.report.effects import corrected_verdicts
from moelib.report.statistics.hypotheses import BELOW, WITHIN
from moelib.report.wording import clauses, enumeration, in_points, with_interval

TOGETHER, APART = "ablations-as-run", "ablations"  # studies
SUM = "the sum"  # what the single departures would make together, if they added up
ADDS_UP = 0.01  # of accuracy, what the sum may be off

AT_ONCE = tuple(
    Contrast("all at once", Arm(TOGETHER, head), Arm(APART, head), BELOW, -MATTERS)
    for head in HEADS
)
IN_SUM = tuple(
    Contrast("beyond the sum", Arm(TOGETHER, head), Arm(SUM, head), WITHIN, ADDS_UP)
    for head in HEADS
)


def added_up(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy of each head and seed, if the departures that touch the head added up.

    That of the run without any, plus each departure's run minus the one it is compared with. A head
    or seed that lacks one of them has no row.

    Args:
        accuracy: one row per run, with columns study, head, seed and test_accuracy.
    """
    rows = []
    for at_once in AT_ONCE:
        head = at_once.arm.head
        own = [contrast for contrast in DEPARTURES if contrast.arm.head == head]
        arm = (accuracy["study"] == TOGETHER) & (accuracy["head"] == head)
        reached = accuracy[arm].set_index("seed")["test_accuracy"]
        without = reached - contrasts.paired_differences(at_once, accuracy)
        total = without + sum(contrasts.paired_differences(single, accuracy) for single in own)
        rows += [(SUM, head, seed, value) for seed, value in total.dropna().items()]
    return pd.DataFrame(rows, columns=["study", "head", "seed", "test_accuracy"])


def judged() -> pd.DataFrame:
    """The hypotheses on all departures at once, as `contrasts.judge` judges them."""
    accuracy = accuracy_tables.finals(contrasts.load([*DEPARTURES, *AT_ONCE], TrainNumbers))
    values = pd.concat([accuracy, added_up(accuracy)]) if len(accuracy) else accuracy
    return contrasts.judge([*AT_ONCE, *IN_SUM], values)


def answer(name: str = "together") -> list[Markdown]:
    """What do all departures do at once, and is it the sum of what each does alone?"""
    rows = judged()
    at_once, in_sum = (rows[rows["question"] == c.question] for c in (AT_ONCE[0], IN_SUM[0]))
    if at_once.empty:
        return [Markdown("Their joint effect is not measured on this net yet.")]
    verbs = {"lower": "less accurate than", "higher": "more accurate than"}
    sides = corrected_verdicts(of_judged(at_once, at_once["question"]))
    told = "; ".join(f"{part} runs without them" for part in clauses(at_once["head"], sides, verbs))
    claim = f"**With all departures at once, {told}** (after correction for {len(at_once)} heads)."
    changes = enumeration(
        f"{row.head} {with_interval(row.difference, row, in_points)}"
        for row in at_once.itertuples()
    )
    losses = f"each head to lose more than {100 * MATTERS:g} points"
    sums = f"the single departures to add up to this, give or take {100 * ADDS_UP:g} point"
    fates = [
        f"We expected {text}: {_fared(of)}."
        for text, of in ((losses, at_once), (sums, in_sum))
        if len(of)
    ]
    change = f"Changes in points, with uncorrected 95% intervals: {changes}."
    caption = (
        f"{headline(claim)} Test accuracy with all departures minus that without, by seed, and how "
        "far this change lies from the sum of the single ones"
    )
    studies = contrasts.studies([*AT_ONCE, *DEPARTURES])
    return [
        Markdown(" ".join([claim, change, *fates])),
        figures.chart(name, rows.assign(against=""), caption, studies),
    ]


def expected() -> list[Markdown]:
    """What was expected of all departures together; says so where nothing is measured."""
    rows = judged()
    return [expectations.table(rows) if len(rows) else expectations.missing(AT_ONCE)]


def _fared(rows: pd.DataFrame) -> str:
    """What became of an expectation, in words: for which heads it was met, or not."""
    heads = rows.groupby("verdict", sort=False)["head"]
    return "; ".join(f"{verdict} for {enumeration(names)}" for verdict, names in heads)
