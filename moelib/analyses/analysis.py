"""One analysis of a trained run: refused, shown if it is up to date, or measured and written."""

import time
from collections.abc import Callable
from functools import partial

from moelib.analyses.trained import Trained, opened
from moelib.records.freshness import analysis_inputs, up_to_date
from moelib.records.provenance import observe
from moelib.records.record import N, Record, write_record
from moelib.study.base import ConfigError, Frozen
from moelib.study.run import Run
from moelib.training.data import Dataset, load_data
from moelib.training.train import ensure_trained


def analyse(
    run: Run,
    numbers: type[N],
    measure: Callable[[Trained, Frozen], N],
    *,
    exact: bool = False,
    dataset: Dataset | None = None,
    again: bool = False,
) -> Record[N]:
    """The record of an analysis: as it stands if it is up to date, else measured now.

    A run that is not trained yet, or whose weights are needed and gone, is trained first; but none
    that another machine trained, whose record would be lost.

    Args:
        run: whose weights are analysed; the sizes are those of its study.
        numbers: what is measured; its kind is the name of the analysis.
        measure: (trained run, sizes) -> numbers, in the module of the name of the analysis.
        exact: as of `opened`.
        dataset: the study's images, if they are at hand.
        again: measure even if the record is up to date.

    Raises:
        ConfigError: the study leaves this analysis out, the device or data of the training are not
            there, another process is at work on it, or it needs weights of another machine.
        CheckpointError: the run's files are damaged.
    """
    kind = numbers.kind
    sizes = getattr(run.study.analyses, kind)
    if sizes is None:
        raise ConfigError(f"analyses.{kind} is null: '{run.study.name}' leaves this analysis out.")
    dataset = dataset or load_data(run.study.data)
    trained = ensure_trained(run, dataset)
    asked = partial(analysis_inputs, analysis=kind, sizes=sizes, data=dataset.digest, exact=exact)
    if not again:
        record = up_to_date(run.record_path(kind), numbers, asked(trained))
        if record is not None:
            print(f"The record of {kind} is up to date: not measured again.")
            return record
    ensure_trained(run, dataset, weights=True)
    start = time.perf_counter()
    with opened(run, kind, dataset, exact=exact) as trained:
        measured = measure(trained, sizes)
        record = Record[numbers](
            kind=kind,
            study=trained.run.study,
            head=run.head,
            seed=run.seed,
            inputs=asked(trained.record),
            numbers=measured,
            provenance=observe(trained.training.device, time.perf_counter() - start),
        )
        return write_record(run.record_path(kind), record)
