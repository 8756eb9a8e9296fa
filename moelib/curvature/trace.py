"""Trace of a symmetric operator, from random probes, with its standard error."""

import math

import torch
from torch import Tensor
from tqdm import tqdm

from moelib.curvature.error import CurvatureError
from moelib.curvature.lanczos import Krylov
from moelib.curvature.operators import Products
from moelib.records.kinds import Estimate

BLOCK = 4  # probes multiplied at once, from one first backward pass
FEWEST = 12  # probes, before their spread is trusted


def trace(
    products: Products,
    size: int,
    *,
    error: float,
    budget: int,
    generator: torch.Generator,
    krylov: Krylov | None = None,
    groups: dict[str, Tensor] | None = None,
    like: Tensor | None = None,
) -> tuple[Estimate, dict[str, Estimate]]:
    """Trace by Hutchinson's estimator, deflated by a Krylov space if one is given.

    For Rademacher z, E[z^T H z] = tr H (Hutchinson 1989), with a variance that comes from the
    off-diagonal elements of H alone. With Q an orthonormal basis and P = I - Q Q^T,

        tr H = tr(Q^T H Q) + tr(P H P)

    and only the second part needs probes (Hutch++, Meyer 2021): the large eigenvalues, which make
    the variance, are in Q if Q is the space in which Lanczos found them, and H Q is then known
    without a further product. Of a group g of parameters the same is summed over its diagonal
    elements. Stops when the standard error is below `error` times the trace, or at the budget.

    Args:
        products: the operator.
        size: p.
        error: relative standard error that is asked for.
        budget: products with probes at most.
        generator: of the probes, on the CPU.
        krylov: a single space of the same operator.
        groups: name -> (p,) of bool.
        like: any tensor of the dtype and device to compute with; default: the space's basis.

    The standard error of a dozen probes is itself uncertain, and it is looked at until it is small:
    where it stops the probes, a trace is more than 1.96 of them off in about one case in eight, and
    not in one in twenty (as a test counts on a peaked spectrum).

    Of a diagonal matrix each probe gives the trace itself, since z_i^2 = 1:

    >>> diagonal = torch.tensor([3.0, 1.0, -2.0])
    >>> draws = torch.Generator().manual_seed(0)
    >>> total, _ = trace(lambda v: v * diagonal, 3, error=0.1, budget=12, generator=draws)
    >>> total.value, total.standard_error
    (2.0, 0.0)

    Raises:
        CurvatureError: the budget is below the two probes of which a spread can be seen.
    """
    if budget < 2:
        raise CurvatureError(f"A trace needs at least 2 products for its error, not {budget}.")
    like = krylov.basis if krylov is not None else like if like is not None else torch.empty(0)
    inside = {"all": torch.ones(size, dtype=torch.bool, device=like.device), **(groups or {})}
    members = torch.stack(list(inside.values())).to(like)  # (g, p)
    basis, exact = _deflated(krylov, members)  # (m, p), (g,)
    samples: list[Tensor] = []  # of (b, g)
    count, stopped = 0, "budget"
    with tqdm(total=budget, desc="trace", unit="product", mininterval=1) as bar:
        while count < budget:
            block = min(BLOCK, budget - count)
            probes = torch.randint(2, (block, size), generator=generator).to(like) * 2 - 1
            inner = _outside(basis, probes)
            outer = _outside(basis, products(inner))
            samples.append(((inner * outer) @ members.T).double().cpu())
            count += block
            bar.update(block)
            values = torch.cat(samples)  # (count, g)
            spread = _standard_error(values)
            if count >= FEWEST and spread[0] <= error * abs(exact[0] + values[:, 0].mean()):
                stopped = "standard error"
                break
    means = exact + values.mean(dim=0)
    estimates = {
        name: Estimate(value=mean, standard_error=deviation, products=count, stopped=stopped)
        for name, mean, deviation in zip(inside, means.tolist(), spread.tolist(), strict=True)
    }
    return estimates.pop("all"), estimates


def _deflated(krylov: Krylov | None, members: Tensor) -> tuple[Tensor | None, Tensor]:
    """Q (m, p), and for each group the sum of the diagonal of H - P H P over its parameters.

    H - P H P = Q Q^T H + P H Q Q^T, and H Q = Q T + beta q_next e_m^T, so P H Q is the last term.
    """
    if krylov is None:
        return None, torch.zeros(len(members), dtype=torch.float64)
    m = krylov.steps
    basis = krylov.basis[0, :m]  # (m, p)
    beside = krylov.offdiagonal[0, : m - 1]
    matrix = torch.diag(krylov.diagonal[0, :m]) + torch.diag(beside, 1) + torch.diag(beside, -1)
    beyond = krylov.offdiagonal[0, m - 1].item() * krylov.basis[0, m]  # (p,)
    diagonal = (basis * (matrix.to(basis) @ basis)).sum(dim=0) + 2 * basis[-1] * beyond  # (p,)
    return basis, (members @ diagonal).double().cpu()


def _outside(basis: Tensor | None, vectors: Tensor) -> Tensor:
    """P v of each of vectors (b, p)."""
    return vectors if basis is None else vectors - (vectors @ basis.T) @ basis


def _standard_error(values: Tensor) -> Tensor:
    if len(values) < 2:
        return torch.full(values.shape[1:], math.inf, dtype=values.dtype)
    return values.std(dim=0) / math.sqrt(len(values))
