"""Intervals and paired comparisons of runs, as frames: how sure a difference between heads is."""

from collections.abc import Iterable

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
    Interval,
    exact_mcnemar,
    kendall,
    t_interval,
    tau_b,
    verdict,
    wilson_interval,
)
from moelib.study.heads import FrozenGate, family

REFERENCE = "dense"  # the head with which the others are compared
FROZEN = "frozen"  # the control whose gate never learns
RATIOS = ["study", "head", "split", "seeds", "ratio", "low", "high", "by_seed", "verdict"]
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
    return _over_seeds(seed_differences(records))


def accuracy_beyond_frozen(records: Trained) -> pd.DataFrame:
    """Test accuracy minus that with a gate that is never trained, as `differences` has it.

    A head is compared with the `frozen` one of its study if its experts are as many, as large and
    as mixed: then the two differ in their gate, and in what trains it (noise, dropout, balance
    losses).
    """
    return _over_seeds(beyond_reference(finals(_like_frozen(records)), "test_accuracy", FROZEN))


def information_beyond_frozen(records: Analysed) -> pd.DataFrame:
    """The same of the information that class and expert share on test images, in nats."""
    usage = usage_summary(_like_frozen(records))
    if len(usage):
        usage = usage[usage["split"] == "test"]
    return _over_seeds(beyond_reference(usage, "information", FROZEN))


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
    values: pd.DataFrame, measure: str, reference: str = REFERENCE
) -> pd.DataFrame:
    """One row per run with a reference run of its study and seed: its measure minus that one's."""
    if values.empty:
        return values
    references = values[values["head"] == reference][["study", "seed", measure]]
    paired = values[values["head"] != reference].merge(
        references, on=["study", "seed"], suffixes=("", "_reference")
    )
    paired["difference"] = paired[measure] - paired[f"{measure}_reference"]
    return paired[["study", "head", "seed", "difference"]]


def _over_seeds(paired: pd.DataFrame) -> pd.DataFrame:
    """One row per head with two or more pairs: mean difference, t-interval, verdict."""
    rows = []
    groups = paired.groupby(["study", "head"], sort=False) if len(paired) else ()
    for (study, head), group in groups:
        if len(group) > 1:
            interval = t_interval(group["difference"])
            rows.append(
                {
                    "study": study,
                    "head": head,
                    "seeds": len(group),
                    "difference": interval.estimate,
                    "low": interval.low,
                    "high": interval.high,
                    "by_seed": tuple(group["difference"]),
                    "verdict": verdict(interval),
                }
            )
    return pd.DataFrame(rows)


def image_comparisons(records: Trained, reference: str = REFERENCE) -> pd.DataFrame:
    """One row per run paired with a reference run: exact McNemar test over the same test images.

    It compares two trained nets, and cannot tell a better head from a luckier seed.
    """
    records = list(records)
    references = {(r.study.name, r.seed): r for r in records if r.head == reference}
    rows = []
    for record in records:
        reference_run = references.get((record.study.name, record.seed))
        if record.head == reference or reference_run is None:
            continue
        test = exact_mcnemar(test_correct(record), test_correct(reference_run))
        rows.append(
            {
                **run_columns(record),
                "only_head_right": test.only_first,
                "only_reference_right": test.only_second,
                "difference": record.numbers.test.accuracy - reference_run.numbers.test.accuracy,
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
    keys = ["study", "seed", "split"]
    values = frame[["study", "head", "seed", "split", measure]]
    values = values.assign(log=np.log(values[measure].where(values[measure] > 0)))
    dense = values[values["head"] == reference][[*keys, "log"]]
    paired = values[values["head"] != reference].merge(dense, on=keys, suffixes=("", "_reference"))
    paired["difference"] = paired["log"] - paired["log_reference"]
    rows = []
    for (study, head, split), group in paired.groupby(["study", "head", "split"], sort=False):
        logs = group["difference"].to_numpy()
        interval = t_interval(logs) if len(logs) > 1 else Interval(logs[0], np.nan, np.nan)
        rows.append(
            {
                "study": study,
                "head": head,
                "split": split,
                "seeds": len(logs),
                "ratio": np.exp(interval.estimate),
                "low": np.exp(interval.low),
                "high": np.exp(interval.high),
                "by_seed": tuple(np.exp(logs)),
                "verdict": None if np.isnan(interval.low) else verdict(interval),
            }
        )
    return pd.DataFrame(rows, columns=RATIOS)


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
        reference = np.array(numbers.reference.largest)
        methods = [("reference, float64", numbers.reference.largest, numbers.reference.products)]
        traces = [(numbers.reference_trace.value, numbers.reference_trace.products)]
        methods += [("this project", numbers.eigenvalues.largest, numbers.eigenvalues.products)]
        traces += [(numbers.trace.value, numbers.trace.products)]
        for seed, (values, probes) in enumerate(
            zip(numbers.peer_eigenvalues, numbers.peer_traces, strict=True)
        ):
            methods.append((f"PyHessian, seed {seed}", values.values, values.products))
            traces.append((float(np.mean(probes.values)), probes.products))
        for (method, values, products), (trace, probes) in zip(methods, traces, strict=True):
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
