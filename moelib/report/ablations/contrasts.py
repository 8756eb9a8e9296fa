"""Hypotheses of the ablations, as data: one arm of a study against another, paired by seed.

They are those that the files of the studies state, written before any run.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import pandas as pd

from moelib.records.record import Record
from moelib.report import loading
from moelib.report.frames import RUN, run_of
from moelib.report.loading import N
from moelib.report.statistics import hypotheses
from moelib.report.statistics.hypotheses import ABOVE, BELOW, WITHIN, Evidence, over_seeds
from moelib.report.wording import bound

MATTERS = 0.005  # of accuracy, the smallest effect that matters
COLUMNS = [
    *("question", "study", "head", "measure", "against", "seeds", "difference", "low", "high"),
    *("hypothesis", "p_value", "adjusted", "verdict", "detectable", "by_seed"),
]


class Arm(NamedTuple):
    """The runs of one head of one study."""

    study: str
    head: str


class Contrast(NamedTuple):
    """A hypothesis about a measure of one arm minus that of another of the same seed."""

    question: str
    arm: Arm
    reference: Arm
    kind: str  # above, below or within
    threshold: float  # of the measure
    measure: str = "test_accuracy"  # a column of the values that are judged

    @property
    def hypothesis(self) -> str:
        """In words, with the threshold."""
        return bound(self.kind, self.threshold)

    @property
    def against(self) -> str:
        """What differs in the reference: the head, or else the study."""
        same = self.arm.study == self.reference.study
        return self.reference.head if same else self.reference.study


def _contrasts(
    study: str,
    question: str,
    kind: str,
    threshold: float,
    *pairs: tuple[str, str],
    measure: str = "test_accuracy",
) -> tuple[Contrast, ...]:
    """The same question of several pairs of heads of a study."""
    return tuple(
        Contrast(question, Arm(study, head), Arm(study, reference), kind, threshold, measure)
        for head, reference in pairs
    )


# Without this one the others say nothing; it is no part of their family.
(SOMETHING_TO_DO,) = _contrasts(
    "weak-backbone", "Is there work for the head?", ABOVE, 0.03, ("dense", "linear")
)
WEAK = (
    *_contrasts(
        *("weak-backbone", "Do experts help at equal parameters?", ABOVE, MATTERS),
        *(("soft", "dense"), ("sparse", "dense"), ("switch", "dense")),
    ),
    *_contrasts(
        *("weak-backbone", "Does capacity help at equal cost?", ABOVE, MATTERS),
        *(("sparse", "dense-h128"), ("sparse-e32", "dense-h128"), ("sparse-e32", "sparse")),
    ),
    *_contrasts(
        *("weak-backbone", "Does sparsity cost accuracy?", BELOW, -MATTERS),
        ("sparse-e32", "dense-h2048"),
    ),
    *_contrasts(
        *("weak-backbone", "Does routing help, with noise and losses?", ABOVE, MATTERS),
        ("sparse", "frozen"),
    ),
)
PARTS = {  # by name: losses stand in the reference, gates and layers in the arm
    "losses": _contrasts(
        *("ablations", "Do balance losses add less than half a point?", ABOVE, -MATTERS),
        *(("soft-free", "soft"), ("sparse-free", "sparse"), ("switch-free", "switch")),
    ),
    "gate": _contrasts(
        *("ablations", "Does a gate that learns add less than half a point?", BELOW, MATTERS),
        *(("soft", "uniform"), ("sparse", "frozen")),
    ),
    "layer": _contrasts(
        *("ablations", "Does a hidden layer add less than half a point?", BELOW, MATTERS),
        ("dense", "linear"),
    ),
}

MAIN_STUDY = "cifar10-main"
UNTRAINED_GATE = _contrasts(
    MAIN_STUDY, "Is a gate that never learns as good?", ABOVE, -MATTERS, ("frozen", "sparse")
)
CORRUPTED = _contrasts(  # on what corruption costs
    *(MAIN_STUDY, "Does corruption cost this head as much as dense?", WITHIN, 0.01),
    *((head, "dense") for head in ("soft", "sparse", "switch", "frozen")),
    measure="lost_accuracy",
)


def _departure(question: str, name: str, *heads: str, reference: str = "ablations"):
    """That heads of a study, which differs from another in one key, are as accurate as there."""
    return tuple(
        Contrast(question, Arm(f"protocol-{name}", head), Arm(reference, head), WITHIN, MATTERS)
        for head in heads
    )


def _also(question: str, kind: str, measure: str) -> tuple[Contrast, ...]:
    """What else is expected of a departure: that a measure is above or below 0."""
    return tuple(
        c._replace(kind=kind, threshold=0.0, measure=measure)
        for c in DEPARTURES
        if c.question == question
    )


HEADS = ("dense", "soft", "sparse", "switch")
DEPARTURES = (
    *(
        contrast._replace(kind=BELOW, threshold=-MATTERS)
        for contrast in _departure("no augmentation", "augment", *HEADS)
    ),
    *_departure("noise in evaluation", "evaluation-noise", "sparse"),
    *_departure("reversed KL", "kl", "soft"),
    *_departure("importance as load", "load", "sparse"),
    *_departure("top-1 weight of 1", "top-1-weight", "switch"),
    *_departure("dropout on logits", "logit-dropout", "soft"),
    *_departure("dropout on logits", "logit-dropout", "sparse", reference="protocol-load"),
    *_departure("ties kept", "ties", "sparse", reference="protocol-logit-dropout"),
)
# The other half of what is expected of this noise, beside "by less than half a point".
COSTLY = _also("noise in evaluation", BELOW, "test_accuracy")
INFORMATION = (  # that class and expert share on test images
    *_also("reversed KL", ABOVE, "information"),
    *_also("top-1 weight of 1", BELOW, "information"),
    *_also("dropout on logits", BELOW, "information"),
)
SHARPER = (  # logarithms, on test images
    *_also("no augmentation", ABOVE, "log_lambda_max"),
    *_also("no augmentation", ABOVE, "log_trace"),
)
# Another order of batches and another augmentation; their spread is the noise floor of the others.
UNPAIRED = _departure("unpaired", "unpaired", *HEADS)
# One family, as `studies/protocol-augment.yaml` has it.
EXPECTED = (*DEPARTURES, *COSTLY, *INFORMATION, *SHARPER, *UNPAIRED)
# The runs of `ablations` again, on another kind of device: there a departure is compared with them.
REPEATED = {"ablations": "protocol-corrected"}


def studies(contrasts: Iterable[Contrast]) -> list[str]:
    """Names of the studies that contrasts need, those among them that repeat a reference."""
    return list(dict.fromkeys(study for c in contrasts for study in (c.arm.study, *_bases(c))))


def _bases(contrast: Contrast) -> list[str]:
    """The studies that a reference can be of: its own, and for another study's arm its repeat."""
    own = contrast.reference.study
    repeat = REPEATED.get(own) if contrast.arm.study != own else None
    return [own, repeat] if repeat else [own]


