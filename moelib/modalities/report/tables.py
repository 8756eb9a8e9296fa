"""What records of a study of modalities say of its arms: values, paired differences, verdicts."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import pandas as pd

from moelib.records.modalities import (
    Answers,
    ModalitySharpnessNumbers,
    ModalityTrainNumbers,
    ModalityUtilizationNumbers,
)
from moelib.records.record import Numbers, Record, RecordError, read_record
from moelib.report import comparisons, effects
from moelib.report.statistics.hypotheses import (
    ABOVE,
    BELOW,
    INCONCLUSIVE,
    WITHIN,
    decisions,
    over_seeds,
)
from moelib.report.wording import bound
from moelib.study.modalities import ModalityRun, load_modality_study

N = TypeVar("N", bound=Numbers)
Trained = Record[ModalityTrainNumbers]
Utilized = Record[ModalityUtilizationNumbers]

# What all runs of a study share.
SHARED = ("data_seed", "scenes", "held_out", "questions", "sizes", "transformer", "training")
FAMILIES = {"total": "equal total parameters", "active": "equal active parameters"}  # of sparsity
POINT = 0.01  # the smallest difference of a share that matters, fixed in the studies beforehand
FEWEST = 4  # seeds, below which nothing is called
TRUTHS = ("statement", "connected")  # forms of questions, of one predicate and of more
CHANCE = 0.5  # of a truth: of each sentence's four scenes as many make it true as false


def load(
    study: str, numbers: type[N] = ModalityTrainNumbers, file: str | None = None
) -> list[Record[N]]:
    """All records of one kind of a study, in the order of its arms, then by seed.

    `file` is their name without suffix, where it is not the kind's.

    Raises:
        RecordError: a record is damaged, or two of them differ in more than arm and seed.
    """
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


def sighted(records: Iterable[Trained]) -> list[Trained]:
    """Those of arms that see words and pictures."""
    return [r for r in records if getattr(r.numbers.study.arms[r.head], "sees", "both") == "both"]


# -- values ----------------------------------------------------------------------------------------


def truths(answers: Answers) -> float:
    """Accuracy on truths, those of one predicate and of two weighed alike where there are both."""
    parts = [answers.forms[name] for name in TRUTHS if name in answers.forms]
    return sum(parts) / len(parts)


def gap(record: Trained) -> float:
    """Accuracy on truths of seen compositions minus that on held-out ones: the primary endpoint."""
    return truths(record.numbers.tests["iid"]) - truths(record.numbers.tests["compositions"])


def by_run(records: Iterable[Trained]) -> pd.DataFrame:
    """Accuracy on iid (all forms) and gap of each run, and the machine that trained it."""
    rows = []
    for r in records:
        study, accuracy = f"modalities, {r.numbers.study.name}", r.numbers.tests["iid"].accuracy
        rows.append((study, r.head, r.seed, machine(r), accuracy, gap(r)))
    return pd.DataFrame(rows, columns=["study", "head", "seed", "machine", "iid", "gap"])


def machine(record: Record) -> str:
    """What rounds: the device and the version of torch."""
    return f"{record.provenance.device}, torch {record.provenance.packages.get('torch')}"


def twins(records: Iterable[Trained], others: Iterable[Trained]) -> pd.DataFrame:
    """Runs of two studies with equal settings, code and seed that unlike machines trained.

    Columns are the study and arm of `one` and of `two`, the seed, and the differences of the
    `MEASURES`.
    """
    same = {(r.inputs["config"], r.inputs["code"], r.seed): r for r in others}
    rows = []
    for r in records:
        other = same.get((r.inputs["config"], r.inputs["code"], r.seed))
        if other and machine(other) != machine(r):
            names = [(run.numbers.study.name, run.head) for run in (r, other)]
            accuracies = [run.numbers.tests["iid"].accuracy for run in (r, other)]
            rows.append((*names, r.seed, accuracies[0] - accuracies[1], gap(r) - gap(other)))
    return pd.DataFrame(rows, columns=["one", "two", "seed", *MEASURES])


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


def gaps(records: Iterable[Trained]) -> pd.DataFrame:
    """The gap of each arm in points, as a frame of effects (`moelib.report.effects`)."""
    return effects.by_head(by_run(records), "gap", scale=100)


def sparsity(records: Sequence[Trained]) -> pd.DataFrame:
    """`by_run` of the study of sparsity, with the share k/E and the family of each arm."""
    arms = [record.numbers.study.arms[record.head] for record in records]
    return by_run(records).assign(
        share=[arm.k / arm.experts for arm in arms],
        family=[FAMILIES[record.head.partition("-")[0]] for record in records],
    )


def epochs(records: Iterable[Trained]) -> pd.DataFrame:
    """Learning curves of runs."""
    return pd.DataFrame(
        [{"arm": r.head, **epoch.model_dump()} for r in records for epoch in r.numbers.epochs]
    )


# -- hypotheses ------------------------------------------------------------------------------------

MEASURES = {"iid": "accuracy on iid (all forms)", "gap": "gap"}  # columns of `by_run`


class Comparison(NamedTuple):
    """A hypothesis about two arms of a study, as its file states it."""

    name: str
    subject: str  # what the arm is, in words
    against: str  # and the baseline
    arm: str
    baseline: str
    measure: str
    kind: str  # above, below or within
    threshold: float  # of a share


MAIN = (
    Comparison("H1", "learned slots", "top-2", "slots", "top-2", "gap", WITHIN, POINT),
    Comparison(
        "H2", "learned slots", "shuffled ones", "slots", "slots-shuffled", "gap", WITHIN, POINT
    ),
    Comparison("H3", "soft guidance", "top-2", "guided", "top-2", "gap", WITHIN, POINT),
    Comparison("H4", "a hard split", "top-2", "hard", "top-2", "iid", BELOW, -POINT),
    Comparison("H5a", "top-2", "a dense net", "top-2", "dense", "iid", ABOVE, 0.0),
    Comparison("H5b", "top-2", "a dense net as large", "top-2", "dense-total", "iid", BELOW, POINT),
)
SPARSITY = (
    Comparison("S1a", "all 16 experts", "1 of 16", "total-1-1", "total-1-16", "iid", ABOVE, 0.0),
    Comparison("S1b", "all 16 experts", "4 of 16", "total-1-1", "total-1-4", "iid", BELOW, POINT),
    Comparison("S2", "2 of 32 experts", "2 of 2", "active-1-16", "active-1-1", "iid", ABOVE, POINT),
    Comparison("S3a", "all 16 experts", "1 of 16", "total-1-1", "total-1-16", "gap", WITHIN, POINT),
    Comparison(
        "S3b", "2 of 32 experts", "2 of 2", "active-1-16", "active-1-1", "gap", WITHIN, POINT
    ),
)


def judged(records: Iterable[Trained], family: Sequence[Comparison]) -> pd.DataFrame:
    """One row per comparison of which both arms share a seed at least, and what it came to.

    Each is a paired t test for what was expected and for its opposite, called at 5 % after Holm's
    correction for the whole family, whether or not all of it could be tested. Nothing is called of
    fewer than `FEWEST` seeds. Columns are those of a comparison, of `Evidence` and of a `Decision`,
    in shares and not in points, what was `expected` in words, and of how many pairs the two runs
    were trained `apart`, on different kinds of processor or by different versions of torch.
    """
    runs = by_run(records)
    tested, apart = [], []
    for one in family:
        arm, baseline = (runs[runs["head"] == head] for head in (one.arm, one.baseline))
        pairs = arm.merge(baseline, on="seed", suffixes=("", "_baseline"))
        differences = pairs[one.measure] - pairs[f"{one.measure}_baseline"]
        tested.append(over_seeds(one.name, differences, one.kind, one.threshold))
        apart.append((pairs["machine"] != pairs["machine_baseline"]).sum())
    decided = decisions([(part.p_for, part.p_against) for part in tested])
    rows = [
        {**one._asdict(), **part._asdict(), **decision._asdict()}
        for one, part, decision in zip(family, tested, decided, strict=True)
    ]
    expected = [bound(one.kind, one.threshold) for one in family]
    table = pd.DataFrame(rows).assign(expected=expected, apart=apart)
    table["verdict"] = table["verdict"].where(table["seeds"] >= FEWEST, INCONCLUSIVE)
    return table[table["seeds"] > 0]


def beside(records: Iterable[Trained], baseline: str, measure: str) -> pd.DataFrame:
    """One row per arm: how many seeds it shares with a baseline, and its mean difference in them.

    With a t-interval and without a verdict.
    """
    differences = comparisons.beyond_reference(by_run(records), measure, baseline)
    return comparisons.mean_differences(differences, fewest=1)


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
