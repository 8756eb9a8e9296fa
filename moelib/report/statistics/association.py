"""Does one measure of a run predict another? Rank correlations over runs, and within heads.

Runs of one head are alike, and heads are few and drawn from no population. A correlation over all
runs can be that of heads alone, so each comes with one within heads, where only the seed differs.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from moelib.report.statistics.intervals import percentiles, resampled, tau_b
from moelib.report.statistics.power import holm

FEWEST = 10  # runs, below which a bootstrap interval says little
PERMUTATIONS = 5000  # within heads, for the p-value: at least 1 / 5001


class Association(NamedTuple):
    """Spearman's correlation of two measures over runs, pooled and within heads."""

    rho: float  # over all runs
    low: float  # of its bootstrap interval over runs
    high: float
    within: float  # of ranks within each head; NaN where no head has two runs
    p_value: float  # of `within`, by permutation within heads; NaN with it
    tau: float  # Kendall's tau-b over pairs of runs of one head; NaN with `within`


COLUMNS = ["study", "measure", "outcome", "runs", *Association._fields]


def association(x: ArrayLike, y: ArrayLike, heads: Sequence[str]) -> Association:
    """How well x orders runs as y does, over all runs and within the runs of each head.

    The interval is the percentile bootstrap over runs (`scipy.stats.bootstrap`), as if runs were
    exchangeable, which those of different heads are not: it is too narrow where heads differ.
    `within` = sum a_i b_i / sqrt(sum a_i^2 sum b_i^2), with the ranks a, b of x and y among the
    runs of their head, less the mean rank there: no difference between heads enters. Its two-sided
    p-value is exact up to the draws: y is permuted within each head. `tau` is `tau_b` of those
    pairs of runs alone that have their head in common.

    Args:
        x: (n,) one value for each run.
        y: (n,)
        heads: (n,) the head of each run.
    """
    x, y, heads = np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(heads)
    ends = percentiles(resampled(_spearman, x, y))
    tau = float(tau_b(x, y, alike=heads[:, None] == heads))
    return Association(float(_spearman(x, y)), *ends, *_within(x, y, heads), tau)


def associations(
    frame: pd.DataFrame, measures: Iterable[str], outcomes: Iterable[str]
) -> pd.DataFrame:
    """One row per study, measure and outcome: their association over the runs of the study.

    `holm` are the p-values within heads, corrected for all rows of a study (Holm 1979). Pairs with
    fewer than `FEWEST` runs, or a measure that is the same for all, have no row.

    Args:
        frame: one row per run, with columns study, head, the measures and the outcomes.
        measures: of what may predict.
        outcomes: of what may be predicted.
    """
    rows = []
    studies = frame.groupby("study", sort=False)
    for (study, runs), measure, outcome in product(studies, measures, outcomes):
        pairs = runs[["head", measure, outcome]].dropna()
        if len(pairs) < FEWEST or (pairs[[measure, outcome]].nunique() == 1).any():
            continue
        correlation = association(pairs[measure], pairs[outcome], pairs["head"])
        rows.append((study, measure, outcome, len(pairs), *correlation))
    table = pd.DataFrame(rows, columns=COLUMNS)
    tested = table.dropna(subset="p_value").groupby("study")["p_value"]
    return table.assign(holm=tested.transform(holm))


def _spearman(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """Spearman's rho along an axis; 0 where a resample holds one value alone."""
    a, b = (stats.rankdata(values, axis=axis) for values in (x, y))
    a, b = (ranks - ranks.mean(axis=axis, keepdims=True) for ranks in (a, b))
    return _correlation(a, b, axis)


def _correlation(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    scale = np.sqrt((a**2).sum(axis=axis) * (b**2).sum(axis=axis))
    return (a * b).sum(axis=axis) / np.where(scale > 0, scale, 1)


def _within(x: np.ndarray, y: np.ndarray, heads: np.ndarray) -> tuple[float, float]:
    """The correlation of ranks within heads, and its p-value; NaN where a head orders no runs."""
    ranks = pd.DataFrame({"x": x, "y": y}).groupby(heads).rank()
    a, b = (ranks - ranks.groupby(heads).transform("mean")).to_numpy().T
    if not (a.any() and b.any()):
        return np.nan, np.nan
    draw = np.random.default_rng(0)
    permuted = np.tile(b, (PERMUTATIONS, 1))
    for head in dict.fromkeys(heads.tolist()):
        permuted[:, heads == head] = draw.permuted(permuted[:, heads == head], axis=1)
    value, null = float(_correlation(a, b)), _correlation(a, permuted)
    extreme = np.sum(np.abs(null) >= abs(value) - 1e-12)  # sums in another order differ by less
    return value, float((1 + extreme) / (1 + PERMUTATIONS))
