"""Filling a time with the runs of a study, without Snakemake or papermill."""

import runpy
import subprocess
import sys
from types import SimpleNamespace

import pytest
from prose import refusal

from moelib.records.benchmarks import SessionNumbers
from moelib.records.kinds import TrainNumbers, UtilizationNumbers
from moelib.records.record import read_record, write_record
from moelib.study.base import PROJECT, ConfigError

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
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("MOELIB_RESULTS", str(tmp_path / "results"))
    path = tmp_path / "small.yaml"
    path.write_text(STUDY)
    return str(path)


@pytest.fixture
def fill(study, capsys):
    """The script on the study, with jobs that end at once; `broken` names those that fail.

    A job writes its records, though empty ones, unless they are there.
    """
    script = SimpleNamespace(**runpy.run_path(str(PROJECT / "workflow/fill")))
    started = []

    def begin(job, moment):
        started.append((job.run.seed, job.run.head, *job.kinds))
        fails = (job.run.head, job.kinds[0]) in run.broken
        job.process, job.start = subprocess.Popen(["false" if fails else "true"]), moment
        for path in map(job.run.record_path, job.kinds):
            if not (fails or path.exists()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()

    def run(minutes, workers=1, seeds=None, **options):
        started.clear()
        with pytest.raises(SystemExit) as end:
            script.main(study, minutes, workers, seeds, **options)
        return capsys.readouterr().out, int(end.value.code), [*started]

    script.Job.begin = begin
    run.broken = ()
    return run


def sessions(tmp_path):
    return sorted((tmp_path / "results" / "small" / "sessions").iterdir())


def test_one_run_is_made_for_real(study, tmp_path):
    command = [sys.executable, PROJECT / "workflow/fill", study, "--minutes", "10", "--seeds", "1"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    folder = tmp_path / "results" / "small"
    read_record(folder / "switch/seed-1/utilization.json", UtilizationNumbers)
    read_record(folder / "dense/seed-1/train.json", TrainNumbers)
    (path,) = sessions(tmp_path)
    numbers = read_record(path, SessionNumbers).numbers
    assert all(task.succeeded and task.seed == 1 for task in numbers.tasks)
    assert numbers.energy_joules is None  # a CPU tells none


@pytest.mark.parametrize("workers", [1, 3])
def test_all_heads_of_a_seed_come_before_the_next(fill, workers):
    _, status, started = fill(10, workers)
    assert status == 0
    seeds = [seed for seed, _, kind in started if kind == "train"]
    assert seeds == [3, 3, 1, 1]
    assert {(s, h, k) for s, h, k in started if k != "train"} == {
        (3, "switch", "utilization"),
        (1, "switch", "utilization"),
    }
    for seed in (3, 1):
        runs = [entry for entry in started if entry[0] == seed and entry[1] == "switch"]
        assert [kind for *_, kind in runs] == ["train", "utilization"]


def test_only_the_asked_heads_and_kinds_are_made(fill):
    *_, started = fill(10, seeds=[3], heads=["switch"], kinds=["sharpness"])
    assert started == [(3, "switch", "train")]
    *_, started = fill(10, seeds=[3], heads=["switch"], kinds=["utilization"])
    assert started == [(3, "switch", "train"), (3, "switch", "utilization")]


def test_no_time_starts_nothing(fill, tmp_path):
    output, status, started = fill(0)
    assert status == 0 and not started and "0 jobs done, 6 left" in output
    assert not (tmp_path / "results").exists()


def test_a_failure_is_told_and_its_analyses_are_not_started(fill):
    fill.broken = (("switch", "train"),)
    output, status, started = fill(10, seeds=[3])
    assert status == 1
    assert "switch, seed 3: train: failed, see" in output and "1 left" in output
    assert (3, "switch", "utilization") not in started


def test_no_job_is_started_that_recorded_sessions_show_to_take_too_long(fill, tmp_path):
    fill(10, seeds=[3])
    (path,) = sessions(tmp_path)
    session = read_record(path, SessionNumbers)
    slow = [task.model_copy(update={"end_s": task.end_s + 3600}) for task in session.numbers.tasks]
    numbers = session.numbers.model_copy(update={"tasks": tuple(slow)})
    write_record(path, session.model_copy(update={"numbers": numbers}))
    output, status, started = fill(10, seeds=[1])
    assert status == 0 and not started and "0 jobs done, 3 left" in output
    there = session.provenance.model_copy(update={"device": "a slower machine"})
    write_record(path, session.model_copy(update={"numbers": numbers, "provenance": there}))
    *_, started = fill(10, seeds=[1])
    assert started


def test_a_session_in_which_all_was_done_before_is_not_recorded(fill, tmp_path):
    fill(10, seeds=[3])
    output, status, started = fill(10, seeds=[3])
    assert status == 0 and len(started) == 3 and "3 jobs done" in output
    (path,) = sessions(tmp_path)
    assert len(read_record(path, SessionNumbers).numbers.tasks) == 3


def test_a_seed_that_the_study_lacks_is_refused(study):
    script = SimpleNamespace(**runpy.run_path(str(PROJECT / "workflow/fill")))
    with refusal(ConfigError, "seed 0", "3, 1"):
        script.main(study, 10, 1, [0])
