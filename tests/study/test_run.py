"""Runs: their folders, streams and locks."""

import subprocess
import sys

import pytest
import torch
from prose import refusal
from tiny import tiny_run, tiny_study

from moelib.study.base import PROJECT, ConfigError
from moelib.study.reader import load_study
from moelib.study.run import open_run, results_root, runs
from moelib.training.seeding import reseed, seeded

SHARED = ("backbone", "order", "augmentation")


# -- which runs there are -----------------------------------------------------------------------


def test_a_run_lies_in_the_folder_of_its_study_head_and_seed(results):
    run = tiny_run("soft", 1)
    assert run.folder == results / "tiny" / "soft" / "seed-1"
    assert run.record_path("train") == run.folder / "train.json"


def test_results_lie_in_the_checkout_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("MOELIB_RESULTS", raising=False)
    assert results_root() == PROJECT / "results"


def test_runs_of_a_study_go_seed_by_seed():
    order = [(run.seed, run.head) for run in runs(load_study("quick"))]
    assert order[:5] == [(0, "dense"), (0, "soft"), (0, "sparse"), (0, "switch"), (1, "dense")]
    assert len(order) == 12


def test_a_run_has_the_study_with_its_own_head():
    run, whole = open_run("quick", "soft", 1), load_study("quick")
    assert (run.head, run.seed) == ("soft", 1)
    assert run.study.heads == {"soft": whole.heads["soft"]}
    assert run.study.model_copy(update={"heads": whole.heads}) == whole
    assert run in runs(whole)


def test_open_run_refuses_what_the_study_does_not_list():
    with refusal(ConfigError, "'quick'", "head 'sfot'", "dense, soft, sparse, switch"):
        open_run("quick", "sfot", 0)
    with refusal(ConfigError, "'quick'", "seed 7", "0, 1, 2"):
        open_run("quick", "soft", 7)


# -- streams ------------------------------------------------------------------------------------


def test_streams_are_stable():
    # Frozen: a change would give every published run other random numbers.
    assert tiny_run(seed=0).stream("order", 1) == 4_374_215_849_138_048_446
    assert tiny_run("switch", seed=1).stream("switch/noise", 3) == 2_660_348_712_693_540_627


def test_streams_differ_by_seed_name_and_index_and_fit_into_a_generator():
    seeds = [
        tiny_run(seed=seed).stream(name, index)
        for seed in (0, 1, 10)
        for name in ("order", "0/order", "soft/noise")
        for index in (0, 1, 11)
    ]
    assert len(set(seeds)) == len(seeds)
    for seed in seeds:
        assert torch.Generator().manual_seed(seed).initial_seed() == seed


@pytest.mark.parametrize("name", SHARED)
def test_heads_of_a_seed_share_streams(name):
    assert tiny_run("soft").paired_stream(name, 4) == tiny_run("dense").paired_stream(name, 4)
    assert tiny_run("soft").paired_stream(name) != tiny_run("soft", seed=1).paired_stream(name)


@pytest.mark.parametrize("name", ["order", "augmentation"])
def test_heads_share_no_streams_when_pairing_is_given_up(name):
    soft, dense = (tiny_run(head, protocol={"paired": False}) for head in ("soft", "dense"))
    assert soft.paired_stream(name, 4) != dense.paired_stream(name, 4)
    assert soft.stream("backbone") == dense.stream("backbone")


def test_seeding_for_a_while_leaves_the_default_generator_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1, torch.device("cpu")):
        first = torch.rand(2)
    assert torch.equal(torch.rand(3), expected)
    with pytest.raises(KeyError), seeded(1, torch.device("cpu")):
        assert torch.equal(torch.rand(2), first)
        raise KeyError
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), expected)


def test_reseeding_draws_what_a_seed_of_torch_draws_and_queues_nothing():
    torch.manual_seed(5)
    expected = torch.rand(3)
    queued = len(torch.cuda._queued_calls)
    reseed(5, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)
    assert len(torch.cuda._queued_calls) == queued  # `torch.manual_seed` adds a stack trace here


# -- locks --------------------------------------------------------------------------------------


def test_two_at_work_on_one_run_are_refused(results):
    run = tiny_run("soft")
    with run.locked():
        with refusal(ConfigError, "tiny/soft/seed-0", "train"), tiny_run("soft").locked():
            pass
        with tiny_run("dense").locked(), tiny_run("soft", seed=1).locked():
            pass  # others are free
    with run.locked():
        pass  # free again


def test_the_lock_is_given_back_after_an_exception(results):
    run = tiny_run()
    with pytest.raises(KeyError), run.locked():
        raise KeyError
    with run.locked():
        pass


def test_the_lock_of_another_process_holds_until_it_ends(results):
    run = tiny_run()
    run.folder.mkdir(parents=True)
    # The lock that `Run.locked` takes, without the seconds that importing torch needs.
    hold = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire()\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", hold, run.folder / ".train.lock"], **pipes
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        with refusal(ConfigError, "Another process", "tiny/sparse/seed-0"):
            with run.locked():
                pass
        other.kill()
    with run.locked():  # nobody has to remove a file
        pass


def test_a_folder_that_cannot_be_written_is_refused(results):
    results.parent.mkdir(exist_ok=True)
    results.write_text("a file, where a folder should be")
    with refusal(ConfigError, "Cannot write", results / "tiny/sparse/seed-0"):
        with tiny_run().locked():
            pass


def test_tiny_study_has_every_kind_of_head():
    assert len(tiny_study().heads) == 7
