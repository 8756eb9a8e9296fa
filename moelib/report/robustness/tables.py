"""Records of robustness as frames: corrupted images, calibration, agreement between runs."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd

from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.records.reliability import RobustnessNumbers
from moelib.report.comparisons import paired_runs
from moelib.report.frames import RUN, Sharp, of_split, run_columns, run_of, scalars, test_correct
from moelib.report.sharpness import tables as sharpness_tables
from moelib.report.statistics import association

Robust = Iterable[Record[RobustnessNumbers]]
MEASURES = {  # of sharpness, on training images
    "lambda_max": "Largest eigenvalue",
    "trace": "Trace",
    "matched_trace": "Trace at matched loss",
    "adaptive_max": "Largest eigenvalue, adaptive",
    "average_rise": "Average-case adaptive sharpness",
}
OUTCOMES = {
    "accuracy": "Accuracy",
    "corruption_error": "Error on corrupted images",
    "tempered_ece": "Calibration error at one temperature",
    "brier": "Brier score",
}
SAME_HEAD, SAME_SEED, NEITHER = "same head", "same seed", "neither"


def strengths(records: Robust) -> pd.DataFrame:
    """One row per run, corruption and strength: accuracy, loss, Brier score, calibration error.

    Strength 0 is the same images before they are corrupted.
    """
    return pd.DataFrame(
        {**run_columns(record), "corruption": name, "strength": level, **scores.model_dump()}
        for record in records
        for name, level, scores in _cells(record.numbers)
    )


def _cells(numbers: RobustnessNumbers):
    for name in dict.fromkeys(cell.corruption for cell in numbers.corrupted):
        yield name, 0, numbers.uncorrupted
    for cell in numbers.corrupted:
        yield cell.corruption, cell.strength, cell.reliability


def summary(records: Robust) -> pd.DataFrame:
    """One row per run, in the units of the record.

    `corruption_error` is the mean over corruptions of the mean error over strengths, and
    `lost_accuracy` how far that is above the error on the same images before. `tempered_ece` is the
    calibration error at the temperature that suits validation images: what label smoothing and
    training length shift for all heads alike is taken out of it.
    """
    return pd.DataFrame(
        {
            **run_columns(record),
            **scalars(numbers),
            **scalars(numbers.clean),
            "tempered_ece": numbers.tempered.ece,
            "corruption_error": (error := _errors(numbers).mean()),
            "lost_accuracy": error - (1 - numbers.uncorrupted.accuracy),
            "corrupted_ece": np.mean([cell.reliability.ece for cell in numbers.corrupted]),
        }
        for record in records
        for numbers in [record.numbers]
    )


def relative_errors(records: Robust) -> pd.DataFrame:
    """One row per run with a dense run of its study and seed: mean corruption error over it.

    mCE = mean over corruptions of sum_s error_s / sum_s error_s of the dense head (Hendrycks and
    Dietterich 2019, with it in the place of AlexNet): 1 is as robust as dense.
    """
    return pd.DataFrame(
        (
            (*run_of(one), (_errors(one.numbers) / _errors(other.numbers)).mean())
            for one, other in paired_runs(records)
        ),
        columns=[*RUN, "relative_error"],
    )


def _errors(numbers: RobustnessNumbers) -> pd.Series:
    """The mean error over strengths, by corruption."""
    cells = pd.DataFrame(
        {"corruption": cell.corruption, "error": 1 - cell.reliability.accuracy}
        for cell in numbers.corrupted
    )
    return cells.groupby("corruption", sort=False)["error"].mean()


def predictions(record: Record[RobustnessNumbers], images: int) -> np.ndarray:
    """The predicted class of each of so many test images (n,), decoded from the record."""
    text = record.numbers.predicted
    digits, rest = divmod(len(text), images)
    if rest or not digits:
        raise ValueError(f"{len(text)} digits cannot be the classes of {images} images.")
    return np.array([int(text[i : i + digits], 16) for i in range(0, len(text), digits)])


def associations(records: Robust, sharp: Sharp) -> pd.DataFrame:
    """One row per study, measure of sharpness and outcome that its runs have: how they go together.

    The columns are those of `association.associations`.
    """
    curvature = of_split(sharpness_tables.curvature(sharp), "train")
    runs = summary(records)
    if len(curvature) and len(runs):
        runs = runs.merge(curvature[[*RUN, *MEASURES]], on=RUN)
        return association.associations(runs, MEASURES, OUTCOMES)
    return pd.DataFrame(columns=association.COLUMNS)


def agreement(records: Robust, trained: Iterable[Record[TrainNumbers]]) -> pd.DataFrame:
    """One row per pair of runs of a study: on which test images they predict the same.

    `agreement` is the share of all images with the same predicted class. `equal_errors` is, of the
    images that at least one gets wrong, the share on which both give the same wrong class. `shared`
    says what the two have in common: their head, their seed (and so the initial backbone, the
    batches and the augmentation), or neither.
    """
    right = {run_of(record): test_correct(record) for record in trained}
    runs = [
        (record, right[run], predictions(record, len(right[run])))
        for record in records
        if (run := run_of(record)) in right
    ]
    rows = []
    for (first, one, ours), (second, other, theirs) in combinations(runs, 2):
        if first.study.name != second.study.name:
            continue
        same, wrong = ours == theirs, ~(one & other)  # (n,)
        unlike = SAME_SEED if first.seed == second.seed else NEITHER
        rows.append(
            {
                "study": first.study.name,
                "first": first.head,
                "second": second.head,
                "seeds": (first.seed, second.seed),
                "shared": SAME_HEAD if first.head == second.head else unlike,
                "agreement": same.mean(),
                "equal_errors": (same & wrong).sum() / wrong.sum() if wrong.any() else np.nan,
            }
        )
    return pd.DataFrame(rows)
