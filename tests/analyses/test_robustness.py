"""Robustness: the record against the model's own predictions, and what makes it stale."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from prose import refusal
from synthetic import recorded
from tiny import tiny_dataset, tiny_run

from moelib.analyses.calibration import reliability
from moelib.analyses.corruptions import corrupted
from moelib.analyses.robustness import analyse_robustness, packed
from moelib.analyses.trained import opened, subset
from moelib.records.record import read_record
from moelib.records.reliability import RobustnessNumbers
from moelib.study.analyses import Analyses, Robustness
from moelib.study.base import ConfigError
from moelib.training.data import Split
from moelib.training.evaluate import predict
from moelib.training.train import train

pytestmark = pytest.mark.slow

SIZES = Robustness(images=12, corruptions=("jpeg", "gaussian_noise"), strengths=(1, 5))


@pytest.fixture(autouse=True)
def fresh(results):
    return results


def run_with(sizes, head="sparse", **changes):
    run = tiny_run(head, **changes)
    analyses = Analyses(utilization=None, sharpness=None, surface=None, robustness=sizes)
    return replace(run, study=run.study.model_copy(update={"analyses": analyses}))


def test_the_record_is_of_the_models_own_predictions():
    run, dataset = run_with(SIZES), tiny_dataset()
    trained = train(run, dataset)
    numbers = analyse_robustness(run, dataset).numbers
    with opened(run, "check", dataset) as model:
        clean, _ = predict(model.model, dataset.test, dataset)
        sample = subset(dataset, "test", 12, run.study.data.split_seed)
        images = torch.from_numpy(corrupted(sample.images.numpy(), "gaussian_noise", 5))
        noisy, _ = predict(model.model, Split(images, sample.labels), dataset)
    assert numbers.clean == recorded(reliability(clean, dataset.test.labels, 15))
    assert numbers.clean.accuracy == trained.numbers.test.accuracy
    assert numbers.clean.loss == pytest.approx(trained.numbers.test.loss, rel=1e-8)
    assert numbers.tempered.accuracy == numbers.clean.accuracy
    assert [(row.corruption, row.strength) for row in numbers.corrupted] == [
        ("jpeg", 1),
        ("jpeg", 5),
        ("gaussian_noise", 1),
        ("gaussian_noise", 5),
    ]
    assert numbers.corrupted[-1].reliability == recorded(reliability(noisy, sample.labels, 15))
    classes = [int(digit, 16) for digit in numbers.predicted]
    assert classes == clean.argmax(dim=1).tolist()
    right = np.unpackbits(np.frombuffer(bytes.fromhex(trained.numbers.test_correct), np.uint8))
    assert (np.array(classes) == dataset.test.labels.numpy()).tolist() == right[:40].tolist()


def test_a_record_is_measured_once_and_the_same_again():
    run, dataset = run_with(SIZES, "dense"), tiny_dataset()
    first = analyse_robustness(run, dataset)
    assert analyse_robustness(run, dataset) == first
    repeated = analyse_robustness(run, dataset, again=True)
    assert repeated.digest == first.digest
    assert read_record(run.record_path("robustness"), RobustnessNumbers) == repeated


def test_noise_kept_in_evaluation_is_drawn_alike_each_time():
    run, dataset = run_with(SIZES, "sparse", protocol={"noise_at_evaluation": True}), tiny_dataset()
    first = analyse_robustness(run, dataset)
    assert analyse_robustness(run, dataset, again=True).digest == first.digest


def test_other_sizes_make_it_stale_and_leave_the_training_alone():
    run, dataset = run_with(SIZES, "dense"), tiny_dataset()
    trained, first = train(run, dataset), analyse_robustness(run, dataset)
    other = run_with(SIZES.model_copy(update={"bins": 5}), "dense")
    assert train(other, dataset) == trained
    assert analyse_robustness(other, dataset).inputs["config"] != first.inputs["config"]


def test_it_is_left_out_by_default_and_of_records_too():
    run = tiny_run("dense")
    assert run.study.analyses.robustness is None
    assert "robustness" not in run.study.model_dump(mode="json")["analyses"]
    with refusal(ConfigError, "analyses.robustness", "null"):
        analyse_robustness(run, tiny_dataset())


def test_more_images_than_there_are_are_refused_before_training():
    run = run_with(SIZES.model_copy(update={"images": 41}), "dense")
    with refusal(ConfigError, "analyses.robustness.images is 41", "test", 40):
        train(run, tiny_dataset())


@pytest.mark.parametrize(("count", "digits"), [(2, 1), (16, 1), (17, 2), (256, 2), (257, 3)])
def test_each_class_has_the_digits_of_the_last(count, digits):
    classes = torch.tensor([0, count - 1, 1])
    text = packed(classes, count)
    assert len(text) == 3 * digits
    parts = [text[i : i + digits] for i in range(0, len(text), digits)]
    assert [int(part, 16) for part in parts] == classes.tolist()