def load(contrasts: Iterable[Contrast], numbers: type[N]) -> list[Record[N]]:
    """The records of one kind of the studies that contrasts need."""
    return [record for study in studies(contrasts) for record in loading.load(study, numbers)]


def pairs(contrasts: Iterable[Contrast], records: Iterable[Record]) -> list[tuple[Record, Record]]:
    """The runs of one seed of the two arms of each contrast, where both are there."""
    runs = {run_of(record): record for record in records}
    devices = {run: record.provenance.device for run, record in runs.items()}
    return [
        (runs[*contrast.arm, seed], runs[partner])
        for contrast in contrasts
        for seed, partner in partners(contrast, devices).items()
    ]


def partners(contrast: Contrast, devices: Mapping[tuple, str | None]) -> dict[int, tuple]:
    """By seed of the arm the run that it is compared with, as (study, head, seed).

    That of the reference, unless it was trained on another device than the arm's and a run of the
    study that repeats it was not. A seed without such a run has no partner.

    Args:
        contrast: the two arms.
        devices: on what each run was trained, by (study, head, seed).
    """
    chosen = {}
    for (study, head, seed), device in devices.items():
        if (study, head) == contrast.arm:
            runs = [(base, contrast.reference.head, seed) for base in _bases(contrast)]
            there = [run for run in runs if run in devices]
            alike = [run for run in there if devices[run] == device]
            if there:
                chosen[seed] = (alike + there)[0]
    return chosen


