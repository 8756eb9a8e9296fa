"""What studies took, in hours of a device and in energy, and what other sizes would take."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from moelib.records.benchmarks import SessionNumbers
from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record, read_record
from moelib.report.loading import studies
from moelib.study.run import results_root

JOULES = 3.6e6  # in a kilowatt-hour
MACHINE = ["study", "device"]
HOURS = ["training", "analyses", "core_hours", "gpu_hours"]


def expenses(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study and device: hours of training and of analyses, and what they occupied.

    Hours are of the wall clock, over all resumed parts. `core_hours` are those times the threads
    of torch, `gpu_hours` the same hours where the device was a GPU. Where several runs shared a
    machine each took longer than alone, so that these are upper bounds of what is needed.
    """
    rows = []
    for record in records:
        machine, training = record.provenance, record.kind == TrainNumbers.kind
        hours, on_gpu = machine.wall_time_s / 3600, machine.device != machine.cpu
        rows.append(
            {
                "study": record.study.name,
                "device": machine.device,
                "run": (record.head, record.seed),
                "training": hours if training else 0.0,
                "analyses": 0.0 if training else hours,
                "core_hours": np.nan if on_gpu else hours * machine.threads,
                "gpu_hours": hours if on_gpu else np.nan,
            }
        )
    table = pd.DataFrame(rows, columns=[*MACHINE, "run", *HOURS]).groupby(MACHINE, sort=False)
    counts = table["run"].agg(runs="nunique", records="size")
    return counts.join(table[HOURS].sum(min_count=1)).reset_index()


def sessions() -> dict[str, list[Record[SessionNumbers]]]:
    """The records of sessions on a machine, by study."""
    loaded = {
        study: [
            read_record(path, SessionNumbers)
            for path in sorted((results_root() / study / "sessions").glob("*.json"))
        ]
        for study in studies()
    }
    return {study: records for study, records in loaded.items() if records}


def energy(sessions: Mapping[str, Iterable[Record[SessionNumbers]]]) -> pd.DataFrame:
    """One row per study: hours of its sessions and energy in kWh, NaN where none could be read.

    The energy is the GPU's own count, of everything on it; that of the processor and the rest of
    the machine is not in it.
    """
    table = pd.DataFrame(
        {
            "study": study,
            "sessions": 1,
            "hours": record.numbers.seconds / 3600,
            "tasks": len(record.numbers.tasks),
            "kilowatt_hours": record.numbers.energy_joules,
        }
        for study, records in sessions.items()
        for record in records
    )
    if table.empty:
        return table
    table["kilowatt_hours"] = table["kilowatt_hours"].astype(float) / JOULES
    return table.groupby("study", sort=False).sum(min_count=1).reset_index()


def projections(records: Iterable[Record], seeds: int, epochs: int) -> pd.DataFrame:
    """One row per study and device: what one seed takes, and more seeds or epochs would.

    One seed is one run of every head that has one: the sum over heads of their median time.
    Training grows with the epochs; analyses do not. All hours are of one device, one run
    after the other, as in the records: n devices, or n free cores of a CPU, divide them.

    Args:
        records: of training and of analyses.
        seeds: for `seeds_hours`, at the epochs of the study, with its analyses.
        epochs: for `epochs_hours`, of one seed, with its analyses.
    """
    table = pd.DataFrame(
        {
            "study": record.study.name,
            "device": record.provenance.device,
            "kind": record.kind,
            "head": record.head,
            "hours": _hours(record),
            "epoch_seconds": _epoch(record) if record.kind == TrainNumbers.kind else np.nan,
            "epochs": record.study.training.epochs,
        }
        for record in records
    )
    if table.empty:
        return table
    is_training = table["kind"] == TrainNumbers.kind
    trained = table[is_training].groupby(MACHINE, sort=False)
    rows = trained.agg(
        heads=("head", "nunique"),
        seconds_per_epoch=("epoch_seconds", "median"),
        epochs=("epochs", "first"),
    )
    rows["seed_hours"] = _one_seed(table[is_training])
    analysed = _one_seed(table[~is_training]).reindex(rows.index, fill_value=0)
    rows["analysed_seed_hours"] = rows["seed_hours"] + analysed
    rows["seeds_hours"] = seeds * rows["analysed_seed_hours"]
    rows["epochs_hours"] = rows["seed_hours"] * epochs / rows["epochs"] + analysed
    return rows.reset_index()


def _one_seed(table: pd.DataFrame) -> pd.Series:
    """Hours of one run of each kind and head, the median one, in sum."""
    runs = table.groupby([*MACHINE, "kind", "head"])["hours"].median()
    return runs.groupby(MACHINE).sum()


def _hours(record: Record) -> float:
    """Of a training the epochs alone, each as long as the median one."""
    if record.kind == TrainNumbers.kind:
        return _epoch(record) * len(record.numbers.epochs) / 3600
    return record.provenance.wall_time_s / 3600


def _epoch(record: Record[TrainNumbers]) -> float:
    """Seconds of one epoch, the median: an epoch beside other work does not count for more."""
    return float(np.median(record.provenance.epoch_seconds))
