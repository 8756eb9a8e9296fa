"""Operators by their products: against dense matrices, SciPy's eigenvalues, and their symmetry."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

from moelib.curvature.error import CurvatureError
from moelib.curvature.lanczos import spectrum
from moelib.curvature.objective import Objective
from moelib.curvature.operators import SymmetricOperator, adaptive_hessian

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # float64; sums of some hundred products of order 1
NAMES = ("hessian", "gauss_newton", "adaptive")


def objective(dtype: torch.dtype = torch.float64) -> Objective:
    """A net of 59 parameters, curved in both directions, over 24 images in batches of 7."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)
    images = torch.randn(24, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    return Objective(net, images, torch.arange(24) % 3, batch=7)


def products(objective: Objective, name: str):
    return adaptive_hessian(objective) if name == "adaptive" else getattr(objective, name)


def dense(objective: Objective, name: str) -> torch.Tensor:
    """The matrix (p, p), from the logits as a function of the weights alone."""
    w = objective.weights

    def logits(w):
        w_in, b_in, w_out, b_out = w.split([28, 7, 21, 3])
        hidden = torch.tanh(objective.images @ w_in.view(7, 4).T + b_in)
        return hidden @ w_out.view(3, 7).T + b_out  # (n, c)

    if name == "gauss_newton":
        jacobian = torch.func.jacrev(logits)(w)  # (n, c, p)
        p = logits(w).softmax(dim=1)  # (n, c)
        inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]  # (n, c, c)
        return torch.einsum("ncp,ncd,ndq->pq", jacobian, inner, jacobian) / len(p)

    def loss(w):
        return nn.functional.cross_entropy(logits(w), objective.labels)

    hessian = torch.autograd.functional.hessian(loss, w)
    return w.abs()[:, None] * hessian * w.abs() if name == "adaptive" else hessian


@pytest.mark.parametrize("name", NAMES)
def test_an_operator_for_scipy_is_the_dense_matrix(name):
    loss = objective()
    operator = SymmetricOperator(products(loss, name), loss.weights)
    matrix = dense(loss, name).numpy()
    assert isinstance(operator, LinearOperator)
    assert operator.shape == (59, 59) and operator.dtype == np.float64
    np.testing.assert_allclose(operator @ np.eye(59), matrix, **EXACT)
    vector = np.linspace(-1, 1, 59)
    np.testing.assert_allclose(operator @ vector, matrix @ vector, **EXACT)
    np.testing.assert_allclose(operator.T @ vector, matrix @ vector, **EXACT)
    np.testing.assert_allclose(vector @ operator, matrix @ vector, **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_eigenvalues_by_scipy_and_by_lanczos_are_those_of_the_dense_matrix(name):
    loss = objective()
    multiply = products(loss, name)
    expected = torch.linalg.eigvalsh(dense(loss, name)).flip(0)[:3].numpy()
    by_scipy = eigsh(
        SymmetricOperator(multiply, loss.weights), k=3, which="LA", return_eigenvectors=False
    )
    np.testing.assert_allclose(np.sort(by_scipy)[::-1], expected, rtol=1e-8)
    start = torch.randn(59, generator=torch.Generator().manual_seed(2)).double()
    by_lanczos = spectrum(multiply, start, 3, residual=1e-9, budget=59).eigenvalues.largest
    np.testing.assert_allclose(by_lanczos, expected, rtol=1e-8)


def test_numbers_are_of_the_weights_type():
    loss = objective(torch.float32)
    operator = SymmetricOperator(loss.hessian, loss.weights)
    product = operator @ np.ones(59)
    assert operator.dtype == product.dtype == np.float32
    assert torch.equal(torch.from_numpy(product), loss.hessian(torch.ones(1, 59))[0])


def test_weights_that_numpy_does_not_know_are_refused():
    with pytest.raises(CurvatureError, match="bfloat16"):
        SymmetricOperator(lambda vectors: vectors, torch.ones(2, dtype=torch.bfloat16))


@pytest.mark.parametrize("name", NAMES)
def test_operators_are_symmetric(name):
    loss = objective()
    u, v = torch.randn(2, 59, generator=torch.Generator().manual_seed(3)).double()
    multiply = products(loss, name)
    left, right = u @ multiply(v[None])[0], v @ multiply(u[None])[0]
    # Either is a sum of 59 terms of order 1 that may cancel.
    assert left.item() == pytest.approx(right.item(), rel=1e-10, abs=1e-12)


def test_gauss_newton_is_positive_semidefinite_and_the_hessian_is_not():
    loss = objective()
    matrices = [multiply(torch.eye(59).double()) for multiply in (loss.gauss_newton, loss.hessian)]
    newton, hessian = (torch.linalg.eigvalsh(matrix) for matrix in matrices)
    assert newton.min() > -1e-14 * 59 * newton.max()  # 0 but for rounding of the eigenvalues
    assert hessian.min() < -1e-3 * hessian.max()