def paired_differences(contrast: Contrast, values: pd.DataFrame) -> pd.Series:
    """The contrast's measure of its arm minus that of the reference, by each seed that both have.

    Args:
        contrast: the two arms.
        values: one row per run, with columns study, head, seed and the measure, and device where
            that decides on the partner; or empty.
    """
    if values.empty or contrast.measure not in values:
        return pd.Series(dtype=float)
    runs = values.set_index(RUN)
    known = runs[contrast.measure].dropna()
    devices = runs["device"].to_dict() if "device" in runs else dict.fromkeys(runs.index)
    differences = {
        seed: known[*contrast.arm, seed] - known[partner]
        for seed, partner in partners(contrast, {run: devices[run] for run in known.index}).items()
    }
    return pd.Series(differences, dtype=float).sort_index()


def judge(
    contrasts: Sequence[Contrast], values: pd.DataFrame, negligible: float = 0.0
) -> pd.DataFrame:
    """One row per contrast with runs: its difference, p-value, and verdict, as `claims` judges.

    The p-value is for or against the hypothesis, twice the smaller one-sided one. All contrasts are
    one family (Holm 1979), those without runs too: they count as ones that nothing speaks for.
    What lies with its whole 95 % interval within `negligible` of 0 is without effect, and decides
    a hypothesis about as much by that, whatever the correction says.
    `detectable` is how far beyond the threshold an effect must be for so many seeds to see it with
    power 0.8 at the first step.
    Rows have the places of their contrasts in the family as their index.

    Args:
        contrasts: the family.
        values: as of `paired_differences`, or empty.
        negligible: as the files of these studies state it; 0 where they state none.
    """
    by_seed = [paired_differences(contrast, values) for contrast in contrasts]
    evidence = [
        over_seeds(contrast.question, differences, contrast.kind, contrast.threshold)
        for contrast, differences in zip(contrasts, by_seed, strict=True)
    ]
    judged = hypotheses.decisions([(part.p_for, part.p_against) for part in evidence])
    rows = {
        place: {
            "question": contrast.question,
            **contrast.arm._asdict(),
            "measure": contrast.measure,
            "against": contrast.against,
            **part._asdict(),
            "difference": part.estimate,
            "hypothesis": contrast.hypothesis,
            **decision._asdict(),
            **_without_effect(contrast, part, negligible),
            "detectable": hypotheses.detectable(part, hypotheses.LEVEL / len(contrasts)),
            "by_seed": tuple(differences),
        }
        for place, (contrast, differences, part, decision) in enumerate(
            zip(contrasts, by_seed, evidence, judged, strict=True)
        )
        if part.seeds
    }
    return pd.DataFrame(list(rows.values()), index=[*rows], columns=COLUMNS)


def changes(contrasts: Iterable[Contrast], values: pd.DataFrame, measure: str) -> pd.DataFrame:
    """One row per contrast and split with two seeds or more: mean change of a measure, t-interval.

    `adjusted` is the p-value of no change, by Holm's correction for all rows.

    Args:
        contrasts: pairs of arms.
        values: as of `paired_differences`, with a column split.
        measure: name of a column.
    """
    rows, tested = [], []
    for contrast, (split, frame) in product(contrasts, values.groupby("split", sort=False)):
        differences = paired_differences(contrast._replace(measure=measure), frame)
        if len(differences) > 1:
            part = over_seeds(contrast.question, differences, ABOVE, 0.0)
            numbers = (part.seeds, part.estimate, part.low, part.high)
            rows.append((contrast.question, contrast.arm.head, split, *numbers))
            tested.append((part.p_for, part.p_against))
    columns = ["question", "head", "split", "seeds", "change", "low", "high"]
    adjusted = [decision.adjusted for decision in hypotheses.decisions(tested)]
    return pd.DataFrame(rows, columns=columns).assign(adjusted=adjusted)


def _without_effect(contrast: Contrast, part: Evidence, negligible: float) -> dict[str, str]:
    """The verdict on a contrast that has no effect: whether none was expected."""
    about_as_much = abs(contrast.threshold) >= negligible
    if not (about_as_much and -negligible < part.low and part.high < negligible):
        return {}
    side = {ABOVE: -1, BELOW: 1}.get(contrast.kind)
    expected = side is None or side * contrast.threshold > 0
    return {"verdict": hypotheses.SUPPORTED if expected else hypotheses.CONTRADICTED}
