"""Intervals and paired comparisons of runs, as frames: how sure a difference between heads is."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

from moelib.records.kinds import CrosscheckNumbers
from moelib.records.record import Record
from moelib.report.frames import (
    Analysed,
    Trained,
    finals,
    run_columns,
    test_correct,
    usage_summary,
)
from moelib.report.statistics import (
    FEWEST_RUNS,
    exact_mcnemar,
    kendall,
    seed_interval,
    t_interval,
    tau_b,
    verdict,
    wilson_interval,
)
from moelib.study.heads import FrozenGate, family

N = TypeVar("N", bound=Record)
REFERENCE = "dense"  # the head with which the others are compared
FROZEN = "frozen"  # the control whose gate never learns
ORDERS = ["study", "split", "measure", "runs", "tau", "low", "high", "p_value", "without"]


# -- accuracy -------------------------------------------------------------------------------------


def accuracy(records: Trained) -> pd.DataFrame:
    """One row per head: mean test accuracy, deviation, number of seeds, and a 95 % interval.

    Over two or more seeds it is the t-interval of their accuracies; with one seed it is Wilson's,
    over test images, and says nothing about other seeds.
    """
    records = list(records)
    rows = []
    for study, head in dict.fromkeys((r.study.name, r.head) for r in records):
        runs = [r for r in records if (r.study.name, r.head) == (study, head)]
        values = [run.numbers.test.accuracy for run in runs]
        if len(runs) > 1:
            interval, over = t_interval(values), "seeds"
        else:
            right = test_correct(runs[0])
            interval, over = wilson_interval(int(right.sum()), len(right)), "test images"
        rows.append(
            {
                "study": study,
                "head": head,
                "mean": interval.estimate,
                "deviation": np.std(values, ddof=1) if len(runs) > 1 else np.nan,
                "seeds": len(runs),
                "low": interval.low,
                "high": interval.high,
                "interval_over": over,
            }
        )
    return pd.DataFrame(rows)


def seed_differences(records: Trained) -> pd.DataFrame:
    """One row per run with a dense run of its study and seed: accuracy minus the dense one's."""
    return beyond_reference(finals(records), "test_accuracy")


def differences(records: Trained) -> pd.DataFrame:
    """One row per head that has two or more seeds paired with the dense head's, with a verdict.

    The t-interval is over the differences by seed: the runs of one seed share initial backbone,
    batch order and augmentation, if the protocol pairs them.
    """
    return _by_head(seed_differences(records))


def accuracy_beyond_frozen(records: Trained) -> pd.DataFrame:
    """Test accuracy minus that with a gate that is never trained, as `differences` has it.

    A head is compared with the `frozen` one of its study if its experts are as many, as large and
    as mixed: then the two differ in their gate, and in what trains it (noise, dropout, balance
    losses).
    """
    return _by_head(beyond_reference(finals(_like_frozen(records)), "test_accuracy", FROZEN))


def information_beyond_frozen(records: Analysed) -> pd.DataFrame:
    """The same of the information that class and expert share on test images, in nats."""
    usage = usage_summary(_like_frozen(records))
    if len(usage):
        usage = usage[usage["split"] == "test"]
    return _by_head(beyond_reference(usage, "information", FROZEN))


def _like_frozen(records: Iterable[Record]) -> list[Record]:
    """The records of frozen heads, and of those whose experts are like theirs and gates learn."""

    def mixture(record: Record) -> tuple:
        head = record.study.heads[record.head]
        names = ("experts", "hidden", "k", "dropout", "temperature")
        return tuple(getattr(head, name, None) for name in names)

    def comparable(record: Record) -> bool:
        learns = not isinstance(record.study.heads[record.head], FrozenGate)
        alike = mixture(record) == controls.get(record.study.name)
        return alike and (learns or record.head == FROZEN)

    records = list(records)
    controls = {record.study.name: mixture(record) for record in records if record.head == FROZEN}
    return [record for record in records if comparable(record)]


def beyond_reference(
    values: pd.DataFrame,
    measure: str,
    reference: str = REFERENCE,
    keys: Sequence[str] = ("study", "seed"),
) -> pd.DataFrame:
    """One row per row with one of the reference of like keys: its measure minus that one's."""
    if values.empty:
        return pd.DataFrame(columns=["head", *keys, "difference"])
    references = values[values["head"] == reference][[*keys, measure]]
    pairs = values[values["head"] != reference].merge(
        references, on=list(keys), suffixes=("", "_reference")
    )
    pairs["difference"] = pairs[measure] - pairs[f"{measure}_reference"]
    return pairs[["head", *keys, "difference"]]


