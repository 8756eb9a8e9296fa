"""How records came about, as frames: recipes, machines, commits, and how long it took."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from moelib.records.record import Record
from moelib.report.frames import Trained, run_columns
from moelib.study.study import Study

RUN_ONE = "`.venv/bin/papermill notebooks/{notebook}.ipynb out.ipynb -p study {study}`"


def durations(records: Trained) -> pd.DataFrame:
    """One row per run: the median time of an epoch, the whole training, and the machine."""
    return pd.DataFrame(
        {
            **run_columns(record),
            "epochs": len(record.numbers.epochs),
            "epoch_seconds": np.median(record.provenance.epoch_seconds),
            "seconds": record.provenance.wall_time_s,
            "threads": record.provenance.threads,
            "device": record.provenance.device,
        }
        for record in records
    )


def recipes(studies: Iterable[Study]) -> pd.DataFrame:
    """One row per study: its data, net, protocol and training recipe."""
    return pd.DataFrame(
        {
            "study": study.name,
            "data": study.data.source,
            "backbone": study.backbone.kind,
            "protocol": study.protocol.base,
            "epochs": study.training.epochs,
            "batch_size": study.training.batch_size,
            "learning_rate": study.training.learning_rate,
            "schedule": study.training.schedule.kind,
            "weight_decay": study.training.weight_decay,
            "label_smoothing": study.training.label_smoothing,
            "precision": study.training.precision,
        }
        for study in studies
    )


def origins(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study, kind, commit and day of records, with their number."""
    return _counts(
        {
            "study": record.study.name,
            "kind": record.kind,
            "commit": (record.provenance.commit or "unknown")[:10],
            "changed": "yes" if record.provenance.uncommitted_changes else "no",
            "day": record.provenance.date[:10],
        }
        for record in records
    )


def machines(records: Iterable[Record]) -> pd.DataFrame:
    """One row per study, machine and versions of records, with their number."""
    return _counts(
        {
            "study": record.study.name,
            "device": record.provenance.device,
            "cores": record.provenance.cores,
            "threads": record.provenance.threads,
            "python": record.provenance.python,
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
