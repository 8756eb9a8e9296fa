"""All departures of the authors' code at once, beside the sum of what each did alone.

The hypotheses are those of `studies/ablations-as-run.yaml`, written before any of its runs.
"""

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.report import loading
from moelib.report.ablations import tables
from moelib.report.ablations.contrasts import (
    DEPARTURES,
    HEADS,
    MATTERS,
    Arm,
    Contrast,
    judge,
    load,
    paired_differences,
)
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.answers import headline
from moelib.report.effects import corrected_verdicts
from moelib.report.forest import chart
from moelib.report.statistics.hypotheses import BELOW, CONTRADICTED, INCONCLUSIVE, SUPPORTED, WITHIN
from moelib.report.wording import clauses, enumeration, in_points, span, with_interval

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
        without = reached - paired_differences(at_once, accuracy)
        total = without + sum(paired_differences(contrast, accuracy) for contrast in own)
        rows += [(SUM, head, seed, value) for seed, value in total.dropna().items()]
    return pd.DataFrame(rows, columns=["study", "head", "seed", "test_accuracy"])


def judged() -> pd.DataFrame:
    """The hypotheses on all departures at once, as `contrasts.judge` judges them."""
    accuracy = accuracy_tables.finals(load([*DEPARTURES, *AT_ONCE], TrainNumbers))
    values = pd.concat([accuracy, added_up(accuracy)]) if len(accuracy) else accuracy
    return judge([*AT_ONCE, *IN_SUM], values)


def answer(name: str = "together") -> list[Markdown]:
    """What do all departures do at once, and is it the sum of what each does alone?"""
    rows = judged()
    at_once, in_sum = (rows[rows["question"] == c.question] for c in (AT_ONCE[0], IN_SUM[0]))
    if at_once.empty:
        return [Markdown("All at once they are not measured on this net yet.")]
    effects = tables.of_judged(rows, TOGETHER + ", " + rows["question"])
    changed = effects[: len(at_once)]
    verbs = {"lower": "less accurate than", "higher": "more accurate than"}
    parts = clauses(changed["head"], corrected_verdicts(changed), verbs)
    told = "; ".join(f"{part} the runs without" for part in parts)
    claim = f"**With all departures at once, {told}** (after correction for {len(changed)} heads)."
    changes = enumeration(
        f"{row.head} {with_interval(row.difference, row, in_points)}"
        for row in at_once.itertuples()
    )
    words = f"{claim} Change in points, with its uncorrected 95% interval: {changes}."
    return [
        Markdown(f"{words} {_expected(at_once)}{_sum(in_sum)}"),
        chart(
            name, effects, {TOGETHER: loading.load(TOGETHER, TrainNumbers)},
            f"{headline(claim)} Test accuracy under the protocol `as-run` minus that under "
            f"`corrected`, by seed, and how far it lies from the sum of the single departures.",
            "points of accuracy", line=0,
        ),
    ]  # fmt: skip


def _expected(at_once: pd.DataFrame) -> str:
    """What became of the expectation that all heads lose by all departures, in words."""
    words = {SUPPORTED: "holds", CONTRADICTED: "is contradicted", INCONCLUSIVE: "is open"}
    told = "; ".join(
        f"{word} for {enumeration(at_once['head'][at_once['verdict'] == verdict])}"
        for verdict, word in words.items()
        if (at_once["verdict"] == verdict).any()
    )
    return f"That a head loses more than {100 * MATTERS:g} points, as was expected, {told}."


def _sum(in_sum: pd.DataFrame) -> str:
    """Whether the single departures add up, in words; nothing where one of them lacks."""
    words = {
        SUPPORTED: "The single departures add up to that, give or take {}, for {}.",
        CONTRADICTED: "The single departures do not add up to that, by more than {}, for {}.",
        INCONCLUSIVE: "Whether the single ones add up to that, give or take {}, is open for {}.",
    }
    points = f"{100 * ADDS_UP:g} point"
    told = [
        sentence.format(
            points,
            enumeration(f"{row.head} ({span(row, in_points)} beyond)" for row in rows.itertuples()),
        )
        for verdict, sentence in words.items()
        if len(rows := in_sum[in_sum["verdict"] == verdict])
    ]
    return " ".join(["", *told])
