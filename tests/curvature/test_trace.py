"""Traces and their standard errors; none of the matrices is diagonal.

Hutchinson's estimator with Rademacher probes is exact on a diagonal matrix whatever the probes
(z_i^2 = 1), so that such a test would pass with any variance.
"""

import pytest
import torch
from prose import refusal
from test_lanczos import random, with_spectrum

from moelib.curvature.error import CurvatureError
from moelib.curvature.lanczos import spectrum
from moelib.curvature.trace import FEWEST, trace

PEAKED = torch.cat([100 * 0.6 ** torch.arange(20), 0.1 * torch.rand(180)])
FLAT = torch.linspace(0.5, 1, 200)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def estimate(matrix, seed, krylov=None, error=1e-9, budget=40, **options):
    return trace(
        lambda v: v @ matrix,
        len(matrix),
        error=error,
        budget=budget,
        generator=generator(seed),
        krylov=krylov,
        like=matrix,
        **options,
    )


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("eigenvalues", [PEAKED, FLAT], ids=["peaked", "flat"])
def test_errors_are_as_large_as_they_say(eigenvalues, deflated):
    matrix = with_spectrum(eigenvalues)
    krylov = None
    if deflated:
        krylov = spectrum(
            lambda v: v @ matrix, random(200, seed=1), 3, residual=1e-2, budget=40
        ).krylov
    scores = []
    for seed in range(60):
        total, _ = estimate(matrix, seed, krylov)
        scores.append((total.value - matrix.trace().item()) / total.standard_error)
    scores = torch.tensor(scores)
    # 40 probes: t with 39 degrees of freedom. 3 standard errors are passed once in 200.
    assert (scores.abs() > 3).sum() <= 3
    assert scores.mean().abs() < 3 / 60**0.5  # unbiased
    assert 0.7 < scores.std() < 1.35  # 60 scores: a deviation within 1 +- 3 / sqrt(2 * 60)


def test_deflation_saves_products_on_a_peaked_spectrum():
    matrix = with_spectrum(PEAKED)
    pairs = spectrum(lambda v: v @ matrix, random(200, seed=1), 8, residual=1e-2, budget=60)
    few, _ = estimate(matrix, 0, pairs.krylov, error=0.01, budget=4000)
    many, _ = estimate(matrix, 0, error=0.01, budget=4000)
    assert few.stopped == "standard error" and few.standard_error <= 0.01 * few.value
    assert many.products > 20 * few.products
    assert many.products > 5 * (few.products + pairs.eigenvalues.products)


def test_the_whole_space_leaves_nothing_to_estimate():
    matrix = with_spectrum(torch.linspace(-1, 2, 15))
    pairs = spectrum(lambda v: v @ matrix, random(15), 15, residual=1e-12, budget=15)
    total, _ = estimate(matrix, 0, pairs.krylov)
    assert total.value == pytest.approx(matrix.trace().item(), rel=1e-9)
    assert total.standard_error < 1e-9


@pytest.mark.parametrize("deflated", [False, True])
def test_groups_sum_their_own_diagonal(deflated):
    matrix = with_spectrum(PEAKED)
    groups = {"first": torch.arange(200) < 50, "rest": torch.arange(200) >= 50}
    krylov = None
    if deflated:
        start = random(200, seed=1)
        krylov = spectrum(lambda v: v @ matrix, start, 3, residual=1e-2, budget=30).krylov
    total, parts = estimate(matrix, 0, krylov, groups=groups, budget=400)
    for name, inside in groups.items():
        error = parts[name].value - matrix.diag()[inside].sum().item()
        assert abs(error) <= 4 * parts[name].standard_error
    assert sum(part.value for part in parts.values()) == pytest.approx(total.value, rel=1e-9)


def test_the_budget_stops():
    total, _ = estimate(with_spectrum(FLAT), 0, budget=9)
    assert total.products == 9 and total.stopped == "budget"


def test_few_probes_are_not_trusted():
    total, _ = estimate(torch.eye(200).double(), 0, error=0.5, budget=100)
    assert total.products == FEWEST and total.stopped == "standard error"
    assert total.value == pytest.approx(200)


def test_an_error_that_stops_the_probes_is_a_little_too_small():
    # From 12 probes on, looked at after each block of 4: beyond 1.96 errors lie 12 in 100.
    matrix = with_spectrum(PEAKED)
    start = random(200, seed=1)
    krylov = spectrum(lambda v: v @ matrix, start, 5, residual=2e-2, budget=60).krylov
    exact, scores = matrix.trace().item(), []
    for seed in range(400):
        total, _ = estimate(matrix, seed, krylov, error=0.004, budget=200)
        assert total.stopped == "standard error"
        scores.append((total.value - exact) / total.standard_error)
    scores = torch.tensor(scores)
    # 400 scores: a share of 0.12 within three deviations of 0.016, one of 0.04 within four of 0.01.
    assert (scores.abs() > 1.96).double().mean() < 0.17
    assert (scores.abs() > 3).double().mean() < 0.08
    assert scores.mean().abs() < 0.6  # probes stop where a skewed estimate happens to be low


def test_one_product_has_no_error():
    with refusal(CurvatureError, "at least 2 products", "not 1"):
        estimate(torch.eye(4).double(), 0, budget=1)
