"""Records of the modality studies with numbers that are made up, for what reads records."""

from collections.abc import Sequence

from small import small_run

from moelib.modalities.utilization import TOKENS
from moelib.records.modalities import (
    Answers,
    Layer,
    ModalityCurvature,
    ModalityEpoch,
    ModalitySharpnessNumbers,
    ModalityTrainNumbers,
    ModalityUtilizationNumbers,
    NlvrNumbers,
)
from moelib.records.provenance import observe
from moelib.records.record import Record, write_record
from moelib.study.modalities import Dense, ModalityRun, load_modality_study

SPLITS = ("iid", "pairs", "compositions", "depth", "objects")


def answers(accuracy: float) -> Answers:
    forms = dict.fromkeys(("statement", "connected"), accuracy)
    return Answers(
        items=8, loss=0.5, accuracy=accuracy, consistency=accuracy**2, validity=1.0, forms=forms,
        correct="ff",
    )  # fmt: skip


def trained(run: ModalityRun, iid: float, compositions: float) -> Record:
    tests = {name: answers(iid) for name in SPLITS} | {"compositions": answers(compositions)}
    epoch = ModalityEpoch(
        epoch=1, learning_rate=0.1, loss=0.5, accuracy=0.7, losses={}, real=2.0,
        validation_loss=0.5, validation_accuracy=0.7,
    )  # fmt: skip
    numbers = ModalityTrainNumbers(
        study=run.study, total_parameters=1000, active_parameters=500, epochs=(epoch,),
        validation=answers(iid), tests=tests, entailed=None, weights="",
    )  # fmt: skip
    return _record(run, numbers)


def records(arm: str, gaps: Sequence[float], accuracy: float = 0.9) -> list[Record]:
    """One run of a small study for each gap between splits."""
    return [
        trained(small_run(arm, seed), accuracy, accuracy - value) for seed, value in enumerate(gaps)
    ]


def utilized(run: ModalityRun) -> Record:
    real = dict.fromkeys(TOKENS, 2.0)
    layer = Layer(
        load=((0.5, 0.5), (1.0, 0.0)), real=real, entropy=real, specialisation=0.5,
        information=0.1, dead=(1,),
    )  # fmt: skip
    tokens = dict.fromkeys(TOKENS, 10)
    return _record(
        run, ModalityUtilizationNumbers(study=run.study, items=8, tokens=tokens, layers=(layer,))
    )


def sharp(run: ModalityRun) -> Record:
    curvature = ModalityCurvature(
        items=8, loss=0.5, accuracy=0.7, eigenvalues=(3.0,), residuals=(0.1,), converged=True,
        trace=30.0, trace_error=1.0,
    )  # fmt: skip
    splits = dict.fromkeys(("train", "iid", "compositions"), curvature)
    return _record(run, ModalitySharpnessNumbers(study=run.study, parameters=1000, splits=splits))


def human(run: ModalityRun) -> Record:
    numbers = NlvrNumbers(
        study=run.study, split="dev", sentences=2, pictures=12, accuracy=0.5, consistency=0.0,
        said_true=0.9, majority=0.55, unknown_words=0.3,
    )  # fmt: skip
    return _record(run, numbers)


def write_study(name: str, seeds: tuple[int, ...] = (0, 1, 2, 3, 4), every: bool = True) -> None:
    """Records of a study: arms differ by their rank, seeds by a little."""
    study = load_modality_study(name)
    for rank, arm in enumerate(study.arms):
        for seed in seeds:
            run = ModalityRun(study, arm, seed)
            iid = 0.8 + 0.001 * seed + 0.01 * (arm == "dense") - 0.03 * (arm == "hard")
            record = trained(run, iid, iid - 0.05 - 0.0005 * (seed * rank % 3))
            write_record(run.record_path("vlm-train"), record)
            if every and not isinstance(run.arm, Dense):
                write_record(run.record_path("vlm-utilization"), utilized(run))
            if every:
                write_record(run.record_path("vlm-nlvr-dev"), human(run))
                write_record(run.record_path("vlm-sharpness"), sharp(run))


def _record(run: ModalityRun, numbers) -> Record:
    return Record(
        kind=numbers.kind, head=run.head, seed=run.seed, numbers=numbers, provenance=observe(),
        inputs={"config": run.head, "code": "one"},
    )  # fmt: skip
