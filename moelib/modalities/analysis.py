"""One analysis of a trained run: shown if it is up to date, or measured and written."""

import time
from collections.abc import Callable

from moelib.modalities.model import VisionLanguage
from moelib.modalities.train import load_model, train
from moelib.records.freshness import modality_analysis_inputs, up_to_date
from moelib.records.provenance import observe
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

    A run that is not trained yet, or whose weights are gone, is trained first; but none that
    another machine trained, whose record would be lost.

    Args:
        run: whose weights are analysed.
        numbers: what is measured.
        measure: (run as it was trained, model) -> numbers, in the module of the analysis.
        items: how many of each split are looked at; null: all.
        again: measure even if the record is up to date.

    Raises:
        ConfigError: the device is not there, another process is at work on it, or it needs weights
            of another machine.
        CheckpointError: the run's files are damaged.
    """
    trained = train(run)
    what = (measure.__module__.rpartition(".")[2], items, trained.inputs["torch"])
    path = run.record_path(numbers.kind)
    if not again:
        record = up_to_date(path, numbers, modality_analysis_inputs(run, trained, *what))
        if record is not None:
            print(f"The record {path.name} is up to date: not measured again.")
            return record
    trained = train(run, weights=True)
    sizes = {"curvature_items": run.study.curvature_items}
    run = ModalityRun(trained.numbers.study.model_copy(update=sizes), run.head, run.seed)
    start = time.perf_counter()
    with run.locked(numbers.kind), device.numerics(run.study.training) as on:
        measured = measure(run, load_model(run, trained).to(on))
        record = Record[numbers](
            kind=numbers.kind,
            head=run.head,
            seed=run.seed,
            inputs=modality_analysis_inputs(run, trained, *what),
            numbers=measured,
            provenance=observe(run.study.training.device, time.perf_counter() - start),
        )
        return write_record(path, record)
