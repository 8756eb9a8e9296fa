"""The use of experts as frames: balance, class and expert, what a gate that learns adds."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from moelib.records.record import Record
from moelib.report import frames, paper
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.comparisons import beyond_reference, mean_differences
from moelib.report.effects import by_head
from moelib.report.frames import Analysed, Trained, flat, of_split, run_columns, scalars, splits
from moelib.study.heads import FrozenGate

FROZEN = "frozen"  # the control whose gate never learns


def summary(records: Analysed) -> pd.DataFrame:
    """One row per run and split: balance, entropy, dead experts, mutual information, its null."""
    rows = pd.DataFrame(
        {
            **run,
            "epoch": record.numbers.epoch,
            **scalars(usage),
            "dead_experts": len(usage.dead),
            "epochs_with_dead": sum(dead > 0 for dead in record.numbers.dead_per_epoch),
            **scalars(usage.information),
        }
        for run, record, usage in splits(records)
    )
    return rows.rename(columns={"value": "information", "bound": "information_bound"})


def expert_shares(records: Analysed) -> pd.DataFrame:
    """One row per run, split and expert: its shares of gate mass and of selections."""
    return pd.DataFrame(
        {**run, **expert}
        for run, _, usage in splits(records)
        for expert in _experts(usage.gate_mass, usage.load)
    )


def expert_shares_by_epoch(records: Trained) -> pd.DataFrame:
    """One row per run, epoch, split and expert: its shares of gate mass and of selections."""
    return pd.DataFrame(
        {**columns, **expert}
        for columns, metrics in frames.epochs(records)
        if metrics.gate_mass is not None
        for expert in _experts(metrics.gate_mass, metrics.load)
    )


def dead_by_epoch(records: Analysed) -> pd.DataFrame:
    """One row per run and epoch: how many experts were dead in training, and of how many."""
    return pd.DataFrame(
        {**run_columns(record), "epoch": epoch, "dead": dead, "experts": len(numbers.test.load)}
        for record in records
        for numbers in [record.numbers]
        for epoch, dead in enumerate(numbers.dead_per_epoch, start=1)
    )


def class_shares(records: Analysed) -> pd.DataFrame:
    """One row per run, class and expert: the expert's share of the class's gate mass, on test."""
    return pd.DataFrame(
        {**run_columns(record), "class": c, "expert": e, "share": value}
        for record in records
        for c, row in enumerate(record.numbers.test.class_expert)
        if row is not None
        for e, value in enumerate(_shares(row))
    )


def _experts(gate_mass: Iterable[float], load: Iterable[float]):
    pairs = zip(_shares(gate_mass), _shares(load), strict=True)
    for e, (mass, selections) in enumerate(pairs):
        yield {"expert": e, "gate_mass": mass, "selections": selections}


def _shares(values: Iterable[float]) -> np.ndarray:
    # Gates of a switch head sum to less than 1, loads to k: as shares all are comparable with 1/E.
    values = np.asarray(values)
    return values / values.sum()


def on_test(records: Analysed) -> pd.DataFrame:
    """The rows of `summary` that are of test images."""
    return of_split(summary(records), "test")


def balance(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Coefficient of variation of gate mass over experts, on test images."""
    return by_head(on_test(flat(records)), "gate_mass_variation", paper.GATE_MASS_VARIATION)


def information(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Mutual information of class and expert on test images, nats."""
    return by_head(on_test(flat(records)), "information", paper.INFORMATION)


# -- beside a frozen gate --------------------------------------------------------------------------


def accuracy_beyond_frozen(records: Trained) -> pd.DataFrame:
    """Test accuracy minus that with a gate that is never trained, as `mean_differences` has it.

    A head is compared with the `frozen` one of its study if its experts are as many, as large and
    as mixed: then the two differ in their gate, and in what trains it (noise, dropout, balance
    losses).
    """
    return mean_differences(
        beyond_reference(accuracy_tables.finals(_like_frozen(records)), "test_accuracy", FROZEN)
    )


def information_beyond_frozen(records: Analysed) -> pd.DataFrame:
    """The same of the information that class and expert share on test images, in nats."""
    usage = on_test(_like_frozen(records))
    return mean_differences(beyond_reference(usage, "information", FROZEN))


def _like_frozen(records: Iterable[Record]) -> list[Record]:
    """The records of frozen heads, and of those whose experts are like theirs and gates learn."""

    def mixture(record: Record) -> tuple:
        head = record.study.heads[record.head]
        names = ("experts", "hidden", "k", "dropout", "temperature")
        return tuple(getattr(head, name, None) for name in names)

    records = list(records)
    controls = {record.study.name: mixture(record) for record in records if record.head == FROZEN}
    return [
        record
        for record in records
        if mixture(record) == controls.get(record.study.name)
        and (record.head == FROZEN or not isinstance(record.study.heads[record.head], FrozenGate))
    ]
