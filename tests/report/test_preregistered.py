"""Hypotheses written beforehand and the chapter beyond the test split, without records too."""

import numpy as np
import pytest
import robust
import synthetic

from moelib.records.record import write_record
from moelib.report import beyond, preregistered
from moelib.study.reader import load_study
from moelib.study.run import Run


@pytest.fixture(autouse=True)
def fresh(results):
    return results


def text(shown):
    return "\n".join(part.data for part in shown)


def write(study, head, shares, kind="train"):
    """Records of the first seeds of a study, of which shares of 1,000 test images are right."""
    for seed, share in zip(load_study(study).seeds, shares, strict=False):
        run = Run(load_study(study), head, seed)
        right = np.arange(1000) < round(1000 * share)
        write_record(run.record_path("train"), synthetic.trained(run, right))


# -- hypotheses ----------------------------------------------------------------------------------


def test_without_records_the_chapters_say_so_and_name_the_command():
    assert "`make study STUDY=weak-backbone`" in text(preregistered.weak_backbone())
    said = text(preregistered.departures())
    assert "`make study STUDY=protocol-augment`" in said and "No records are here" in said
    assert preregistered.departures_in_use() == []


def test_what_the_head_can_do_is_told_by_the_numbers():
    write("weak-backbone", "linear", [0.600, 0.602, 0.601])
    write("weak-backbone", "dense", [0.650, 0.651, 0.653])
    write("weak-backbone", "sparse", [0.649, 0.652, 0.652])
    said = text(preregistered.weak_backbone())
    assert "The head has something to do here: dense is +5.03 points above linear." in said
    assert "**Hypotheses written beforehand: 0 supported, 0 contradicted, 1 inconclusive.**" in said
    assert ":::{chart}" in said and "Do experts pay at equal parameters?" in said


def test_a_departure_is_told_with_the_noise_floor_and_the_checkpoints():
    base = np.array([0.80, 0.81, 0.82, 0.80, 0.81])
    write("ablations", "dense", base)
    write("protocol-augment", "dense", base - [0.03, 0.031, 0.029, 0.03, 0.03])
    write("protocol-unpaired", "dense", base + [0.01, -0.01, 0.01, -0.01, 0])
    said = text(preregistered.departures())
    assert "1 supported, 0 contradicted, 0 inconclusive" in said
    assert "10 contrasts have no records yet." in said
    assert "by a standard deviation of 1.00 points" in said
    assert "in 15 of 15 runs the epoch" in said


def test_changes_of_use_and_curvature_are_tabled():
    for study, gates in (("ablations", (0.25,) * 4), ("protocol-kl", (0.4, 0.2, 0.2, 0.2))):
        for seed, scale in ((0, 1.0), (1, 1.1)):
            run = Run(load_study(study), "soft", seed)
            write_record(run.record_path("utilization"), synthetic.analysed(run, gates))
            found = synthetic.sharp(run, 2 * scale, 60 * scale)
            write_record(run.record_path("sharpness"), found)
    said = text(preregistered.departures_in_use())
    assert "Variation of gate mass over experts" in said and "0.346" in said  # std / mean of gates
    assert "Logarithm of the trace" in said and "reversed KL" in said


# -- beyond the test split ------------------------------------------------------------------------


def write_robust(losses, sharp=True):
    study = synthetic.study("paper")
    for head, loss in losses.items():
        for seed in study.seeds:
            run = Run(study, head, seed)
            write_record(run.record_path("train"), synthetic.trained(run))
            record = robust.robust(run, loss * (1 + seed / 50))
            write_record(run.record_path("robustness"), record)
            if sharp:
                found = synthetic.sharp(run, 1 + seed + 10 * loss, 30.0)
                write_record(run.record_path("sharpness"), found)


def test_without_records_of_robustness_the_page_says_so():
    for part in (beyond.corruptions, beyond.calibration, beyond.agreement):
        assert "No study with such records" in text(part(["paper"]))
    assert "No study here has at least four runs" in text(beyond.predictions(["paper"]))


def test_the_less_robust_head_is_named():
    write_robust({"dense": 0.1, "soft": 0.2, "sparse": 0.1})
    said = text(beyond.corruptions(["paper"]))
    assert "soft is less robust than dense" in said
    assert "sparse is not told apart from dense" in said
    assert said.count(":::{chart}") == 2 and "points of accuracy on average, of 20 test" in said


def test_calibration_and_agreement_are_tabled():
    write_robust({"dense": 0.1, "soft": 0.2}, sharp=False)
    said = text(beyond.calibration(["paper"]))
    assert "soft is not told apart from dense" in said and "| paper | dense | 3 | 0.9000" in said
    said = text(beyond.agreement(["paper"]))
    assert "two seeds of one head on" in said and "| same head | 6 |" in said


def test_sharpness_that_orders_seeds_as_errors_do_is_found_in_every_head():
    write_robust({"dense": 0.1, "soft": 0.2, "sparse": 0.3})
    said = text(beyond.predictions(["paper"]))
    assert "pairs of a measure of sharpness and an outcome" in said
    assert "| paper | Largest eigenvalue | Error on corrupted images | 9 |" in said
