"""The Hessian's spectrum as frames: its density, its negative part, blocks of parameters."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from moelib.records.kinds import Density
from moelib.report.frames import Sharp, estimate, run_columns, splits


def densities(records: Sharp) -> pd.DataFrame:
    """One row per run, split and grid point: the density of eigenvalues, which integrates to 1.

    A Gaussian of the recorded bandwidth stands on each node; four points lie in a bandwidth.
    """
    return pd.DataFrame(
        {
            **run_columns(record),
            "split": split,
            "parameters": record.numbers.parameters,
            "eigenvalue": eigenvalue,
            "density": height,
        }
        for record, split, numbers in splits(records)
        for eigenvalue, height in _curve(numbers.density)
    )


def negative_mass(records: Sharp) -> pd.DataFrame:
    """One row per run and split: the share of eigenvalues below a threshold, by probe and in all.

    The threshold is minus the largest bandwidth of all runs of a split: the same for all of them.
    """
    rows = pd.DataFrame(
        {
            **run_columns(record),
            "split": split,
            "bandwidth": numbers.density.bandwidth,
            "density": numbers.density,
        }
        for record, split, numbers in splits(records)
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
            **run_columns(record),
            "split": split,
            "group": name,
            "parameters": group.parameters,
            **estimate("trace", group.trace),
            "trace_per_parameter": group.trace.value / group.parameters,
        }
        for record, split, numbers in splits(records)
        for name, group in numbers.groups.items()
    )


def _below(density: Density, threshold: float) -> tuple[float, ...]:
    """Share of eigenvalues below a threshold, as each probe alone sees it."""
    nodes = np.array(density.nodes).reshape(density.probes, -1)  # (s, m)
    weights = np.array(density.weights).reshape(nodes.shape) * density.probes
    return tuple((weights * (nodes < threshold)).sum(axis=1).tolist())


def _curve(density: Density) -> Iterable[tuple[float, float]]:
    nodes, weights = np.array(density.nodes), np.array(density.weights)
    beyond = 4 * density.bandwidth
    low, high = nodes.min() - beyond, nodes.max() + beyond
    grid = np.linspace(low, high, 1 + round(4 * (high - low) / density.bandwidth))
    distances = (grid[:, None] - nodes) / density.bandwidth  # (grid point, node)
    heights = np.exp(-(distances**2) / 2) @ weights / (density.bandwidth * np.sqrt(2 * np.pi))
    return zip(grid, heights, strict=True)
