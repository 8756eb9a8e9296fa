"""How records came about and what they took, as frames: recipes, origins, times, energy."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from moelib.records.benchmarks import SessionNumbers
from moelib.records.freshness import codes
from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.study.study import Study

JOULES = 3.6e6  # in a kilowatt-hour
MACHINE = ["study", "device"]
SEEDS, EPOCHS = 10, 50  # other sizes that a study is projected to


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
    """One row per study, commit, day, machine and versions of records, with their number.

    `code` says whether the code of today computes what made them.
    """
    records = list(records)
    table = pd.DataFrame(
        {
            "study": record.study.name,
            "commit": (record.provenance.commit or "unknown")[:10],
            "changed": bool(record.provenance.uncommitted_changes),
            "day": record.provenance.date[:10],
            "code": "as today" if record.inputs.get("code") == code else "changed since",
            **record.provenance.model_dump(include={"device", "cores", "threads", "python"}),
            "torch": record.provenance.packages["torch"],
        }
        for record, code in zip(records, codes(records), strict=True)
    )
    return table.groupby(list(table.columns), sort=False).size().reset_index(name="records")


def efforts(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study, one column per kind of records: the minutes that one takes, the median."""
    rows = [
        (record.study.name, record.kind, record.provenance.wall_time_s / 60) for record in records
    ]
    table = pd.DataFrame(rows, columns=["study", "notebook", "minutes"])
    medians = table.pivot_table("minutes", "study", "notebook", aggfunc="median", sort=False)
    return medians.reset_index()


def expenses(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study and device: hours of training and of analyses, and of other sizes.

    `training` and `analyses` are of the wall clock, over all resumed parts. One seed is one run of
    every head that has one: the sum over heads of their median time, of training as many epochs as
    long as the median one, so that an epoch beside other work does not count for more. Where
    several runs shared a machine each took longer than alone: these are upper bounds of what is
    needed. Training grows with the epochs, analyses do not.
    """
    rows = []
    for record in records:
        machine = record.provenance
        hours = one = machine.wall_time_s / 3600
        part, epoch = "analyses", np.nan
        if record.kind == TrainNumbers.kind:
            part, epoch = "training", np.median(machine.epoch_seconds)
            one = epoch * len(record.numbers.epochs) / 3600
        rows.append(
            {
                "study": record.study.name,
                "device": machine.device,
                "part": part,
                "kind": record.kind,
                "head": record.head,
                "hours": hours,
                "one": one,
                "seconds_per_epoch": epoch,
                "epochs": record.study.training.epochs,
            }
        )
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    result = table.groupby(MACHINE, sort=False).agg(
        heads=("head", "nunique"),
        records=("head", "size"),
        seconds_per_epoch=("seconds_per_epoch", "median"),
        epochs=("epochs", "first"),
    )
    parts, of_part = ["training", "analyses"], [*MACHINE, "part"]
    spent = table.groupby(of_part)["hours"].sum().unstack().reindex(columns=parts)
    medians = table.groupby([*of_part, "kind", "head"])["one"].median()
    one = medians.groupby(of_part).sum().unstack().reindex(columns=parts)
    trained, analysed = one["training"], one["analyses"].fillna(0)
    return result.assign(
        **spent,
        seed_hours=trained,
        analysed_seed_hours=trained + analysed,
        seeds_hours=SEEDS * (trained + analysed),
        epochs_hours=trained * EPOCHS / result["epochs"] + analysed,
    ).reset_index()


def energy(sessions: Mapping[str, Iterable[Record[SessionNumbers]]]) -> pd.DataFrame:
    """One row per study and device: hours of sessions and energy in kWh, NaN where none was read.

    `task_hours` is the sum over tasks of the time that each took: by `hours` it is how many shared
    the machine on average. The energy is the GPU's own count, of everything on it; that of the
    processor and the rest of the machine is not in it.
    """
    table = pd.DataFrame(
        {
            "study": study,
            "device": record.provenance.device,
            "sessions": 1,
            "hours": record.numbers.seconds / 3600,
            "tasks": len(record.numbers.tasks),
            "task_hours": sum(task.end_s - task.start_s for task in record.numbers.tasks) / 3600,
            "kilowatt_hours": record.numbers.energy_joules,
        }
        for study, records in sessions.items()
        for record in records
    )
    if table.empty:
        return table
    table["kilowatt_hours"] = table["kilowatt_hours"].astype(float) / JOULES
    return table.groupby(MACHINE, sort=False).sum(min_count=1).reset_index()
