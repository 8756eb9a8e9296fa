"""Lanczos against dense eigenvalues, on spectra that are easy, steep, indefinite and degenerate."""

import pytest
import torch
from prose import refusal

from moelib.curvature.error import CurvatureError
from moelib.curvature.lanczos import Krylov, spectrum
from moelib.records.kinds import SMALL_EIGENVALUE


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def with_spectrum(eigenvalues: torch.Tensor) -> torch.Tensor:
    """A matrix with these eigenvalues in random directions."""
    q, _ = torch.linalg.qr(random(len(eigenvalues), len(eigenvalues), seed=5))
    return q @ torch.diag(eigenvalues.double()) @ q.T


SPECTRA = {
    "decaying": 10 * 0.8 ** torch.arange(60),
    "steep and indefinite": torch.cat([100 * 0.5 ** torch.arange(20), -torch.rand(40)]),
    "negative": -torch.arange(1.0, 40.0),
    "degenerate": torch.cat([torch.full((3,), 7.0), torch.ones(20), torch.zeros(10)]),
    "low rank": torch.cat([torch.tensor([5.0, 3.0]), torch.zeros(30)]),
    "zero": torch.zeros(12),
}


def test_what_stops_lanczos_is_what_it_was():
    """The digest of the code does not cover this constant: it may change under another name."""
    assert SMALL_EIGENVALUE == 0.01


@pytest.mark.parametrize("name", SPECTRA)
def test_extreme_eigenvalues(name):
    matrix = with_spectrum(SPECTRA[name])
    size = len(matrix)
    pairs = spectrum(lambda v: v @ matrix, random(size), 3, residual=1e-10, budget=size)
    expected = torch.linalg.eigvalsh(matrix)
    tolerance = 1e-8 * max(
        1, expected.abs().max().item()
    )  # residual 1e-10 of the largest, and rounding
    numbers = pairs.eigenvalues
    assert numbers.converged
    assert numbers.largest == pytest.approx(expected.flip(0)[:3].tolist(), abs=tolerance)
    assert numbers.lowest == pytest.approx(expected[0].item(), abs=tolerance)
    assert list(numbers.largest) == sorted(numbers.largest, reverse=True)


def test_eigenvectors_and_residuals_are_true():
    matrix = with_spectrum(SPECTRA["steep and indefinite"])
    pairs = spectrum(lambda v: v @ matrix, random(60), 5, residual=1e-3, budget=60)
    torch.testing.assert_close(pairs.vectors @ pairs.vectors.T, torch.eye(5).double())
    values = torch.tensor(pairs.eigenvalues.largest).double()
    residuals = (pairs.vectors @ matrix - values[:, None] * pairs.vectors).norm(dim=1)
    assert residuals.tolist() == pytest.approx(pairs.eigenvalues.residuals, rel=1e-6, abs=1e-10)
    assert max(pairs.eigenvalues.residuals) <= 1e-3 * 100
    assert pairs.eigenvalues.products < 60  # it stopped when it was good enough


def test_the_most_negative_ones_have_true_vectors_and_residuals():
    matrix = with_spectrum(
        torch.cat([torch.rand(190), -torch.tensor([9.0, 5.0, 3.0]), 9 * torch.ones(1)])
    )
    size = len(matrix)
    pairs = spectrum(lambda v: v @ matrix, random(size), 1, lowest=3, residual=1e-6, budget=size)
    assert pairs.lowest.tolist() == pytest.approx([-9, -5, -3], rel=1e-4)
    assert pairs.eigenvalues.lowest == pairs.lowest[0]
    vectors = pairs.lowest_vectors  # (3, p)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(3).double())
    residuals = (vectors @ matrix - pairs.lowest[:, None] * vectors).norm(dim=1)
    torch.testing.assert_close(residuals, pairs.lowest_residuals, rtol=1e-6, atol=1e-10)


def test_the_lowest_found_is_never_below_the_true_one():
    matrix = with_spectrum(torch.cat([torch.linspace(0, 10, 190), -torch.linspace(0, 6, 10)]))
    for budget in (6, 12, 24):
        pairs = spectrum(lambda v: v @ matrix, random(200), 1, residual=1e-9, budget=budget)
        assert -6 - 1e-9 <= pairs.eigenvalues.lowest


def test_each_of_the_largest_is_as_accurate_as_asked():
    """Not only in units of the first, of which the fifth is a seventieth."""
    matrix = with_spectrum(torch.cat([torch.tensor([100.0, 20, 5, 2.5, 1.4]), torch.rand(195)]))
    numbers = spectrum(lambda v: v @ matrix, random(200), 5, residual=0.01, budget=200).eigenvalues
    assert numbers.converged
    for value, residual in zip(numbers.largest, numbers.residuals, strict=True):
        assert residual <= 0.01 * value
    expected = torch.linalg.eigvalsh(matrix).flip(0)[:5].tolist()
    assert numbers.largest == pytest.approx(expected, rel=0.01)


def test_the_bound_holds_while_it_has_not_converged():
    matrix = with_spectrum(torch.linspace(0, 1, 200))
    numbers = spectrum(lambda v: v @ matrix, random(200), 2, residual=1e-9, budget=12).eigenvalues
    assert not numbers.converged and numbers.products == 12
    expected = torch.linalg.eigvalsh(matrix)
    for value, residual in zip(numbers.largest, numbers.residuals, strict=True):
        assert (expected - value).abs().min() <= residual


def test_the_basis_stays_orthonormal_in_float32():
    # Without reorthogonalisation this spectrum brings copies of 1000 after some twenty steps.
    matrix = with_spectrum(torch.cat([torch.tensor([1000.0]), torch.rand(199)])).float()
    krylov = Krylov(lambda v: v @ matrix, random(2, 200).float(), 60)
    for _ in range(60):
        krylov.extend()
    for basis in krylov.basis:
        error = basis @ basis.T - torch.eye(61)
        assert error.abs().max() < 1e-5  # some ten roundings of float32
    values, _, _ = krylov.ritz()
    assert ((values > 2).sum(dim=1) == 1).all()


def test_the_recursion():
    matrix = with_spectrum(SPECTRA["decaying"])
    krylov = Krylov(lambda v: v @ matrix, random(2, 60), 9)
    for _ in range(9):
        krylov.extend()
    for s in range(2):
        beside = torch.diag(krylov.offdiagonal[s, :8], 1)
        tridiagonal = torch.diag(krylov.diagonal[s]) + beside + beside.T
        basis = krylov.basis[s]
        right = tridiagonal @ basis[:9]
        right[-1] += krylov.offdiagonal[s, 8] * basis[9]
        torch.testing.assert_close(basis[:9] @ matrix, right)


def test_more_eigenvalues_than_parameters_are_refused():
    with refusal(CurvatureError, "only 4 parameters", "5 eigenvalues"):
        spectrum(lambda v: v, random(4), 5, residual=0.1, budget=10)
    with refusal(CurvatureError, "more than 3 products"):
        spectrum(lambda v: v, random(40), 5, residual=0.1, budget=3)


def test_one_parameter():
    numbers = spectrum(lambda v: -3 * v, random(1), 1, residual=0.1, budget=10).eigenvalues
    assert numbers.largest == (pytest.approx(-3),) and numbers.lowest == pytest.approx(-3)
