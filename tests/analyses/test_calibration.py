"""Calibration: closed forms, a loop over bins, and the temperature that generated the labels."""

import math

import pytest
import torch

from moelib.analyses.calibration import best_temperature, calibration_error, reliability


def random_logits(n=400, classes=5, scale=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, dtype=torch.float64, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    return logits, labels


def test_certain_and_right_is_perfect_certain_and_wrong_is_worst():
    logits = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    right = reliability(logits, torch.tensor([0, 1]), bins=10)
    assert (right.accuracy, right.loss, right.brier, right.ece) == (1, 0, 0, 0)
    worst = reliability(logits, torch.tensor([1, 0]), bins=10)
    assert (worst.accuracy, worst.loss, worst.brier, worst.ece) == (0, 1000, 2, 1)


def test_no_knowledge_of_c_classes():
    logits, labels = torch.zeros(8, 4), torch.arange(8) % 4
    scores = reliability(logits, labels, bins=15)
    assert scores.loss == pytest.approx(math.log(4), abs=1e-12)
    assert scores.brier == pytest.approx(0.75**2 + 3 * 0.25**2, abs=1e-12)
    assert scores.accuracy == 0.25 and scores.ece == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_calibration_error_against_a_loop(bins):
    logits, labels = random_logits()
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    expected = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            accuracy = (predicted == labels)[inside].double().mean()
            expected += inside.double().mean() * abs(accuracy - confidence[inside].mean())
    error = calibration_error(confidence, predicted == labels, bins)
    assert error == pytest.approx(float(expected), abs=1e-12)
    assert reliability(logits, labels, bins).ece == pytest.approx(error, abs=1e-12)


def test_both_ends_of_the_bins_hold_images():
    ends = torch.tensor([0.0, 0.5, 1.0])
    right = torch.tensor([False, True, True])
    assert calibration_error(ends, right, bins=2) == pytest.approx(0.5 / 3, abs=1e-12)


def test_the_temperature_of_calibrated_logits_is_one_and_scales_with_them():
    logits, labels = random_logits(n=20_000)
    temperature = best_temperature(logits, labels)
    assert temperature == pytest.approx(1, abs=0.05)  # three standard errors of the estimate
    assert best_temperature(3 * logits, labels) == pytest.approx(3 * temperature, rel=1e-4)


def test_a_temperature_lowers_the_loss_and_keeps_the_predictions():
    logits, labels = random_logits()
    sharp = 4 * logits
    temperature = best_temperature(sharp, labels)
    before, after = (reliability(x, labels, 15) for x in (sharp, sharp / temperature))
    assert after.loss < before.loss and after.ece < before.ece
    assert after.accuracy == before.accuracy
