"""One analysis of a trained run: shown if it is up to date, or measured and written."""

import json
import time
from collections.abc import Callable

import torch

from moelib.modalities.model import VisionLanguage
from moelib.modalities.train import load_model, train
from moelib.records.code import code_digest
from moelib.records.freshness import up_to_date
from moelib.records.provenance import digest, observe
from moelib.records.record import N, Record, write_record
from moelib.study.modalities import ModalityRun
from moelib.training import device


def analyse(
    run: ModalityRun,
    numbers: type[N],
    measure: Callable[[ModalityRun, VisionLanguage], N],
    *,
    items: int | None = None,
    again: bool = False,
) -> Record[N]:
    """The record of an analysis: as it stands if it is up to date, else measured now.

    A run that is not trained yet, or whose weights are gone, is trained first.

    Args:
        run: whose weights are analysed.
        numbers: what is measured.
        measure: (run as it was trained, model) -> numbers.
        items: how many of each split are looked at; null: all.
        again: measure even if the record is up to date.

    Raises:
        ConfigError: the device is not there, or another process is at work on it.
        CheckpointError: the run's files are damaged.
    """
    trained = train(run)
    inputs = {
        "code": code_digest(
            f"{measure.__module__}.{measure.__name__}",
            "moelib.modalities.model.build",
            kinds=[type(run.arm).__name__],
        ),
        "items": str(items),
        "train": digest([json.dumps(trained.numbers.model_dump(mode="json")).encode()]),
        "torch": torch.__version__,
    }
    path = run.record_path(numbers.kind)
    record = None if again else up_to_date(path, numbers, inputs)
    if record is not None:
        print(f"The record {path.name} is up to date: not measured again.")
        return record
    trained = train(run, weights=True)
    asked = {"curvature_items": run.study.curvature_items}
    run = ModalityRun(trained.numbers.study.model_copy(update=asked), run.head, run.seed)
    start = time.perf_counter()
    with run.locked(numbers.kind), device.numerics(run.study.training) as on:
        measured = measure(run, load_model(run, trained).to(on))
        record = Record[numbers](
            kind=numbers.kind,
            head=run.head,
            seed=run.seed,
            inputs=inputs,
            numbers=measured,
            provenance=observe(run.study.training.device, time.perf_counter() - start),
        )
        return write_record(path, record)
