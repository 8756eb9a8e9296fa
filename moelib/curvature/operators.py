"""Symmetric operators that are only known by their products."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from moelib.curvature.error import CurvatureError
from moelib.curvature.objective import Objective

Products = Callable[[Tensor], Tensor]  # vectors (m, p) -> products (m, p)


def adaptive_hessian(objective: Objective) -> Products:
    """The operator |w| H |w|, which no rescaling of ReLU layers changes (Kwon 2021)."""
    scale = objective.weights.abs()  # (p,)

    def multiply(vectors: Tensor) -> Tensor:
        return objective.hessian(vectors * scale) * scale

    return multiply


class SymmetricOperator(LinearOperator):
    """A symmetric operator (p, p) for SciPy, such as `scipy.sparse.linalg.eigsh`.

    Vectors are NumPy arrays (p,) or (p, m) and are computed with in the weights' dtype and on
    their device. It is its own adjoint.

    >>> diagonal = torch.tensor([3.0, 1.0])
    >>> SymmetricOperator(lambda vectors: vectors * diagonal, diagonal) @ np.array([1.0, 2.0])
    array([3., 2.], dtype=float32)

    Args:
        products: the operator, such as `Objective.hessian`, `Objective.gauss_newton` or
            `adaptive_hessian(objective)`.
        weights: (p,), of float32 or float64.

    Raises:
        CurvatureError: NumPy has no numbers like the weights.
    """

    def __init__(self, products: Products, weights: Tensor):
        if weights.dtype not in (torch.float32, torch.float64):
            raise CurvatureError(
                f"SciPy computes in float32 or float64, and the weights are {weights.dtype}."
            )
        self._products, self._device, self._dtype = products, weights.device, weights.dtype
        super().__init__(np.dtype(str(weights.dtype)[6:]), (len(weights), len(weights)))

    def _matmat(self, matrix: np.ndarray) -> np.ndarray:
        vectors = torch.tensor(matrix.T, dtype=self._dtype, device=self._device)  # (m, p)
        return self._products(vectors).T.cpu().numpy()

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self._matmat(vector.reshape(-1, 1))[:, 0]

    def _adjoint(self) -> "SymmetricOperator":
        return self
