"""What records of a study of modalities say of its arms: values, paired differences, verdicts."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

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
from moelib.study.modalities import FOLDER, ModalityRun, load_modality_study

N = TypeVar("N", bound=Numbers)
Trained = Record[ModalityTrainNumbers]
Utilized = Record[ModalityUtilizationNumbers]
Value = Callable[[Trained], float]

# What all runs of a study share.
SHARED = ("data_seed", "scenes", "held_out", "questions", "sizes", "transformer", "training")
FAMILIES = {"total": "equal total parameters", "active": "equal active parameters"}  # of sparsity
POINT = 0.01  # the smallest difference of a share that matters, fixed in the studies beforehand
FEWEST = 4  # seeds, below which nothing is called
TRUTHS = ("statement", "connected")  # forms of questions, of one predicate and of more
CHANCE = 0.5  # of a truth: of each sentence's four scenes as many make it true as false


class Comparison(NamedTuple):
    """A hypothesis about two arms of a study, as its file states it."""

    name: str
    subject: str  # what the arm is, in words
    against: str  # and the baseline
    arm: str
    baseline: str
    value: Value
    kind: str  # above, below or within
    threshold: float  # of a share


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
    listed = load_modality_study(study)
    runs = [ModalityRun(listed, arm, seed) for arm in listed.arms for seed in sorted(listed.seeds)]
    paths = [run.record_path(file or numbers.kind) for run in runs]
    records = [read_record(path, numbers) for path in paths if path.is_file()]
    for record in records:
        ours, first = record.numbers.study, records[0].numbers.study
        different = [name for name in SHARED if getattr(ours, name) != getattr(first, name)]
        if different:
            raise RecordError(
                f"The {numbers.kind} records of the study '{study}' are of different settings: "
                f"{record.head}, seed {record.seed} differs in {', '.join(different)}."
            )
    return records


# -- values ----------------------------------------------------------------------------------------


def truths(answers: Answers) -> float:
    """Accuracy on truths, those of one predicate and of two weighed alike where there are both."""
    parts = [answers.forms[name] for name in TRUTHS if name in answers.forms]
    return sum(parts) / len(parts)


def gap(record: Trained) -> float:
    """Accuracy on truths of seen compositions minus that on held-out ones: the primary endpoint."""
    return truths(record.numbers.tests["iid"]) - truths(record.numbers.tests["compositions"])


def iid(record: Trained) -> float:
    """Accuracy on the split that holds out nothing."""
    return record.numbers.tests["iid"].accuracy


def by_split(records: Iterable[Trained]) -> pd.DataFrame:
    """Accuracy, that on truths, consistency and validity of each run on each split of the test."""
    return pd.DataFrame(
        [
            (r.head, r.seed, split, a.accuracy, truths(a), a.consistency, a.validity)
            for r in records
            for split, a in r.numbers.tests.items()
        ],
        columns=["arm", "seed", "split", "accuracy", "truths", "consistency", "validity"],
    )


def composing(records: Sequence[Trained]) -> pd.DataFrame:
    """Accuracy on truths of iid and of compositions by arm, mean over seeds, and how many seeds."""
    runs = by_split(records)
    means = runs.pivot_table("truths", "arm", "split", sort=False)[["iid", "compositions"]]
    seeds = runs.groupby("arm", sort=False)["seed"].nunique()
    return means.assign(seeds=seeds).reset_index()


def gaps(records: Sequence[Trained]) -> pd.DataFrame:
    """The gap of each arm in points, as a frame of effects (`moelib.report.effects`)."""
    study = f"modalities, {records[0].numbers.study.name}"
    rows = [{"study": study, "head": r.head, "gap": gap(r)} for r in records]
    return effects.by_head(pd.DataFrame(rows), "gap", scale=100)


def sparsity(records: Iterable[Trained]) -> pd.DataFrame:
    """Accuracy and gap by the share k/E, for both families of the study of sparsity."""
    rows = []
    for record in records:
        family = FAMILIES.get(record.head.split("-")[0])
        if family:
            arm = record.numbers.study.arms[record.head]
            run = (family, record.head, record.seed, arm.k / arm.experts)
            rows.append((*run, iid(record), gap(record)))
    return pd.DataFrame(rows, columns=["family", "arm", "seed", "share", "accuracy", "gap"])


def epochs(records: Iterable[Trained]) -> pd.DataFrame:
    """Learning curves of runs."""
    return pd.DataFrame(
        [{"arm": r.head, **epoch.model_dump()} for r in records for epoch in r.numbers.epochs]
    )


# -- hypotheses ------------------------------------------------------------------------------------

MEASURES = {gap: "gap", iid: "accuracy on iid (all forms)"}
MAIN = (
    Comparison("H1", "learned slots", "top-2", "slots", "top-2", gap, WITHIN, POINT),
    Comparison(
        *("H2", "learned slots", "the same importance shuffled over tokens"),
        *("slots", "slots-shuffled", gap, WITHIN, POINT),
    ),
    Comparison("H3", "soft guidance", "top-2", "guided", "top-2", gap, WITHIN, POINT),
    Comparison("H4", "a hard split", "top-2", "hard", "top-2", iid, BELOW, -POINT),
    Comparison("H5a", "top-2", "a dense perceptron", "top-2", "dense", iid, ABOVE, 0.0),
    Comparison(
        *("H5b", "top-2", "a dense perceptron of all parameters"),
        *("top-2", "dense-total", iid, BELOW, POINT),
    ),
)
SPARSITY = (
    Comparison("S1a", "16 of 16 experts", "1 of 16", "total-1-1", "total-1-16", iid, ABOVE, 0.0),
    Comparison("S1b", "16 of 16 experts", "4 of 16", "total-1-1", "total-1-4", iid, BELOW, POINT),
    Comparison(
        "S2",
        "2 of 32 experts",
        "2 of 2 of the same size",
        "active-1-16",
        "active-1-1",
        iid,
        ABOVE,
        POINT,
    ),
    Comparison("S3a", "16 of 16 experts", "1 of 16", "total-1-1", "total-1-16", gap, WITHIN, POINT),
    Comparison(
        "S3b",
        "2 of 32 experts",
        "2 of 2 of the same size",
        "active-1-16",
        "active-1-1",
        gap,
        WITHIN,
        POINT,
    ),
)


def judged(records: Sequence[Trained], family: Sequence[Comparison]) -> pd.DataFrame:
    """One row per comparison of which both arms share a seed at least, and what it came to.

    Each is a paired t test for what was expected and for its opposite, called at 5 % after Holm's
    correction for the whole family, whether or not all of it could be tested. Nothing is called of
    fewer than `FEWEST` seeds. Columns are those of a comparison, of `Evidence` and of a `Decision`,
    in shares and not in points, and what was `expected` in words.
    """
    by_seed = [
        [one.value(arm) - one.value(zero) for arm, zero in pairs(records, [one])] for one in family
    ]
    tested = [
        over_seeds(one.name, differences, one.kind, one.threshold)
        for one, differences in zip(family, by_seed, strict=True)
    ]
    decided = decisions([(part.p_for, part.p_against) for part in tested])
    rows = [
        {**one._asdict(), **part._asdict(), **decision._asdict()}
        for one, part, decision in zip(family, tested, decided, strict=True)
    ]
    table = pd.DataFrame(rows).assign(expected=[bound(one.kind, one.threshold) for one in family])
    table["verdict"] = table["verdict"].where(table["seeds"] >= FEWEST, INCONCLUSIVE)
    return table[table["seeds"] > 0]


def pairs(
    records: Iterable[Trained], family: Iterable[Comparison]
) -> list[tuple[Trained, Trained]]:
    """The runs of one seed of the two arms of each comparison, where both are there."""
    records = [*records]
    return [pair for one in family for pair in _paired(records, one.arm, one.baseline)]


def _paired(records: Iterable[Trained], arm: str, baseline: str) -> list[tuple[Trained, Trained]]:
    bases = {record.seed: record for record in records if record.head == baseline}
    return [(run, bases[run.seed]) for run in records if run.head == arm and run.seed in bases]


def beside(records: Sequence[Trained], baseline: str) -> pd.DataFrame:
    """One row per arm that shares a seed with a baseline: what it differs by, without a verdict.

    `seeds` are those that are paired; `iid` and `gap` are the `Evidence` of a mean difference.
    """
    rows = []
    for arm in dict.fromkeys(record.head for record in records if record.head != baseline):
        if couples := _paired(records, arm, baseline):
            differences = {
                name: over_seeds(
                    name, [value(run) - value(base) for run, base in couples], ABOVE, 0.0
                )
                for name, value in (("iid", iid), ("gap", gap))
            }
            rows.append({"arm": arm, "seeds": len(couples), **differences})
    return pd.DataFrame(rows, columns=["arm", "seeds", "iid", "gap"])


# -- experts ---------------------------------------------------------------------------------------


def experts_by_type(records: Iterable[Utilized]) -> pd.DataFrame:
    """Real experts per token of each type, mean over layers and seeds, an arm a row."""
    return experts_by_run(records).groupby("arm", sort=False).mean().reset_index()


def experts_by_run(records: Iterable[Utilized]) -> pd.DataFrame:
    """Real experts per token of each type, mean over layers, a run a row."""
    rows = [
        {"arm": r.head, **pd.DataFrame([layer.real for layer in r.numbers.layers]).mean()}
        for r in records
    ]
    return pd.DataFrame(rows)


def routing_summary(records: Iterable[Utilized]) -> pd.DataFrame:
    """Specialisation, information and dead experts by arm, mean over layers and seeds."""
    rows = [
        (record.head, layer.specialisation, layer.information, len(layer.dead))
        for record in records
        for layer in record.numbers.layers
    ]
    table = pd.DataFrame(rows, columns=["arm", "specialisation", "information", "dead"])
    return table.groupby("arm", sort=False).mean().reset_index()


def loads(record: Utilized) -> pd.DataFrame:
    """Share of a modality's choices that fall on each expert of each layer of a run."""
    return pd.DataFrame(
        [
            (number, modality, expert, load)
            for number, layer in enumerate(record.numbers.layers, start=1)
            for modality, row in zip(("text", "vision"), layer.load, strict=True)
            for expert, load in enumerate(row)
        ],
        columns=["layer", "modality", "expert", "load"],
    )


def curvature(records: Iterable[Record[ModalitySharpnessNumbers]]) -> pd.DataFrame:
    """Largest eigenvalue and trace of each run and split."""
    return pd.DataFrame(
        [
            (r.head, r.seed, split, c.loss, c.eigenvalues[0], c.trace, c.trace_error)
            for r in records
            for split, c in r.numbers.splits.items()
        ],
        columns=["arm", "seed", "split", "loss", "largest", "trace", "trace_error"],
    )
