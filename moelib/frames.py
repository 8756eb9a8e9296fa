"""Records as tidy pandas frames: one row per observation, one column per variable.

Frames of runs start with the columns study, head, seed. Accuracies are shares, entropies in nats.
"""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import pandas as pd

from moelib.config import Study
from moelib.kinds import BenchmarkNumbers, TrainNumbers, UtilizationNumbers
from moelib.record import Numbers, Record, RecordError, read_record
from moelib.run import results_root, runs
from moelib.statistics import exact_mcnemar, t_interval, verdict, wilson_interval
from moelib.study import STUDIES, load_study

REFERENCE = "dense"  # the head with which the others are compared
N = TypeVar("N", bound=Numbers)
Trained = Iterable[Record[TrainNumbers]]
Analysed = Iterable[Record[UtilizationNumbers]]


# -- which records there are ----------------------------------------------------------------------


def studies() -> list[str]:
    """Names of the studies that have records of training."""
    return sorted({path.parents[2].name for path in results_root().glob("*/*/seed-*/train.json")})


def load(study: str, numbers: type[N]) -> list[Record[N]]:
    """All records of one kind of a study, in the order of its heads, then by seed.

    Records of a head or seed that the study no longer lists are left out.

    Raises:
        RecordError: a record is damaged, or two of them differ in more than head and seed.
    """
    paths = sorted(results_root().glob(f"{study}/*/seed-*/{numbers.kind}.json"))
    if (STUDIES / f"{study}.yaml").is_file():  # a study may also be written elsewhere
        listed = {run.record_path(numbers.kind) for run in runs(load_study(study))}
        paths = [path for path in paths if path in listed]
    records = [read_record(path, numbers) for path in paths]
    seen: dict[str, Record[N]] = {}  # the first record of each head; "": of all
    for record in records:
        for head, settings in (("", _settings), (record.head, _head_settings)):
            first = seen.setdefault(head, record)
            if settings(first) != settings(record):
                raise RecordError(
                    f"The {numbers.kind} records of the study '{study}' are of different settings: "
                    f"{_name(first)} and {_name(record)}. Run the study again."
                )
    heads = list(dict.fromkeys(head for record in records for head in record.study.heads))
    return sorted(records, key=lambda record: (heads.index(record.head), record.seed))


def benchmarks() -> dict[str, Record[BenchmarkNumbers]]:
    """The records of all benchmarks, by the names of their files."""
    paths = sorted((results_root() / "benchmarks").glob("*.json"))
    return {path.name: read_record(path, BenchmarkNumbers) for path in paths}


def _settings(record: Record) -> tuple:
    """What all runs of a study share; its lists of heads and seeds may have grown between them."""
    study = record.study
    sizes = getattr(study.analyses, record.kind, None)
    return study.data, study.backbone, study.protocol, study.training, sizes


def _head_settings(record: Record) -> object:
    return record.study.heads[record.head]


def _name(record: Record) -> str:
    return f"{record.head}, seed {record.seed}"


# -- training -------------------------------------------------------------------------------------


def finals(records: Trained) -> pd.DataFrame:
    """One row per run: what was tested, and how well it did."""
    return pd.DataFrame(
        {
            **_run(record),
            "head_parameters": record.numbers.head_parameters,
            "total_parameters": record.numbers.total_parameters,
            "test_images": record.numbers.images["test"],
            "tested_epoch": record.numbers.tested_epoch,
            "test_accuracy": record.numbers.test.accuracy,
            "test_loss": record.numbers.test.loss,
            "best_validation_epoch": record.numbers.best_validation_epoch,
            "best_validation_accuracy": max(e.validation.accuracy for e in record.numbers.epochs),
            "last_train_accuracy": record.numbers.epochs[-1].train.accuracy,
            "seconds": record.provenance.wall_time_s,
        }
        for record in records
    )


def epochs(records: Trained) -> pd.DataFrame:
    """One row per run, epoch and split (train, validation): loss, accuracy, entropy of the gate."""
    return pd.DataFrame(
        {
            **_run(record),
            "epoch": epoch.epoch,
            "split": split,
            "loss": metrics.loss,
            "accuracy": metrics.accuracy,
            "entropy": metrics.entropy,
        }
        for record, epoch, split, metrics in _curves(records)
    )


def usage_per_epoch(records: Trained) -> pd.DataFrame:
    """One row per run, epoch, split and expert: its shares of gate mass and of selections."""
    return pd.DataFrame(
        {**_run(record), "epoch": epoch.epoch, "split": split, **expert}
        for record, epoch, split, metrics in _curves(records)
        if metrics.gate_mass is not None
        for expert in _experts(metrics.gate_mass, metrics.load)
    )


def test_correct(record: Record[TrainNumbers]) -> np.ndarray:
    """Which test images (n,) the run classifies rightly, decoded from the record's bits."""
    packed = np.frombuffer(bytes.fromhex(record.numbers.test_correct), dtype=np.uint8)
    return np.unpackbits(packed, count=record.numbers.images["test"]).astype(bool)


test_correct.__test__ = False  # a function of frames, and not one of pytest's


def _curves(records: Trained):
    for record in records:
        for epoch in record.numbers.epochs:
            yield record, epoch, "train", epoch.train
            yield record, epoch, "validation", epoch.validation


# -- accuracy: intervals and comparisons ----------------------------------------------------------


