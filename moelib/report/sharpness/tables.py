"""Curvature as frames: eigenvalues and traces, the spectrum, blocks, another implementation."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from moelib.records import kinds
from moelib.records.record import Record
from moelib.report import paper
from moelib.report.effects import ratios
from moelib.report.frames import Sharp, flat, scalars, splits


def curvature(records: Sharp) -> pd.DataFrame:
    """One row per run and split: eigenvalues, traces, adaptive sharpness, matched loss.

    Eigenvalues count as converged by the residual that the study asks for, relative to each, and
    not by what the program of their time called so.
    """
    rows = []
    for run, record, numbers in splits(records):
        asked = record.study.analyses.sharpness.residual
        first, matched = numbers.eigenvalues, numbers.matched
        scale = abs(first.largest[0])
        row = {
            **run,
            "epoch": record.numbers.epoch,
            **scalars(numbers),
            **_largest("lambda_max", first, asked),
            "residual": first.residuals[0],
            "top": first.largest,
            "lambda_min": first.lowest,
            "lambda_min_residual": first.lowest_residual,
            "lambda_min_converged": _converged(first.lowest, first.lowest_residual, scale, asked),
            **_estimate("trace", numbers.trace),
            **_largest("gauss_newton_max", numbers.gauss_newton, asked),
            **_largest("adaptive_max", numbers.adaptive, asked),
            **_estimate("adaptive_trace", numbers.adaptive_trace),
            "matched_temperature": getattr(matched, "temperature", np.nan),
            **_largest("matched_max", getattr(matched, "eigenvalues", None), asked),
            **_estimate("matched_trace", getattr(matched, "trace", None)),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def effects(records: Mapping[str, list[Record]], measure: str = "lambda_max") -> pd.DataFrame:
    """A measure of curvature, times that of the dense head, on training and on test images."""
    quoted = {"lambda_max": paper.EIGENVALUE, "trace": paper.TRACE}.get(measure, {})
    return ratios(curvature(flat(records)), measure, quoted)


def _largest(name: str, eigenvalues: kinds.Eigenvalues | None, asked: float) -> dict[str, float]:
    """Columns of the largest eigenvalue, and of whether all that were sought have converged."""
    if eigenvalues is None:
        return {name: np.nan, f"{name}_converged": np.nan}
    values = np.array(eigenvalues.largest)
    converged = _converged(values, eigenvalues.residuals, np.abs(values).max(), asked)
    return {name: eigenvalues.largest[0], f"{name}_converged": converged}


def _converged(values: ArrayLike, residuals: ArrayLike, scale: float, asked: float) -> bool:
    """Whether all residuals are as small as asked for, beside a scale for values close to 0."""
    sizes = np.maximum(np.abs(values), kinds.SMALL_EIGENVALUE * scale)
    return bool(np.all(residuals <= asked * sizes))


def _estimate(name: str, estimate: kinds.Estimate | None) -> dict[str, object]:
    """Columns of a mean over probes: value, standard error, probes, and what stopped them."""
    fields = {"": "value", "_error": "standard_error", "_probes": "products", "_stopped": "stopped"}
    return {f"{name}{end}": getattr(estimate, field, np.nan) for end, field in fields.items()}


# -- spectrum --------------------------------------------------------------------------------------


def densities(records: Sharp) -> pd.DataFrame:
    """One row per run, split and grid point: the density of eigenvalues, which integrates to 1.

    A Gaussian of the recorded bandwidth stands on each node; four points lie in a bandwidth.
    """
    return pd.DataFrame(
        {
            **run,
            "parameters": record.numbers.parameters,
            "eigenvalue": eigenvalue,
            "density": height,
        }
        for run, record, numbers in splits(records)
        for eigenvalue, height in _curve(numbers.density)
    )


def group_traces(records: Sharp) -> pd.DataFrame:
    """One row per run, split and group of parameters: the trace of the group's diagonal block."""
    return pd.DataFrame(
        {**run, "group": name, **_estimate("trace", group.trace)}
        for run, _, numbers in splits(records)
        for name, group in numbers.groups.items()
    )


def _curve(density: kinds.Density) -> Iterable[tuple[float, float]]:
    nodes, weights = np.array(density.nodes), np.array(density.weights)
    beyond = 4 * density.bandwidth
    low, high = nodes.min() - beyond, nodes.max() + beyond
    grid = np.linspace(low, high, 1 + round(4 * (high - low) / density.bandwidth))
    distances = (grid[:, None] - nodes) / density.bandwidth  # (grid point, node)
    heights = np.exp(-(distances**2) / 2) @ weights / (density.bandwidth * np.sqrt(2 * np.pi))
    return zip(grid, heights, strict=True)


# -- another implementation ------------------------------------------------------------------------


def crosscheck(records: Iterable[Record[kinds.CrosscheckNumbers]]) -> pd.DataFrame:
    """One row per head and call: eigenvalues and trace as returned, and how far off they are.

    `worst_error` is the largest relative error of an eigenvalue at its place in the list that was
    returned, against the reference in descending order; `trace_error` that of the mean over probes.
    """
    return pd.DataFrame(
        {
            "head": record.head,
            "way": way,
            "eigenvalues": tuple(values),
            "worst_error": np.max(np.abs(np.divide(values, record.numbers.reference.largest) - 1)),
            "products": products,
            "trace": trace,
            "trace_error": trace / record.numbers.reference_trace.value - 1,
            "probes": probes,
        }
        for record in records
        for way, values, products, trace, probes in _calls(record.numbers)
    )


def _calls(numbers: kinds.CrosscheckNumbers) -> Iterator[tuple]:
    """What each way returned: eigenvalues after so many products, a trace after so many probes."""
    for way, eigenvalues, trace in (
        ("reference, float64", numbers.reference, numbers.reference_trace),
        ("this project", numbers.eigenvalues, numbers.trace),
    ):
        yield way, eigenvalues.largest, eigenvalues.products, trace.value, trace.products
    peers = zip(numbers.peer_eigenvalues, numbers.peer_traces, strict=True)
    for seed, (eigenvalues, probes) in enumerate(peers):
        trace = np.mean(probes.values)
        yield (
            f"PyHessian, seed {seed}",
            eigenvalues.values,
            eigenvalues.products,
            trace,
            probes.products,
        )
