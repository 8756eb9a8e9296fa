"""Curvature as frames: eigenvalues and traces, the spectrum, blocks, another implementation."""

from collections.abc import Iterable, Mapping

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
    return pd.DataFrame(
        {
            **run,
            "epoch": record.numbers.epoch,
            "parameters": record.numbers.parameters,
            **scalars(numbers),
            **_largest("lambda_max", numbers.eigenvalues, record),
            "residual": numbers.eigenvalues.residuals[0],
            "top": numbers.eigenvalues.largest,
            "lambda_min": numbers.eigenvalues.lowest,
            "lambda_min_residual": numbers.eigenvalues.lowest_residual,
            "lambda_min_converged": _converged(
                *(numbers.eigenvalues.lowest, numbers.eigenvalues.lowest_residual),
                *(abs(numbers.eigenvalues.largest[0]), record),
            ),
            **_estimate("trace", numbers.trace),
            "trace_per_parameter": numbers.trace.value / record.numbers.parameters,
            **_largest("gauss_newton_max", numbers.gauss_newton, record),
            **_largest("adaptive_max", numbers.adaptive, record),
            **_estimate("adaptive_trace", numbers.adaptive_trace),
            "matched_temperature": getattr(numbers.matched, "temperature", np.nan),
            **_largest("matched_max", getattr(numbers.matched, "eigenvalues", None), record),
            **_estimate("matched_trace", getattr(numbers.matched, "trace", None)),
        }
        for run, record, numbers in splits(records)
    )


def effects(records: Mapping[str, list[Record]], measure: str = "lambda_max") -> pd.DataFrame:
    """A measure of curvature, times that of the dense head, on training and on test images."""
    quoted = {"lambda_max": paper.EIGENVALUE, "trace": paper.TRACE}.get(measure, {})
    return ratios(curvature(flat(records)), measure, quoted)


def _largest(name: str, eigenvalues: kinds.Eigenvalues | None, record: Record) -> dict[str, float]:
    """Columns of the largest eigenvalue, and of whether all that were sought have converged."""
    if eigenvalues is None:
        return {name: np.nan, f"{name}_converged": np.nan}
    values, residuals = np.array(eigenvalues.largest), np.array(eigenvalues.residuals)
    converged = _converged(values, residuals, np.abs(values).max(), record)
    return {name: eigenvalues.largest[0], f"{name}_converged": converged}


def _converged(values: ArrayLike, residuals: ArrayLike, scale: float, record: Record) -> bool:
    """Whether all residuals are as small as asked for, beside a scale for values close to 0."""
    sizes = np.maximum(np.abs(values), kinds.SMALL_EIGENVALUE * scale)
    return bool(np.all(residuals <= record.study.analyses.sharpness.residual * sizes))


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


def negative_mass(records: Sharp) -> pd.DataFrame:
    """One row per run and split: the share of eigenvalues below a threshold, by probe and in all.

    The threshold is minus the largest bandwidth of all runs of a split: the same for all of them.
    """
    rows = pd.DataFrame(
        {**run, "bandwidth": numbers.density.bandwidth, "density": numbers.density}
        for run, _, numbers in splits(records)
    )
    rows["threshold"] = -rows.groupby("split")["bandwidth"].transform("max")
    shares = [_below(row.density, row.threshold) for row in rows.itertuples()]
    return rows.drop(columns="density").assign(
        negative_mass=[sum(by_probe) / len(by_probe) for by_probe in shares], by_probe=shares
    )


def group_traces(records: Sharp) -> pd.DataFrame:
    """One row per run, split and group of parameters: the trace of the group's diagonal block."""
    return pd.DataFrame(
        {
            **run,
            "group": name,
            "parameters": group.parameters,
            **_estimate("trace", group.trace),
            "trace_per_parameter": group.trace.value / group.parameters,
        }
        for run, _, numbers in splits(records)
        for name, group in numbers.groups.items()
    )


def _below(density: kinds.Density, threshold: float) -> tuple[float, ...]:
    """Share of eigenvalues below a threshold, as each probe alone sees it."""
    nodes = np.array(density.nodes).reshape(density.probes, -1)  # (s, m)
    weights = np.array(density.weights).reshape(nodes.shape) * density.probes
    return tuple((weights * (nodes < threshold)).sum(axis=1).tolist())


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
    """One row per head and way: eigenvalues and trace as returned, and how far off they are.

    `worst_error` is the largest relative error of an eigenvalue at its place in the list that was
    returned, against the reference in descending order; `trace_error` that of the mean over probes.
    """
    rows = []
    for record in records:
        numbers = record.numbers
        peers = enumerate(zip(numbers.peer_eigenvalues, numbers.peer_traces, strict=True))
        methods = [
            ("reference, float64", numbers.reference.largest, numbers.reference.products,
             numbers.reference_trace.value, numbers.reference_trace.products),
            ("this project", numbers.eigenvalues.largest, numbers.eigenvalues.products,
             numbers.trace.value, numbers.trace.products),
            *((f"PyHessian, seed {seed}", eigenvalues.values, eigenvalues.products,
               float(np.mean(probes.values)), probes.products)
              for seed, (eigenvalues, probes) in peers),
        ]  # fmt: skip
        reference = np.array(numbers.reference.largest)
        for method, values, products, trace, probes in methods:
            rows.append(
                {
                    "head": record.head,
                    "way": method,
                    "eigenvalues": tuple(values),
                    "sorted": list(values) == sorted(values, reverse=True),
                    "worst_error": float(np.max(np.abs(np.array(values) / reference - 1))),
                    "products": products,
                    "trace": trace,
                    "trace_error": trace / numbers.reference_trace.value - 1,
                    "probes": probes,
                }
            )
    return pd.DataFrame(rows)
