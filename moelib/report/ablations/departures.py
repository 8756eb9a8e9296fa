"""The departures of the authors' code, one at a time: all that was expected of them, as one family.

The hypotheses are those of `studies/protocol-augment.yaml`; that on the device is of
`studies/protocol-corrected.yaml`. Both were written before any of their runs.
"""

import numpy as np
import pandas as pd

from moelib.records.kinds import SharpnessNumbers, TrainNumbers, UtilizationNumbers
from moelib.report.ablations import contrasts
from moelib.report.ablations.contrasts import EXPECTED, HEADS, MATTERS, REPEATED, Contrast
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.frames import RUN, of_split
from moelib.report.sharpness import tables as sharpness_tables
from moelib.report.statistics import hypotheses
from moelib.report.statistics.hypotheses import WITHIN, Evidence
from moelib.report.utilization import tables as utilization_tables

DEVICE_MATTERS = 0.0025  # of accuracy, half of what matters of a departure


def measures() -> pd.DataFrame:
    """One row per run: accuracy and device, information, logarithms of curvature on test images."""
    accuracy = accuracy_tables.finals(contrasts.load(EXPECTED, TrainNumbers))
    usage = utilization_tables.on_test(contrasts.load(EXPECTED, UtilizationNumbers))
    sharp = of_split(sharpness_tables.curvature(contrasts.load(EXPECTED, SharpnessNumbers)), "test")
    if len(sharp):
        sharp = sharp.assign(
            log_lambda_max=np.log(sharp["lambda_max"]), log_trace=np.log(sharp["trace"])
        )
    frames = [
        (accuracy, ["test_accuracy", "device"]),
        (usage, ["information"]),
        (sharp, ["log_lambda_max", "log_trace"]),
    ]
    values = pd.DataFrame(columns=RUN)
    for frame, columns in frames:
        if len(frame):
            values = values.merge(frame[[*RUN, *columns]], on=RUN, how="outer")
    return values


def judge_expected() -> pd.DataFrame:
    """The verdicts on all that was expected, as `contrasts.judge` has them for one family."""
    return contrasts.judge(EXPECTED, measures(), MATTERS)


def part(rows: pd.DataFrame, contrasted: tuple[Contrast, ...]) -> pd.DataFrame:
    """Of the rows of `judge_expected` those of a part of the family."""
    places = {EXPECTED.index(contrast) for contrast in contrasted}
    return rows[rows.index.isin(places)]


def device_effect(accuracy: pd.DataFrame) -> Evidence:
    """Whether another kind of device moves accuracy, where nothing else is changed.

    Differences are means over the heads of a seed, one number for each seed.

    Args:
        accuracy: one row per run, with columns study, head, seed and test_accuracy.
    """
    ((own, repeat),) = REPEATED.items()
    runs = accuracy.pivot_table("test_accuracy", ["head", "seed"], "study")
    both = runs.reindex(columns=[own, repeat]).dropna()
    by_seed = (both[repeat] - both[own]).loc[both.index.isin(HEADS, level="head")]
    complete = by_seed.groupby("seed").filter(lambda heads: len(heads) == len(HEADS))
    means = complete.groupby("seed").mean()
    return hypotheses.over_seeds("device", means, WITHIN, DEVICE_MATTERS)
