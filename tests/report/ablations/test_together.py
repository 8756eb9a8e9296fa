"""All departures at once, and what they would make if they added up."""

import numpy as np
import pandas as pd
import pytest
import synthetic

from moelib.records.record import write_record
from moelib.report.ablations import together
from moelib.report.ablations.contrasts import DEPARTURES, Arm
from moelib.study.reader import load_study
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results", "closed")

SPARSE = {  # each departure of the sparse head is compared with the arm named in `DEPARTURES`
    "ablations": 0.700,
    "protocol-augment": 0.690,
    "protocol-evaluation-noise": 0.695,
    "protocol-load": 0.710,
    "protocol-logit-dropout": 0.705,
    "protocol-ties": 0.706,
    "ablations-as-run": 0.600,  # its device decides which run without departures is meant
}


def accuracy(head, **shares):
    rows = [(study, head, seed, share) for study, share in shares.items() for seed in (0, 1)]
    return pd.DataFrame(rows, columns=["study", "head", "seed", "test_accuracy"])


def write(study, head, shares):
    """Records of seeds of a study, of which shares of 1,000 test images are right."""
    for seed, share in enumerate(shares):
        run = Run(load_study(study), head, seed)
        right = np.arange(1000) < round(1000 * share)
        write_record(run.record_path("train"), synthetic.trained(run, right))


def test_each_departure_counts_once_from_the_arm_it_is_compared_with():
    summed = together.added_up(accuracy("sparse", **SPARSE))
    assert [*summed["head"]] == ["sparse", "sparse"] and [*summed["seed"]] == [0, 1]
    expected = 0.700 - 0.010 - 0.005 + 0.010 - 0.005 + 0.001
    assert summed["test_accuracy"].tolist() == pytest.approx([expected] * 2)


@pytest.mark.parametrize("missing", SPARSE)
def test_without_one_of_its_departures_a_head_has_no_sum(missing):
    rest = {study: share for study, share in SPARSE.items() if study != missing}
    assert together.added_up(accuracy("sparse", **rest)).empty


def test_the_sum_starts_from_the_run_of_the_device_of_all_at_once():
    here, there = accuracy("sparse", **SPARSE), accuracy("sparse", **{"protocol-corrected": 0.71})
    devices = pd.concat([here, there]).assign(device="one")
    assert together.added_up(devices)["test_accuracy"].tolist() == pytest.approx([0.691] * 2)
    moved = devices["study"].isin(["protocol-corrected", "ablations-as-run"])
    summed = together.added_up(devices.assign(device=np.where(moved, "two", "one")))
    assert summed["test_accuracy"].tolist() == pytest.approx([0.701] * 2)


def test_every_departure_is_of_a_head_that_is_summed():
    assert {contrast.arm.head for contrast in DEPARTURES} == set(together.HEADS)
    assert {contrast.reference for contrast in together.AT_ONCE} == {
        Arm("ablations", head) for head in together.HEADS
    }


def test_words_follow_the_numbers():
    noise = 0.001 * np.array([0, 1, 0, -1, 0])
    write("ablations", "dense", [0.70] * 5)
    write("protocol-augment", "dense", [0.69] * 5)
    assert "not measured" in together.answer()[0].data
    write("ablations-as-run", "dense", 0.691 + noise)
    text, chart = (part.data for part in together.answer())
    assert "dense is less accurate than" in text and "inconclusive" not in text
    assert "add up to this, give or take 1 point: supported for dense" in text
    assert ":::{chart}" in chart
    write("ablations-as-run", "dense", 0.800 + noise)
    text, _ = (part.data for part in together.answer())
    assert "dense is more accurate than" in text
    assert "add up to this, give or take 1 point: contradicted for dense" in text


def test_a_head_that_may_have_lost_or_gained_is_said_to_be_inconclusive():
    for study in ("ablations", "protocol-augment"):
        write(study, "dense", [0.70, 0.71, 0.69])
    write("ablations-as-run", "dense", [0.69, 0.72, 0.70])
    text, _ = (part.data for part in together.answer())
    assert "dense cannot be told apart from" in text and "inconclusive for dense" in text
