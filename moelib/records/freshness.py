"""Whether a record is up to date: by what was asked, what was read, and what code computes.

This is the one place that decides it, for training and for every analysis, of heads and of
modalities, from values alone: never from the time or the bytes of a file. It knows neither torch
nor weights, so that the graph of a study can ask it too.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from moelib.records.code import code_digest, script_digest
from moelib.records.kinds import TrainNumbers
from moelib.records.modalities import ModalityTrainNumbers
from moelib.records.provenance import digest
from moelib.records.record import N, Record, RecordError, read_record
from moelib.study.base import PROJECT, Frozen
from moelib.study.modalities import ModalityRun
from moelib.study.study import Study

MODEL = "moelib.training.model.build_model"
TRAINING = "moelib.training.loop.Loop"
NUMERICS = "moelib.training.device.numerics"
OPENED = "moelib.analyses.trained.opened"
REFERENCE = "Dense"  # the head that analyses may build beside the run's own
MODALITY_MODEL = "moelib.modalities.model.build"
MODALITY_TRAINING = "moelib.modalities.train.Loop"
# Where images are, whose pixels are digested, and how often the state is kept.
HOUSEKEEPING = {"data": {"root"}, "training": {"checkpoint_every"}}
# What of a study of modalities is no part of one training.
UNTRAINED = {"name", "description", "arms", "seeds", "curvature_items"}


def up_to_date(path: Path, numbers: type[N], inputs: dict[str, str]) -> Record[N] | None:
    """The record at `path`, if it is whole and was made from these inputs."""
    try:
        record = read_record(path, numbers)
    except RecordError:
        return None
    return record if record.inputs == inputs else None


def script_code(script: str) -> str:
    """Digest of the code that a script of benchmarks/ computes with, and of its own."""
    return script_digest(PROJECT / "benchmarks" / f"{script}.py")


def costs_code() -> str:
    """Digest of the code that times models at true shapes."""
    return code_digest("moelib.modalities.cost.measure.measure", kinds=["Shape"])


def training_values(study: Study, head: str, seed: int) -> dict:
    """The resolved part of a study that determines one training, as plain values."""
    parts = {"data", "backbone", "protocol", "training"}
    part = study.model_dump(mode="json", include=parts, exclude=HOUSEKEEPING)
    return {**part, "name": head, "head": study.heads[head].model_dump(mode="json"), "seed": seed}


def training_code(study: Study, head: str) -> str:
    """Digest of the code that trains this head."""
    return code_digest(TRAINING, MODEL, NUMERICS, kinds=_kinds(study, head))


def analysis_code(study: Study, head: str, analysis: str) -> str:
    """Digest of the code that makes one analysis of this head: the module's `measure`."""
    root = f"moelib.analyses.{analysis}.measure"
    return code_digest(root, OPENED, kinds=[*_kinds(study, head), REFERENCE])


def codes(records: Iterable[Record]) -> Iterator[str]:
    """Of each record of a study the digest of the code that would make it today."""
    known: dict[tuple[str, ...], str] = {}  # which heads and backbones there are is all that counts
    for record in records:
        key = (record.kind, *_kinds(record.study, record.head))
        if key not in known:
            trained = record.kind == TrainNumbers.kind
            known[key] = (
                training_code(record.study, record.head)
                if trained
                else analysis_code(record.study, record.head, record.kind)
            )
        yield known[key]


def training_inputs(study: Study, head: str, seed: int, data: str, torch: str) -> dict[str, str]:
    """Digests of all that determines a training on one machine.

    Args:
        study: with the training's device, precision and layout resolved for this machine.
        head: name of the run's head in the study.
        seed: of the run.
        data: digest of the images.
        torch: its version.
    """
    return {
        "config": _digest(training_values(study, head, seed)),
        "data": data,
        "code": training_code(study, head),
        "torch": torch,
    }


def analysis_inputs(
    trained: Record[TrainNumbers], analysis: str, sizes: Frozen, data: str, *, exact: bool
) -> dict[str, str]:
    """Digests of all that determines an analysis of a trained run: its weights are in `train`.

    `exact` is whether it is made in float32, whatever the training used.
    """
    study, head = trained.study, trained.head
    values = training_values(study, head, trained.seed)
    return {
        "config": _digest([values, sizes.model_dump(mode="json"), exact]),
        "data": data,
        "code": analysis_code(study, head, analysis),
        "train": training_digest(trained),
    }


def training_digest(trained: Record[TrainNumbers]) -> str:
    """Digest of what a training left behind, that of its weights among it."""
    return _digest(trained.numbers.model_dump(mode="json"))


def modality_training_code(run: ModalityRun) -> str:
    """Digest of the code that trains this arm."""
    return _modality_code(run, MODALITY_TRAINING)


def modality_analysis_code(run: ModalityRun, analysis: str) -> str:
    """Digest of the code that makes one analysis of this arm: the module's `measure`."""
    return _modality_code(run, f"moelib.modalities.{analysis}.measure")


def modality_training_inputs(run: ModalityRun, torch: str) -> dict[str, str]:
    """As `training_inputs`, of a run whose items are made from its study by its code."""
    values = run.study.model_dump(mode="json", exclude=UNTRAINED)
    part = [values, run.arm.model_dump(mode="json"), run.seed]
    return {
        "config": digest([json.dumps(part, sort_keys=True).encode()]),
        "code": modality_training_code(run),
        "torch": torch,
    }


def modality_analysis_inputs(
    run: ModalityRun,
    trained: Record[ModalityTrainNumbers],
    analysis: str,
    items: int | None,
    torch: str,
) -> dict[str, str]:
    """Digests of all that determines an analysis of a trained run; `items` of each split."""
    return {
        "code": modality_analysis_code(run, analysis),
        "items": str(items),
        "train": _modality_numbers(trained),
        "torch": torch,
    }


def nlvr_inputs(
    run: ModalityRun, trained: Record[ModalityTrainNumbers], data: str, torch: str
) -> dict[str, str]:
    """Digests of all that determines answers to NLVR; `data` is that of statements and pictures."""
    return {
        "code": _modality_code(
            run, "moelib.modalities.nlvr.read", "moelib.modalities.nlvr.measure"
        ),
        "data": data,
        "train": _modality_numbers(trained),
        "torch": torch,
    }


def _modality_code(run: ModalityRun, *roots: str) -> str:
    return code_digest(*roots, MODALITY_MODEL, NUMERICS, kinds=[type(run.arm).__name__])


def _modality_numbers(trained: Record[ModalityTrainNumbers]) -> str:
    return digest([json.dumps(trained.numbers.model_dump(mode="json")).encode()])


def _kinds(study: Study, head: str) -> list[str]:
    return [type(study.heads[head]).__name__, type(study.backbone).__name__]


def _digest(values: object) -> str:
    return digest([json.dumps(values, sort_keys=True, separators=(",", ":")).encode()])
