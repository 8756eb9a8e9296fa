"""Runs beside those of the reference head: in pairs, by seed, as differences, ratios and orders."""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import pandas as pd

from moelib.records.record import Record
from moelib.report.statistics.intervals import FEWEST_RUNS, kendall, seed_interval, tau_b, verdict
from moelib.study.heads import family

N = TypeVar("N", bound=Record)
REFERENCE = "dense"  # the head with which the others are compared
FEWEST = 3  # seeds, below which a head is shown and not judged
KEYS = ("study", "seed", "split")  # that two rows have in common which are compared
ORDERS = ["study", "split", "measure", "runs", "tau", "low", "high", "p_value", "without"]


def paired_runs(records: Iterable[N], reference: str = REFERENCE) -> list[tuple[N, N]]:
    """Each record with that of the reference head of its study and seed, where there is one."""
    records = list(records)
    references = {(r.study.name, r.seed): r for r in records if r.head == reference}
    pairs = ((record, references.get((record.study.name, record.seed))) for record in records)
    return [(record, other) for record, other in pairs if other and record.head != reference]


def beyond_reference(
    values: pd.DataFrame, measure: str, reference: str = REFERENCE
) -> pd.DataFrame:
    """One row per row with one of the reference of its study, seed, and split if frames have any.

    `difference` is its measure minus that one's.
    """
    if values.empty:
        return pd.DataFrame(columns=["head", "study", "seed", "difference"])
    keys = [key for key in KEYS if key in values]
    is_reference = values["head"] == reference
    pairs = values[~is_reference].merge(
        values[is_reference][[*keys, measure]], on=keys, suffixes=("", "_reference")
    )
    return pairs.assign(difference=pairs[measure] - pairs[f"{measure}_reference"])[
        ["head", *keys, "difference"]
    ]


def mean_differences(differences: pd.DataFrame, fewest: int = 2) -> pd.DataFrame:
    """One row per head of enough seeds: mean difference, t-interval, a verdict from `FEWEST` on."""
    keys = [key for key in ("study", "head", "split") if key in differences]
    rows = []
    for group, by_seed in differences.groupby(keys, sort=False)["difference"]:
        if len(by_seed) >= fewest:
            interval = seed_interval(by_seed.to_numpy())
            sure = len(by_seed) >= FEWEST and not np.isnan(interval.low)
            known = verdict(interval) if sure else None
            rows.append((*group, len(by_seed), *interval, tuple(by_seed), known))
    columns = [*keys, "seeds", "difference", "low", "high", "by_seed", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def ratios(frame: pd.DataFrame, measure: str, reference: str = REFERENCE) -> pd.DataFrame:
    """One row per head and split: how many times the reference's a measure is, paired by seed.

    The t-interval is of the logarithms, since curvatures differ by factors; it needs two seeds, and
    is unknown with one, or where a value is not above 0 and so has no logarithm.

    Args:
        frame: one row per run and split, with the measure as a column.
        measure: its name.
        reference: the head to compare with.
    """
    logs = np.log(frame[measure].where(frame[measure] > 0))
    differences = beyond_reference(frame.assign(log=logs), "log", reference)
    table = mean_differences(differences, fewest=1)
    table = table.rename(columns={"difference": "ratio"})
    ends = ["ratio", "low", "high"]
    table[ends] = np.exp(table[ends].astype(float))
    return table.assign(by_seed=[tuple(np.exp(values).tolist()) for values in table["by_seed"]])


def orders(frame: pd.DataFrame, measures: Iterable[str]) -> pd.DataFrame:
    """One row per study, split and measure: whether it orders the runs as their accuracy does.

    Kendall's tau over all runs of a study, whatever their head, with a bootstrap interval. A study
    of fewer than four runs, or in which the measure or the accuracy is one and the same for all
    runs, has no row. Runs of one family of heads are alike, and not independent: `without` holds
    the lowest and the highest tau when any one family is left out, () unless at least three
    families can be: without one there must be four runs, of different measures and accuracies.

    Args:
        frame: one row per run and split, with the measures and `test_accuracy` as columns.
        measures: names of columns.
    """
    rows = []
    for (study, split), runs in frame.groupby(["study", "split"], sort=False):
        for measure in measures:
            pairs = runs[["head", measure, "test_accuracy"]].dropna()
            values = pairs[[measure, "test_accuracy"]]
            if len(values) < FEWEST_RUNS or (values.nunique() == 1).any():
                continue
            correlation = kendall(values[measure], values["test_accuracy"])
            families = pairs["head"].map(family)
            subsets = (values[families != absent].to_numpy().T for absent in families.unique())
            taus = [tau_b(*pair) for pair in subsets if pair.shape[1] >= FEWEST_RUNS]
            taus = [tau for tau in taus if not np.isnan(tau)]  # a measure is constant there
            row = {"study": study, "split": split, "measure": measure, "runs": len(pairs)}
            without = (min(taus), max(taus)) if len(taus) > 2 else ()
            rows.append({**row, **correlation._asdict(), "without": without})
    return pd.DataFrame(rows, columns=ORDERS)
