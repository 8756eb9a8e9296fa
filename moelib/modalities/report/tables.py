"""What records of a study of modalities say of its arms: values, paired differences, verdicts.

It reads records alone, without torch.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from moelib.records.modalities import (
    Answers,
    ModalitySharpnessNumbers,
    ModalityTrainNumbers,
    ModalityUtilizationNumbers,
)
from moelib.records.record import Numbers, Record, RecordError, read_record
from moelib.report import effects
from moelib.report.statistics.hypotheses import (
    ABOVE,
    BELOW,
    INCONCLUSIVE,
    WITHIN,
    decisions,
    over_seeds,
)
from moelib.report.wording import bound
from moelib.study.modalities import FOLDER, load_modality_study, modality_runs
from moelib.study.run import results_root

N = TypeVar("N", bound=Numbers)
Trained = Record[ModalityTrainNumbers]
Value = Callable[[Trained], float]

POINT = 0.01  # the smallest difference of a share that matters, fixed in the studies beforehand
FEWEST = 4  # seeds, below which nothing is called


class Comparison(NamedTuple):
    """A hypothesis about two arms of a study, as its file states it."""

    name: str
    statement: str
    arm: str
    baseline: str
    value: Value
    kind: str  # above, below or within
    threshold: float  # of a share

    @property
    def expected(self) -> str:
        """In words, with the threshold."""
        return bound(self.kind, self.threshold)


class Verdict(NamedTuple):
    """What a comparison came to; shares, not points."""

    comparison: Comparison
    differences: tuple[float, ...]  # by seed
    mean: float
    low: float
    high: float
    adjusted: float  # p-value for or against what was expected, by Holm's correction for the family
    verdict: str  # supported, contradicted or inconclusive


# -- records ---------------------------------------------------------------------------------------


def studies() -> list[str]:
    """Names of the studies of modalities that have records of training."""
    paths = results_root().glob(f"modalities/*/*/seed-*/{ModalityTrainNumbers.kind}.json")
    return sorted({path.parents[2].name for path in paths})


def load(
    study: str, numbers: type[N] = ModalityTrainNumbers, file: str | None = None
) -> list[Record[N]]:
    """All records of one kind of a study, in the order of its arms, then by seed.

    `file` is their name without suffix, where it is not the kind's.

    Raises:
        RecordError: a record is damaged, or two of them differ in more than arm and seed.
    """
    if not (FOLDER / f"{study}.yaml").is_file():
        return []
    listed = modality_runs(load_modality_study(study))
    order = {arm: number for number, arm in enumerate(dict.fromkeys(run.head for run in listed))}
    paths = [run.record_path(file or numbers.kind) for run in listed]
    records = [read_record(path, numbers) for path in paths if path.is_file()]
    settings = [_settings(record) for record in records]
    for record, own in zip(records, settings, strict=True):
        different = [name for name, value in settings[0].items() if own[name] != value]
        if different:
            raise RecordError(
                f"The {numbers.kind} records of the study '{study}' are of different settings: "
                f"{record.head}, seed {record.seed} differs in {', '.join(different)}."
            )
    return sorted(records, key=lambda record: (order[record.head], record.seed))


def _settings(record: Record) -> dict[str, object]:
    """What all runs of a study share."""
    names = ("data_seed", "scenes", "held_out", "questions", "sizes", "transformer", "training")
    return {name: getattr(record.numbers.study, name) for name in names}


# -- values ----------------------------------------------------------------------------------------


def truths(answers: Answers) -> float:
    """Accuracy on truths, those of one predicate and of two weighed alike where there are both."""
    parts = [answers.forms[name] for name in ("statement", "connected") if name in answers.forms]
    return sum(parts) / len(parts)


def gap(record: Trained) -> float:
    """Accuracy on truths of seen compositions minus that on held-out ones: the primary endpoint."""
    return truths(record.numbers.tests["iid"]) - truths(record.numbers.tests["compositions"])


def accuracy(split: str) -> Value:
    """Accuracy on a split of the test."""
    return lambda record: record.numbers.tests[split].accuracy


def by_split(records: Sequence[Trained]) -> pd.DataFrame:
    """Accuracy, that on truths, consistency and validity of each run on each split of the test."""
    return pd.DataFrame(
        [
            (r.head, r.seed, split, a.accuracy, truths(a), a.consistency, a.validity)
            for r in records
            for split, a in r.numbers.tests.items()
        ],
        columns=["arm", "seed", "split", "accuracy", "truths", "consistency", "validity"],
    )


def gaps(records: Sequence[Trained], study: str) -> pd.DataFrame:
    """The gap of each arm in points, as a frame of effects (`moelib.report.effects`)."""
    rows = [{"head": r.head, "gap": gap(r)} for r in records]
    return effects.by_head({study: pd.DataFrame(rows)}, "gap", scale=100)


def by_arm(records: Sequence[Trained], value: Value) -> dict[str, dict[int, float]]:
    """arm -> seed -> value."""
    values: dict[str, dict[int, float]] = {}
    for record in records:
        values.setdefault(record.head, {})[record.seed] = value(record)
    return values


# -- hypotheses ------------------------------------------------------------------------------------

iid = accuracy("iid")
MAIN = (
    Comparison("H1", "learned slots, gap", "slots", "top-2", gap, WITHIN, POINT),
    Comparison("H2", "learned slots, gap", "slots", "slots-shuffled", gap, WITHIN, POINT),
    Comparison("H3", "soft guidance, gap", "guided", "top-2", gap, WITHIN, POINT),
    Comparison("H4", "hard split, accuracy on iid", "hard", "top-2", iid, BELOW, -POINT),
    Comparison("H5a", "top-2, accuracy on iid", "top-2", "dense", iid, ABOVE, 0.0),
    Comparison("H5b", "top-2, accuracy on iid", "top-2", "dense-total", iid, BELOW, POINT),
)
SPARSITY = (
    Comparison("S1a", "k = 16, accuracy on iid", "total-1-1", "total-1-16", iid, ABOVE, 0.0),
    Comparison("S1b", "k = 16, accuracy on iid", "total-1-1", "total-1-4", iid, BELOW, POINT),
    Comparison("S2", "E = 32, accuracy on iid", "active-1-16", "active-1-1", iid, ABOVE, POINT),
    Comparison("S3a", "k = 16, gap", "total-1-1", "total-1-16", gap, WITHIN, POINT),
    Comparison("S3b", "E = 32, gap", "active-1-16", "active-1-1", gap, WITHIN, POINT),
)


def judged(records: Sequence[Trained], family: Sequence[Comparison]) -> list[Verdict]:
    """The comparisons of a family, those of which both arms share a seed at least.

    Each is a paired t test for what was expected and for its opposite, called at 5 % after Holm's
    correction for the whole family, whether or not all of it could be tested. Nothing is called of
    fewer than `FEWEST` seeds.
    """
    by_seed = []
    for comparison in family:
        values = by_arm(records, comparison.value)
        arm, zero = values.get(comparison.arm, {}), values.get(comparison.baseline, {})
        by_seed.append(tuple(arm[seed] - zero[seed] for seed in arm if seed in zero))
    tested = [
        over_seeds(comparison.name, differences, comparison.kind, comparison.threshold)
        for comparison, differences in zip(family, by_seed, strict=True)
    ]
    decided = decisions([(part.p_for, part.p_against) for part in tested])
    return [
        Verdict(
            comparison,
            differences,
            *(part.estimate, part.low, part.high, decision.adjusted),
            decision.verdict if len(differences) >= FEWEST else INCONCLUSIVE,
        )
        for comparison, differences, part, decision in zip(
            family, by_seed, tested, decided, strict=True
        )
        if differences
    ]


def pairs(
    records: Sequence[Trained], family: Iterable[Comparison]
) -> list[tuple[Trained, Trained]]:
    """The runs of one seed of the two arms of each comparison, where both are there."""
    runs = {(record.head, record.seed): record for record in records}
    return [
        (run, runs[comparison.baseline, seed])
        for comparison in family
        for (arm, seed), run in runs.items()
        if arm == comparison.arm and (comparison.baseline, seed) in runs
    ]


# -- experts ---------------------------------------------------------------------------------------


def experts_by_type(records: Sequence[Record[ModalityUtilizationNumbers]]) -> pd.DataFrame:
    """Real experts per token of each type, mean over layers and seeds, an arm a row."""
    rows = [
        {"arm": r.head, **{t: np.mean([x.real[t] for x in r.numbers.layers]) for t in _types(r)}}
        for r in records
    ]
    table = pd.DataFrame(rows)
    return table.groupby("arm", sort=False).mean().reset_index() if rows else table


def routing_summary(records: Sequence[Record[ModalityUtilizationNumbers]]) -> pd.DataFrame:
    """Specialisation, information and dead experts by arm, mean over layers and seeds."""
    rows = [
        (
            r.head,
            r.seed,
            np.mean([x.specialisation for x in r.numbers.layers]),
            np.mean([x.information for x in r.numbers.layers]),
            np.mean([len(x.dead) for x in r.numbers.layers]),
        )
        for r in records
    ]
    names = ["arm", "seed", "specialisation", "information", "dead"]
    table = pd.DataFrame(rows, columns=names)
    return table.groupby("arm", sort=False).mean().reset_index().drop(columns="seed")


def curvature(records: Sequence[Record[ModalitySharpnessNumbers]]) -> pd.DataFrame:
    """Largest eigenvalue and trace of each run and split."""
    return pd.DataFrame(
        [
            (r.head, r.seed, split, c.loss, c.eigenvalues[0], c.trace, c.trace_error)
            for r in records
            for split, c in r.numbers.splits.items()
        ],
        columns=["arm", "seed", "split", "loss", "largest", "trace", "trace_error"],
    )


def _types(record: Record[ModalityUtilizationNumbers]) -> list[str]:
    return list(record.numbers.layers[0].real)
