"""All that was expected of departures is one family; what a device does alone."""

import numpy as np
import pandas as pd
import pytest

from moelib.report.ablations import departures
from moelib.report.ablations.contrasts import COSTLY, EXPECTED, HEADS, INFORMATION, SHARPER
from moelib.report.statistics.hypotheses import decisions

pytestmark = pytest.mark.usefixtures("results")


def test_every_hypothesis_has_one_place_in_the_family():
    assert len(set(EXPECTED)) == len(EXPECTED) == 28
    assert {c.measure for c in EXPECTED} == {
        *("test_accuracy", "information", "log_lambda_max", "log_trace")
    }


def test_parts_of_the_family_are_told_apart_by_place():
    rows = pd.DataFrame({"place": range(len(EXPECTED))})
    parts = [departures.part(rows, part) for part in (COSTLY, INFORMATION, SHARPER)]
    assert [len(part) for part in parts] == [1, 4, 8]
    assert [EXPECTED[place] for place in parts[0]["place"]] == [*COSTLY]


def test_without_records_nothing_is_judged():
    assert departures.judge_expected().empty


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, "supported"), (0.01, "contradicted"), (0.0025, "inconclusive")]
)
def test_a_device_is_judged_by_the_means_over_heads_of_a_seed(shift, verdict):
    noise = np.random.default_rng(0).normal(0, 3e-4, (len(HEADS), 5))
    accuracy = pd.DataFrame(
        (study, head, seed, 0.8 + moved * (shift + noise[rank, seed]))
        for study, moved in (("ablations", 0), ("protocol-corrected", 1))
        for rank, head in enumerate(HEADS)
        for seed in range(5)
    ).set_axis(["study", "head", "seed", "test_accuracy"], axis=1)
    part = departures.device_effect(accuracy)
    assert part.seeds == 5 and part.estimate == pytest.approx(shift + noise.mean())
    assert decisions([(part.p_for, part.p_against)])[0].verdict == verdict
    lacking = accuracy.drop(accuracy.index[-1])  # a seed without one of its heads
    assert departures.device_effect(lacking).seeds == 4