def _by_head(
    differences: pd.DataFrame, keys: Sequence[str] = ("study", "head"), fewest: int = 2
) -> pd.DataFrame:
    """One row per head of enough seeds: mean difference, t-interval, verdict where it has one."""
    rows = []
    for group, by_seed in differences.groupby(list(keys), sort=False)["difference"]:
        if len(by_seed) >= fewest:
            interval = seed_interval(by_seed.to_numpy())
            known = None if np.isnan(interval.low) else verdict(interval)
            rows.append((*group, len(by_seed), *interval, tuple(by_seed), known))
    columns = [*keys, "seeds", "difference", "low", "high", "by_seed", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def paired_runs(records: Iterable[N], reference: str = REFERENCE) -> list[tuple[N, N]]:
    """Each record with that of the reference head of its study and seed, where there is one."""
    records = list(records)
    references = {(r.study.name, r.seed): r for r in records if r.head == reference}
    pairs = ((record, references.get((record.study.name, record.seed))) for record in records)
    return [(record, other) for record, other in pairs if other and record.head != reference]


def image_comparisons(records: Trained, reference: str = REFERENCE) -> pd.DataFrame:
    """One row per run paired with a reference run: exact McNemar test over the same test images.

    It compares two trained nets, and cannot tell a better head from a luckier seed.
    """
    rows = []
    for record, other in paired_runs(records, reference):
        test = exact_mcnemar(test_correct(record), test_correct(other))
        rows.append(
            {
                **run_columns(record),
                "only_head_right": test.only_first,
                "only_reference_right": test.only_second,
                "difference": record.numbers.test.accuracy - other.numbers.test.accuracy,
                "p_value": test.p_value,
            }
        )
    return pd.DataFrame(rows)


# -- curvature and loss surface -------------------------------------------------------------------


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
    differences = beyond_reference(
        frame.assign(log=logs), "log", reference, ("study", "seed", "split")
    )
    table = _by_head(differences, ("study", "head", "split"), fewest=1)
    table = table.rename(columns={"difference": "ratio"})
    ends = ["ratio", "low", "high"]
    table[ends] = np.exp(table[ends].astype(float))
    return table.assign(by_seed=[tuple(np.exp(values)) for values in table["by_seed"]])


def orders(
    frame: pd.DataFrame, measures: Iterable[str], accuracy: str = "test_accuracy"
) -> pd.DataFrame:
    """One row per study, split and measure: whether it orders the runs as their accuracy does.

    Kendall's tau over all runs of a study, whatever their head, with a bootstrap interval. A study
    of fewer than four runs, or in which the measure or the accuracy is one and the same for all
    runs, has no row. Runs of one family of heads are alike, and not independent: `without` holds
    the lowest and the highest tau when any one family is left out, () unless at least three
    families can be: without one there must be four runs, of different measures and accuracies.

    Args:
        frame: one row per run and split, with the measures and the accuracy as columns.
        measures: names of columns.
        accuracy: name of a column.
    """
    rows = []
    for (study, split), runs in frame.groupby(["study", "split"], sort=False):
        for measure in measures:
            pairs = runs[["head", measure, accuracy]].dropna()
            values = pairs[[measure, accuracy]]
            if len(values) < FEWEST_RUNS or (values.nunique() == 1).any():
                continue
            correlation = kendall(values[measure], values[accuracy])
            families = pairs["head"].map(family)
            subsets = (values[families != absent].to_numpy().T for absent in families.unique())
            taus = [tau_b(*pair) for pair in subsets if pair.shape[1] >= FEWEST_RUNS]
            taus = [tau for tau in taus if not np.isnan(tau)]  # a measure is constant there
            row = {"study": study, "split": split, "measure": measure, "runs": len(pairs)}
            without = (min(taus), max(taus)) if len(taus) > 2 else ()
            rows.append({**row, **correlation._asdict(), "without": without})
    return pd.DataFrame(rows, columns=ORDERS)


# -- another implementation -----------------------------------------------------------------------


def crosscheck(records: Iterable[Record[CrosscheckNumbers]]) -> pd.DataFrame:
    """One row per head and way: eigenvalues and trace as returned, and how far off they are.

    `worst_error` is the largest relative error of an eigenvalue at its place in the list that was
    returned, against the reference in descending order; `trace_error` that of the mean over probes.
    """
    rows = []
    for record in records:
        numbers = record.numbers
        peers = enumerate(zip(numbers.peer_eigenvalues, numbers.peer_traces, strict=True))
        methods = [
            ("reference, float64", numbers.reference.largest, numbers.reference.products,
             numbers.reference_trace.value, numbers.reference_trace.products),
            ("this project", numbers.eigenvalues.largest, numbers.eigenvalues.products,
             numbers.trace.value, numbers.trace.products),
            *((f"PyHessian, seed {seed}", eigenvalues.values, eigenvalues.products,
               float(np.mean(probes.values)), probes.products)
              for seed, (eigenvalues, probes) in peers),
        ]  # fmt: skip
        reference = np.array(numbers.reference.largest)
        for method, values, products, trace, probes in methods:
            rows.append(
                {
                    "head": record.head,
                    "way": method,
                    "eigenvalues": tuple(values),
                    "sorted": list(values) == sorted(values, reverse=True),
                    "worst_error": float(np.max(np.abs(np.array(values) / reference - 1))),
                    "products": products,
                    "trace": trace,
                    "trace_error": trace / numbers.reference_trace.value - 1,
                    "probes": probes,
                }
            )
    return pd.DataFrame(rows)
