"""Trained runs, opened: the format, the gate's noise, and the images that all runs share."""

import pytest
import torch
from prose import refusal
from tiny import tiny_dataset, tiny_run

from moelib.analyses.trained import opened, subset
from moelib.study.base import ConfigError
from moelib.training.evaluate import predict
from moelib.training.train import ensure_trained, train

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh(results):
    return results


# -- opened -------------------------------------------------------------------------------------


def test_an_exact_analysis_is_in_float32_whatever_the_training_used(dataset):
    run = tiny_run("linear", epochs=1, precision="bf16")
    train(run, dataset)
    with opened(run, "analysis", dataset) as trained:
        assert trained.training.precision == "bf16"
    with opened(run, "analysis", dataset, exact=True) as trained:
        assert trained.training.precision == "fp32"
        assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
        assert trained.record.study.training.precision == "bf16"
        assert trained.run.study == trained.record.study


@pytest.mark.parametrize("protocol", ["corrected", "as-run"])
@pytest.mark.parametrize("head", ["sparse", "soft", "dense"])
def test_gate_noise_is_removed_where_there_is_some_and_only_when_exact(dataset, head, protocol):
    run = tiny_run(head, epochs=1, protocol=protocol)
    train(run, dataset)
    noisy = head == "sparse" and protocol == "as-run"

    def repeats(trained) -> bool:
        first, second = (predict(trained.model, dataset.test, dataset)[0] for _ in range(2))
        return torch.equal(first, second)

    with opened(run, "analysis", dataset) as trained:
        assert not trained.gate_noise_removed
        assert repeats(trained) is not noisy
        weights = trained.model.state_dict()
    with opened(run, "analysis", dataset, exact=True) as trained:
        assert trained.gate_noise_removed is noisy
        assert repeats(trained)
        assert trained.run.study == run.study  # a record says what was trained
        for name, tensor in trained.model.state_dict().items():
            assert torch.equal(tensor, weights[name])


# -- subset -------------------------------------------------------------------------------------


def test_a_subset_is_the_beginning_of_the_permutation_of_its_seed(dataset):
    order = torch.randperm(112, generator=torch.Generator().manual_seed(42))
    torch.manual_seed(7)  # of no influence
    small, large = (subset(dataset, "train", count, seed=42) for count in (10, 112))
    assert torch.equal(large.images, dataset.train.images[order])
    assert torch.equal(large.labels, dataset.train.labels[order])
    assert torch.equal(small.images, large.images[:10]) and len(small) == 10
    assert not torch.equal(small.images, subset(dataset, "train", 10, seed=43).images)


def test_more_images_than_there_are_are_refused():
    dataset = tiny_dataset(train=8, held_out=4)
    with refusal(ConfigError, "analyses.*.images is 5", "test", 4):
        subset(dataset, "test", 5, seed=0)


def test_two_analyses_of_one_run_can_be_made_at_the_same_time(results):
    run, dataset = tiny_run("dense"), tiny_dataset()
    train(run, dataset)
    with opened(run, "sharpness", dataset), opened(run, "surface", dataset):
        with refusal(ConfigError, "tiny/dense/seed-0: surface"):
            with opened(run, "surface", dataset):
                pass


def test_who_asks_for_a_finished_run_leaves_its_record_alone(results):
    run, dataset = tiny_run("dense"), tiny_dataset()
    record = ensure_trained(run, dataset)
    time = run.record_path("train").stat().st_mtime_ns
    with run.locked():
        assert ensure_trained(run, dataset) == record
    assert run.record_path("train").stat().st_mtime_ns == time
