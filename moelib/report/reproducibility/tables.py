"""How records came about, as frames: recipes, machines, commits, hours of a device, energy."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from moelib.records.benchmarks import SessionNumbers
from moelib.records.freshness import codes
from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.study.study import Study

RUN_ONE = "`.venv/bin/papermill notebooks/{notebook}.ipynb out.ipynb -p study {study}`"
JOULES = 3.6e6  # in a kilowatt-hour
MACHINE = ["study", "device"]
HOURS = ["training", "analyses", "core_hours", "gpu_hours"]


def recipes(studies: Iterable[Study]) -> pd.DataFrame:
    """One row per study: its data, net, protocol and training recipe."""
    return pd.DataFrame(
        {
            **study.training.model_dump(),
            "study": study.name,
            "data": study.data.source,
            "backbone": study.backbone.kind,
            "protocol": study.protocol.base,
            "schedule": study.training.schedule.kind,
        }
        for study in studies
    )


def origins(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study, kind, commit and day of records, with their number.

    `code` says whether the code of today computes what made them.
    """
    records = list(records)
    return _counts(
        {
            "study": record.study.name,
            "kind": record.kind,
            "commit": (record.provenance.commit or "unknown")[:10],
            "changed": "yes" if record.provenance.uncommitted_changes else "no",
            "day": record.provenance.date[:10],
            "code": "as today" if record.inputs.get("code") == code else "changed since",
        }
        for record, code in zip(records, codes(records), strict=True)
    )


def machines(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study, machine and versions of records, with their number."""
    return _counts(
        {
            "study": record.study.name,
            **record.provenance.model_dump(include={"device", "cores", "threads", "python"}),
            "torch": record.provenance.packages["torch"],
        }
        for record in records
    )


def efforts(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study and kind of records: how many, how long they took, the command for one."""
    rows = (
        (record.study.name, record.kind, record.provenance.wall_time_s / 60) for record in records
    )
    table = pd.DataFrame(rows, columns=["study", "notebook", "minutes"])
    groups = table.groupby(["study", "notebook"], sort=False)["minutes"]
    spent = groups.agg(records="size", one="median", all="sum").reset_index()
    commands = (RUN_ONE.format(**row) for row in spent.to_dict("records"))
    return spent.assign(command=list(commands))


def _counts(rows: Iterable[dict]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    return table.groupby(list(table.columns), sort=False).size().reset_index(name="records")


# -- what studies took -----------------------------------------------------------------------------


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


def energy(sessions: Mapping[str, Iterable[Record[SessionNumbers]]]) -> pd.DataFrame:
    """One row per study: hours of its sessions and energy in kWh, NaN where none could be read.

    `task_hours` is the sum over tasks of the time that each took: by `hours` it is how many shared
    the machine on average. The energy is the GPU's own count, of everything on it; that of the
    processor and the rest of the machine is not in it.
    """
    table = pd.DataFrame(
        {
            "study": study,
            "sessions": 1,
            "hours": record.numbers.seconds / 3600,
            "tasks": len(record.numbers.tasks),
            "task_hours": sum(t.end_s - t.start_s for t in record.numbers.tasks) / 3600,
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
    rows = []
    for record in records:
        training, hours = record.kind == TrainNumbers.kind, record.provenance.wall_time_s / 3600
        epoch_seconds = np.nan
        if training:  # of which an epoch beside other work does not count for more
            epoch_seconds = np.median(record.provenance.epoch_seconds)
            hours = epoch_seconds * len(record.numbers.epochs) / 3600
        rows.append(
            {
                "study": record.study.name,
                "device": record.provenance.device,
                "kind": record.kind,
                "head": record.head,
                "hours": hours,
                "epoch_seconds": epoch_seconds,
                "epochs": record.study.training.epochs,
            }
        )
    table = pd.DataFrame(rows)
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
