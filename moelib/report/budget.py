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
EXPENSES = ["study", "device", "runs", "records", "training", "analyses", "core_hours", "gpu_hours"]
PROJECTIONS = [
    *("study", "device", "heads", "seconds_per_epoch", "epochs", "seed_hours"),
    *("analysed_seed_hours", "seeds_hours", "epochs_hours"),
]


def expenses(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study and device: hours of training and of analyses, and what they occupied.

    Hours are of the wall clock, over all resumed parts. `core_hours` are those times the threads
    of torch, `gpu_hours` the same hours where the device was a GPU. Where several runs shared a
    machine each took longer than alone, so that these are upper bounds of what is needed.
    """
    table = pd.DataFrame(
        {
            "study": record.study.name,
            "device": record.provenance.device,
            "run": (record.head, record.seed),
            "training": record.kind == TrainNumbers.kind,
            "hours": record.provenance.wall_time_s / 3600,
            "threads": record.provenance.threads,
            "gpu": record.provenance.device != record.provenance.cpu,
        }
        for record in records
    )
    rows = []
    groups = table.groupby(["study", "device"], sort=False) if len(table) else ()
    for (study, device), part in groups:
        hours, gpu = part["hours"], part["gpu"].iloc[0]
        rows.append(
            {
                "study": study,
                "device": device,
                "runs": part["run"].nunique(),
                "records": len(part),
                "training": hours[part["training"]].sum(),
                "analyses": hours[~part["training"]].sum(),
                "core_hours": np.nan if gpu else (hours * part["threads"]).sum(),
                "gpu_hours": hours.sum() if gpu else np.nan,
            }
        )
    return pd.DataFrame(rows, columns=EXPENSES)


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
    rows = []
    for study, records in sessions.items():
        numbers = [record.numbers for record in records]
        joules = [n.energy_joules for n in numbers if n.energy_joules is not None]
        rows.append(
            {
                "study": study,
                "sessions": len(numbers),
                "hours": sum(n.seconds for n in numbers) / 3600,
                "tasks": sum(len(n.tasks) for n in numbers),
                "kilowatt_hours": sum(joules) / JOULES if joules else np.nan,
            }
        )
    return pd.DataFrame(rows, columns=["study", "sessions", "hours", "tasks", "kilowatt_hours"])


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
    records = list(records)
    rows = []
    for study, device in dict.fromkeys((r.study.name, r.provenance.device) for r in records):
        part = [r for r in records if (r.study.name, r.provenance.device) == (study, device)]
        trained = [record for record in part if record.kind == TrainNumbers.kind]
        if not trained:
            continue
        heads = len({record.head for record in trained})
        done = trained[0].study.training.epochs
        per_epoch = float(np.median([_epoch(record) for record in trained]))
        seed = _of_one_seed(trained)
        kinds = dict.fromkeys(record.kind for record in part if record.kind != TrainNumbers.kind)
        analysed = sum(_analysed(part, kind) for kind in kinds)
        rows.append(
            {
                "study": study,
                "device": device,
                "heads": heads,
                "seconds_per_epoch": per_epoch,
                "epochs": done,
                "seed_hours": seed,
                "analysed_seed_hours": seed + analysed,
                "seeds_hours": seeds * (seed + analysed),
                "epochs_hours": seed * epochs / done + analysed,
            }
        )
    return pd.DataFrame(rows, columns=PROJECTIONS)


def _epoch(record: Record[TrainNumbers]) -> float:
    """Seconds of one epoch, the median: an epoch beside other work does not count for more."""
    return float(np.median(record.provenance.epoch_seconds))


def _of_one_seed(runs: list[Record[TrainNumbers]]) -> float:
    times = pd.DataFrame(
        {"head": r.head, "hours": _epoch(r) * len(r.numbers.epochs) / 3600} for r in runs
    )
    return times.groupby("head")["hours"].median().sum()


def _analysed(part: list[Record], kind: str) -> float:
    """Hours of one analysis over one seed: of those heads that have it."""
    times = pd.DataFrame(
        {"head": r.head, "hours": r.provenance.wall_time_s / 3600} for r in part if r.kind == kind
    )
    return times.groupby("head")["hours"].median().sum()
