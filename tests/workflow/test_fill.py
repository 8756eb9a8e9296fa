"""Filling a time with the runs of a study, without Snakemake or papermill."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moelib.records.benchmarks import SessionNumbers
from moelib.records.kinds import TrainNumbers, UtilizationNumbers
from moelib.records.record import read_record

CHECKOUT = Path(__file__).resolve().parents[2]

STUDY = """
description: two heads
data: {source: digits, test_share: 0.9}
backbone: {kind: small_resnet, widths: [4]}
heads: {dense: {hidden: 4}, switch: {hidden: 4}}
seeds: [3, 1]
protocol: corrected
training: {epochs: 1, schedule: {kind: onecycle}, precision: fp32}
analyses: {utilization: {permutations: 10}, sharpness: null, surface: null, efficiency: null}
"""


@pytest.fixture
def fill(tmp_path):
    """Run the script on the study; returns what it printed and its exit status."""
    study = tmp_path / "small.yaml"
    study.write_text(STUDY)

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, CHECKOUT / "workflow/fill", study, *arguments],
            env=os.environ | {"MOELIB_RESULTS": str(tmp_path / "results")},
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr, done.returncode

    return run


def test_all_heads_of_a_seed_come_before_the_next_and_a_session_is_recorded(fill, tmp_path):
    printed, status = fill("--minutes", "10")
    assert status == 0, printed
    results = tmp_path / "results" / "small"
    for seed in (3, 1):
        read_record(results / f"switch/seed-{seed}/utilization.json", UtilizationNumbers)
        read_record(results / f"dense/seed-{seed}/train.json", TrainNumbers)
    (path,) = (results / "sessions").iterdir()
    session = read_record(path, SessionNumbers)
    assert [(task.seed, task.head, *task.kinds) for task in session.numbers.tasks] == [
        (3, "dense", "train"),
        (3, "switch", "train"),
        (3, "switch", "utilization"),
        (1, "dense", "train"),
        (1, "switch", "train"),
        (1, "switch", "utilization"),
    ]
    assert all(task.succeeded for task in session.numbers.tasks)
    assert session.numbers.energy_joules is None  # a CPU tells none


def test_no_time_starts_nothing(fill, tmp_path):
    printed, status = fill("--minutes", "0")
    assert status == 0 and "0 jobs done, 6 left" in printed
    assert not (tmp_path / "results").exists()


def test_a_failure_is_told_and_its_analyses_are_not_started(fill, tmp_path):
    (tmp_path / "results" / "small" / "switch").mkdir(parents=True)
    (tmp_path / "results" / "small" / "switch" / "seed-3").mkdir()
    (tmp_path / "results" / "small" / "switch" / "seed-3" / "train.json").mkdir()  # in the way
    printed, status = fill("--minutes", "10", "--seeds", "3")
    assert status == 1
    assert "switch, seed 3: train: failed, see" in printed and "1 left" in printed
    assert not list((tmp_path / "results").glob("small/switch/seed-3/utilization.json"))


def test_a_seed_that_the_study_lacks_is_refused(fill, tmp_path):
    printed, status = fill("--minutes", "10", "--seeds", "0")
    assert status == 1 and "has no seed 0; its seeds are 3, 1." in printed
