"""Contrasts of the ablations: paired differences, a fixed family, and the studies they name."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from moelib.report.ablations.contrasts import (
    DEPARTURES,
    SOMETHING_TO_DO,
    UNPAIRED,
    WEAK,
    Arm,
    Contrast,
    changes,
    judge,
    paired_differences,
    studies,
)
from moelib.study.reader import load_study

ABOVE = Contrast("pays?", Arm("one", "soft"), Arm("one", "dense"), "above", 0.005)
WITHIN = Contrast("changed?", Arm("two", "soft"), Arm("one", "soft"), "within", 0.005)


def values(**accuracies):
    """`one_soft=[...]`: the accuracy of each seed of that head of that study."""
    rows = [
        {
            "study": name.split("_")[0],
            "head": name.split("_")[1],
            "seed": seed,
            "test_accuracy": value,
        }
        for name, by_seed in accuracies.items()
        for seed, value in enumerate(by_seed)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("contrast", [SOMETHING_TO_DO, *WEAK, *DEPARTURES, *UNPAIRED])
def test_both_arms_are_of_their_studies(contrast):
    for arm in (contrast.arm, contrast.reference):
        assert arm.head in load_study(arm.study).heads
    assert contrast.arm != contrast.reference


def test_every_departure_study_is_contrasted_with_an_arm():
    names = {contrast.arm.study for contrast in (*DEPARTURES, *UNPAIRED)}
    heads = {(contrast.arm.study, contrast.arm.head) for contrast in (*DEPARTURES, *UNPAIRED)}
    assert heads == {(name, head) for name in names for head in load_study(name).heads}


def test_only_seeds_that_both_arms_have_are_paired():
    frame = values(one_dense=[0.5, 0.6, 0.7], one_soft=[0.6, 0.8])
    differences = paired_differences(ABOVE, frame)
    assert differences.tolist() == pytest.approx([0.1, 0.2])


def test_an_arm_meets_the_repeat_of_its_reference_on_its_own_device():
    arm, base = Arm("protocol-kl", "soft"), Arm("ablations", "soft")
    contrast = Contrast("changed?", arm, base, "within", 0.005)
    frame = pd.DataFrame(
        [
            ("protocol-kl", "soft", 0, "two", 0.9),  # its reference ran elsewhere, the repeat here
            ("protocol-kl", "soft", 1, "one", 0.9),
            ("protocol-kl", "soft", 2, "two", 0.9),  # nothing ran here
            ("protocol-kl", "soft", 3, "two", 0.9),  # has no partner
            *(("ablations", "soft", seed, "one", 0.8) for seed in (0, 1, 2)),
            *(("protocol-corrected", "soft", seed, "two", 0.7) for seed in (0, 1)),
        ],
        columns=["study", "head", "seed", "device", "test_accuracy"],
    )
    differences = paired_differences(contrast, frame)
    assert differences.to_dict() == pytest.approx({0: 0.2, 1: 0.1, 2: 0.1})
    within = contrast._replace(arm=Arm("ablations", "soft"), reference=Arm("ablations", "dense"))
    assert "protocol-corrected" in studies([contrast]) and studies([within]) == ["ablations"]


def test_each_hypothesis_of_a_family_has_its_own_measure():
    frame = values(one_dense=[0.5] * 3, one_soft=[0.6, 0.7, 0.6]).assign(nats=[1.0] * 3 + [2.0] * 3)
    first, second = ABOVE, ABOVE._replace(measure="nats", threshold=0.0)
    rows = judge([first, second], frame, negligible=0.005)
    assert rows["difference"].tolist() == pytest.approx([0.4 / 3, 1.0]) and [*rows.index] == [0, 1]
    assert judge([WITHIN, second], frame).index.tolist() == [1]  # the place in the family stays


def test_the_p_value_is_twice_the_smaller_one_sided_one_and_corrected_for_all():
    soft = np.array([0.52, 0.53, 0.55, 0.51, 0.54])
    frame = values(one_dense=[0.5] * 5, one_soft=soft)
    (row,) = judge([ABOVE, WITHIN], frame).to_dict("records")
    p = stats.ttest_1samp(soft - 0.5, 0.005, alternative="greater").pvalue
    assert row["p_value"] == pytest.approx(2 * p)
    assert row["adjusted"] == pytest.approx(min(1, 4 * p))  # the other has no runs, and counts
    assert row["verdict"] == "supported" and row["seeds"] == 5
    assert row["hypothesis"] == "above +0.5 points" and row["against"] == "dense"


def test_verdicts_for_against_and_neither():
    spread = np.array([-0.001, 0.0, 0.001, -0.0005, 0.0005])
    base = np.full(5, 0.8)
    cases = {"supported": 0.0, "contradicted": 0.03, "inconclusive": 0.0048}
    for expected, shift in cases.items():
        frame = values(one_soft=base, two_soft=base + shift + spread)
        assert judge([WITHIN], frame)["verdict"].tolist() == [expected]
    (row,) = judge([WITHIN], frame).to_dict("records")
    assert row["against"] == "one" and row["hypothesis"] == "within 0.5 points"


def test_one_seed_decides_nothing():
    frame = values(one_dense=[0.5], one_soft=[0.9])
    (row,) = judge([ABOVE], frame).to_dict("records")
    assert row["verdict"] == "inconclusive" and row["adjusted"] == 1
    assert row["difference"] == pytest.approx(0.4) and np.isnan(row["low"])


def test_without_runs_there_are_no_rows():
    assert judge([ABOVE], pd.DataFrame()).empty
    assert judge([ABOVE], values(one_dense=[0.5])).empty


def test_changes_are_means_with_their_interval_by_split():
    frame = values(one_soft=[1.0, 2.0, 3.0], two_soft=[2.0, 3.0, 5.0]).assign(split="test")
    (row,) = changes([WITHIN], frame, "test_accuracy").to_dict("records")
    assert row["change"] == pytest.approx(4 / 3) and row["seeds"] == 3 and row["split"] == "test"
    assert row["low"] < row["change"] < row["high"]
    assert changes([WITHIN], frame.head(4), "test_accuracy").empty  # one pair alone


def test_the_studies_that_contrasts_need():
    assert studies([ABOVE, WITHIN]) == ["one", "two"]
