"""Accuracy as frames: of runs, over epochs, and of heads beside the dense one."""

from collections.abc import Mapping

import pandas as pd

from moelib.records.record import Record
from moelib.report import frames, paper
from moelib.report.comparisons import REFERENCE, beyond_reference, paired_runs
from moelib.report.effects import by_head
from moelib.report.frames import Trained, flat, run_columns, scalars, test_correct
from moelib.report.statistics.intervals import exact_mcnemar, t_interval, wilson_interval
from moelib.report.wording import seed_count


def finals(records: Trained) -> pd.DataFrame:
    """One row per run: what was tested, and how well it did."""
    return pd.DataFrame(
        {
            **run_columns(record),
            **scalars(record.numbers),
            "test_images": record.numbers.images["test"],
            "test_accuracy": record.numbers.test.accuracy,
            "test_loss": record.numbers.test.loss,
            "best_validation_accuracy": max(e.validation.accuracy for e in record.numbers.epochs),
            "last_train_accuracy": record.numbers.epochs[-1].train.accuracy,
            "seconds": record.provenance.wall_time_s,
            "device": record.provenance.device,
        }
        for record in records
    )


def epochs(records: Trained) -> pd.DataFrame:
    """One row per run, epoch and split (train, validation): loss, accuracy, entropy of the gate."""
    return pd.DataFrame(
        {**columns, "loss": metrics.loss, "accuracy": metrics.accuracy, "entropy": metrics.entropy}
        for columns, metrics in frames.epochs(records)
    )


def studies(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """One row per study: its net, its epochs, its seeds so far, and how accurate dense is there."""
    rows = []
    for study, (run, *others) in records.items():
        table = finals([run, *others])
        seeds = table.groupby("head").size()
        rows.append(
            {
                "study": study,
                "backbone": run.study.backbone.kind,
                "protocol": run.study.protocol.base,
                "total": run.numbers.total_parameters / 1e6,
                "epochs": run.study.training.epochs,
                "done": seed_count(seeds.min(), seeds.max(), len(run.study.seeds)),
                "accuracy": table["test_accuracy"][table["head"] == REFERENCE].mean(),
            }
        )
    return pd.DataFrame(rows)


def means(records: Trained) -> pd.DataFrame:
    """One row per head: mean test accuracy, deviation, number of seeds, and a 95 % interval.

    Over two or more seeds it is the t-interval of their accuracies; with one seed it is Wilson's,
    over test images, and says nothing about other seeds.
    """
    rows = []
    for (study, head), runs in finals(records).groupby(["study", "head"], sort=False):
        accuracy, images = runs["test_accuracy"], runs["test_images"].iloc[0]
        interval, over = (
            (t_interval(accuracy), "seeds")
            if len(runs) > 1
            else (wilson_interval(round(accuracy.iloc[0] * images), images), "test images")
        )
        rows.append((study, head, len(runs), *interval, accuracy.std(), over))
    names = ["study", "head", "seeds", "mean", "low", "high", "deviation", "interval_over"]
    return pd.DataFrame(rows, columns=names)


def seed_differences(records: Trained) -> pd.DataFrame:
    """One row per run with a dense run of its study and seed: accuracy minus the dense one's.

    The runs of one seed share initial backbone, batch order and augmentation, if the protocol pairs
    them.
    """
    return beyond_reference(finals(records), "test_accuracy")


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


def effects(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """Test accuracy minus that of the dense head, in points, paired by seed."""
    quoted = paper.beyond_dense(paper.TEST_ACCURACY)
    return by_head(seed_differences(flat(records)), "difference", quoted, scale=100)
