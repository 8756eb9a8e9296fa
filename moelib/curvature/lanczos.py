"""Eigenvalues of a symmetric operator that is only known by its products (Lanczos 1950)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from moelib.curvature.error import CurvatureError
from moelib.curvature.operators import Products
from moelib.records.kinds import SMALL_EIGENVALUE, Eigenvalues

CHECK_EVERY = 5  # steps between looks at the residuals, each an eigenproblem of the steps' size


class Krylov:
    """Krylov spaces of several starts, extended in step, each with an orthonormal basis.

    After m steps H Q = Q T + beta q_next e_m^T for each, with T (m, m) tridiagonal. Each new vector
    is made orthogonal to all before, twice ("twice is enough", Parlett 1998, section 6.9): without
    that, rounding brings back eigenvectors that were found already, as copies.

    Args:
        products: the operator.
        starts: (s, p), one for each space; they need not be normalised.
        steps: m that will be reached at most; memory for s m p numbers is taken at once.
    """

    def __init__(self, products: Products, starts: Tensor, steps: int):
        self.operator = products
        spaces, size = starts.shape
        self.basis = starts.new_zeros(spaces, steps + 1, size)  # (s, m + 1, p)
        self.basis[:, 0] = starts / starts.norm(dim=1, keepdim=True)
        # Small and ill-conditioned: in float64, whatever the operator computes in.
        self.diagonal = torch.zeros(spaces, steps, dtype=torch.float64)
        self.offdiagonal = torch.zeros(spaces, steps, dtype=torch.float64)  # beta after each step
        self.steps = 0

    def extend(self) -> None:
        """Take one step: one product for each space."""
        m = self.steps
        new = self.operator(self.basis[:, m])  # (s, p)
        scale = new.norm(dim=1)
        self.diagonal[:, m] = (self.basis[:, m] * new).sum(dim=1).double().cpu()
        new = self._orthogonal(new)
        beta = new.norm(dim=1)
        # Nothing new beyond rounding: the space is invariant. A random direction goes on, with
        # beta = 0, which also finds further eigenvectors of a multiple eigenvalue.
        ended = beta <= 100 * torch.finfo(new.dtype).eps * scale
        if ended.any() and m + 1 < new.shape[1]:
            fresh = self._orthogonal(torch.randn_like(new))
            new = torch.where(ended[:, None], fresh, new)
        self.basis[:, m + 1] = new / new.norm(dim=1, keepdim=True).clamp(
            min=torch.finfo(new.dtype).tiny
        )
        self.offdiagonal[:, m] = torch.where(ended, 0, beta).double().cpu()
        self.steps = m + 1

    def _orthogonal(self, vectors: Tensor) -> Tensor:
        known = self.basis[:, : self.steps + 1]  # (s, m, p)
        for _ in range(2):
            overlap = torch.einsum("smp,sp->sm", known, vectors)
            vectors = vectors - torch.einsum("smp,sm->sp", known, overlap)
        return vectors

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Eigenvalues (s, m) of T, ascending, its eigenvectors (s, m, m), and residuals (s, m)."""
        m = self.steps
        beside = torch.diag_embed(self.offdiagonal[:, : m - 1], offset=1)
        matrix = torch.diag_embed(self.diagonal[:, :m]) + beside + beside.mT
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors, (self.offdiagonal[:, m - 1, None] * vectors[:, -1]).abs()


@dataclass(frozen=True)
class Spectrum:
    """Extreme eigenvalues as a record has them, their eigenvectors, and the Krylov space."""

    eigenvalues: Eigenvalues
    vectors: Tensor  # (count, p), of the largest eigenvalues, orthonormal
    lowest: Tensor  # (lowest,), ascending
    lowest_residuals: Tensor  # (lowest,)
    lowest_vectors: Tensor  # (lowest, p), orthonormal
    krylov: Krylov


def spectrum(
    products: Products, start: Tensor, count: int, *, residual: float, budget: int, lowest: int = 1
) -> Spectrum:
    """The `count` largest eigenvalues and the `lowest` most negative, from a single Krylov space.

    Stops when the residual |H v - lambda v| of each of the largest is below `residual` times its
    own absolute value, or `SMALL_EIGENVALUE` times the largest, where it is smaller than that, and
    those of the lowest below `residual` times the largest; or after `budget` products; `converged`
    says which. An eigenvalue lies within its residual of the value found, and there is one at or
    below the lowest value found, one at or above the largest. A multiple eigenvalue may count as
    one. All this holds but for rounding of the products, of which the residuals, being those of the
    recurrence, know nothing.

    Of diag(3, 1, -2), whose eigenvalues are its diagonal:

    >>> diagonal = torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64)
    >>> start = torch.ones(3, dtype=torch.float64)
    >>> numbers = spectrum(lambda v: v * diagonal, start, 2, residual=1e-9, budget=3).eigenvalues
    >>> [round(value, 9) for value in (*numbers.largest, numbers.lowest)]
    [3.0, 1.0, -2.0]

    Args:
        products: the operator.
        start: (p,), random.

    Raises:
        CurvatureError: more eigenvalues are asked for than there are parameters, or than the
            budget can give.
    """
    size = len(start)
    if max(count, lowest) > size:
        raise CurvatureError(
            f"There are only {size} parameters, and so no {max(count, lowest)} eigenvalues."
        )
    steps, fewest = min(budget, size), min(count + lowest, size)
    if steps < fewest:
        raise CurvatureError(
            f"{count} eigenvalues and the lowest {lowest} need more than {budget} products."
        )
    krylov = Krylov(products, start[None], steps)
    for step in tqdm(range(1, steps + 1), desc="eigenvalues", unit="product", mininterval=1):
        krylov.extend()
        if step % CHECK_EVERY and step < steps:
            continue
        values, vectors, residuals = (part[0] for part in krylov.ritz())
        top, bottom = [*range(-1, -1 - count, -1)], [*range(lowest)]
        ends = top + bottom
        if step >= fewest:
            largest = values.abs().max()
            scale = values[ends].abs().clamp(min=SMALL_EIGENVALUE * largest)  # (count + lowest,)
            scale[count:] = largest  # the lowest may be anywhere near 0
            converged = bool((residuals[ends] <= residual * scale).all())
            # At the end of an invariant space all residuals are 0, but eigenvalues may be missing:
            # copies of a multiple one, say. Unless the direction that went on ended at once, too.
            ended = krylov.offdiagonal[0, max(0, step - 2) : step] == 0
            if step == size or (converged and (ended.all() or not ended[-1])):
                break
    basis = krylov.basis[0, :step]  # (m, p)
    return Spectrum(
        Eigenvalues(
            largest=tuple(values[top].tolist()),
            residuals=tuple(residuals[top].tolist()),
            lowest=values[0].item(),
            lowest_residual=residuals[0].item(),
            converged=converged,
            products=step,
        ),
        vectors[:, top].T.to(basis) @ basis,
        values[bottom],
        residuals[bottom],
        vectors[:, bottom].T.to(basis) @ basis,
        krylov,
    )