def accuracy(records: Trained) -> pd.DataFrame:
    """One row per head: mean test accuracy, deviation, number of seeds, and a 95 % interval.

    Over two or more seeds it is the t-interval of their accuracies; with one seed it is Wilson's,
    over test images, and says nothing about other seeds.
    """
    records = list(records)
    rows = []
    for study, head in _heads(records):
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
    values = finals(records)
    if values.empty:
        return values
    reference = values[values["head"] == REFERENCE][["study", "seed", "test_accuracy"]]
    paired = values[values["head"] != REFERENCE].merge(
        reference, on=["study", "seed"], suffixes=("", "_reference")
    )
    paired["difference"] = paired["test_accuracy"] - paired["test_accuracy_reference"]
    return paired[["study", "head", "seed", "difference"]]


def differences(records: Trained) -> pd.DataFrame:
    """One row per head that has two or more seeds paired with the dense head's, with a verdict.

    The t-interval is over the differences by seed: the runs of one seed share initial backbone,
    batch order and augmentation, if the protocol pairs them.
    """
    rows = []
    paired = seed_differences(records)
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


def image_comparisons(records: Trained) -> pd.DataFrame:
    """One row per run paired with a dense run: the exact McNemar test over the same test images.

    It compares two trained nets, and cannot tell a better head from a luckier seed.
    """
    records = list(records)
    reference = {(r.study.name, r.seed): r for r in records if r.head == REFERENCE}
    rows = []
    for record in records:
        dense = reference.get((record.study.name, record.seed))
        if record.head == REFERENCE or dense is None:
            continue
        test = exact_mcnemar(test_correct(record), test_correct(dense))
        rows.append(
            {
                **_run(record),
                "only_head_right": test.only_first,
                "only_dense_right": test.only_second,
                "difference": record.numbers.test.accuracy - dense.numbers.test.accuracy,
                "p_value": test.p_value,
            }
        )
    return pd.DataFrame(rows)


# -- utilization ----------------------------------------------------------------------------------


def usage_summary(records: Analysed) -> pd.DataFrame:
    """One row per run and split: balance, entropy, dead experts, mutual information, its null."""
    return pd.DataFrame(
        {
            **_run(record),
            "split": split,
            "epoch": record.numbers.epoch,
            "gate_mass_variation": usage.gate_mass_variation,
            "load_variation": usage.load_variation,
            "entropy": usage.entropy,
            "entropy_bound": usage.entropy_bound,
            "dead_experts": len(usage.dead),
            "epochs_with_dead": sum(dead > 0 for dead in record.numbers.dead_per_epoch),
            "information": usage.information.value,
            "information_bound": usage.information.bound,
            "null_mean": usage.information.null_mean,
            "null_95": usage.information.null_95,
            "p_value": usage.information.p_value,
        }
        for record, split, usage in _splits(records)
    )


def expert_usage(records: Analysed) -> pd.DataFrame:
    """One row per run, split and expert: its shares of gate mass and of selections."""
    return pd.DataFrame(
        {**_run(record), "split": split, **expert}
        for record, split, usage in _splits(records)
        for expert in _experts(usage.gate_mass, usage.load)
    )


def class_expert(records: Analysed, split: str = "test") -> pd.DataFrame:
    """One row per run, class and expert: the expert's share of the class's gate mass."""
    return pd.DataFrame(
        {**_run(record), "class": c, "expert": e, "share": value}
        for record, name, usage in _splits(records)
        if name == split
        for c, row in enumerate(usage.class_expert)
        if row is not None
        for e, value in enumerate(_shares(row))
    )


def _splits(records: Analysed):
    for record in records:
        yield record, "train", record.numbers.train
        yield record, "test", record.numbers.test


def _experts(gate_mass: Iterable[float], load: Iterable[float]):
    pairs = zip(_shares(gate_mass), _shares(load), strict=True)
    for e, (mass, selections) in enumerate(pairs):
        yield {"expert": e, "gate_mass": mass, "selections": selections}


def _shares(values: Iterable[float]) -> np.ndarray:
    # Gates of a switch head sum to less than 1, loads to k: as shares all are comparable with 1/E.
    values = np.asarray(values)
    return values / values.sum()


# -- speed ----------------------------------------------------------------------------------------


def speed(numbers: BenchmarkNumbers) -> pd.DataFrame:
    """One row per case of a benchmark: median times, and the quartiles of the paired ratios."""
    rows = []
    for case in numbers.cases:
        low, median, high = case.ratio_quartiles()
        rows.append(
            {
                "case": ", ".join(f"{key} {value}" for key, value in case.setting.items()),
                "unit": numbers.unit,
                "baseline": np.median(case.baseline),
                "candidate": np.median(case.candidate),
                "repeats": len(case.baseline),
                "ratio": median,
                "low": low,
                "high": high,
                "target": case.target_ratio,
            }
        )
    return pd.DataFrame(rows)


def durations(records: Trained) -> pd.DataFrame:
    """One row per run: the median time of an epoch, the whole training, and the machine."""
    return pd.DataFrame(
        {
            **_run(record),
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
    return _counted(
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
    return _counted(
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


def _counted(rows: Iterable[dict]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    return table.groupby(list(table.columns), sort=False).size().reset_index(name="records")


def _run(record: Record) -> dict:
    return {"study": record.study.name, "head": record.head, "seed": record.seed}


def _heads(records: list[Record]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((record.study.name, record.head) for record in records))
