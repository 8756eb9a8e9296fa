"""What a score is: a mean with the interval that its number of independent groups allows."""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Z = 1.959964  # of a two-sided normal interval at 95 %


@dataclass(frozen=True)
class Score:
    """One score of one subset; `value` is None where nothing counts towards it."""

    name: str
    subset: str
    value: float | None
    n: int  # of what it is the mean of
    groups: int | None = None  # of these which stand or fall together, such as one image
    low: float | None = None  # of its 95 % interval
    high: float | None = None
    share: bool = True  # from 0 to 1, shown in per cent


@dataclass(frozen=True)
class Scores:
    """All scores of one prediction file, and what else was counted, such as answers not read."""

    benchmark: str
    scores: tuple[Score, ...]
    counts: dict[str, int]

    def __getitem__(self, name: str | tuple[str, str]) -> Score:
        """Return a score by its name, or by name and subset."""
        name, subset = (name, "all") if isinstance(name, str) else name
        for score in self.scores:
            if (score.name, score.subset) == (name, subset):
                return score
        raise KeyError(f"{self.benchmark} has no score {name} of {subset}")

    def plain(self) -> dict[str, Any]:
        """Return the same as JSON has it."""
        return asdict(self)

    def __str__(self) -> str:
        """Show a table, shares in per cent, and the counts below it."""
        rows = [("score", "subset", "value", "95 % interval", "n", "groups")]
        rows += [_shown(score) for score in self.scores]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        counts = [f"{name}: {count:,}" for name, count in self.counts.items()]
        return "\n".join([self.benchmark, "", *lines, *([""] if counts else []), *counts])


def mean(
    name: str, values: Sequence[float], groups: Sequence[Hashable], subset: str = "all"
) -> Score:
    """Mean of values in [0, 1], with Wilson's interval at the effective number of values.

    Answers about one image or one sentence err together, so that n answers say less than n
    independent ones. With the groups' sums of residuals r_g, the mean's variance is estimated as
    v = G / (G - 1) sum_g r_g^2 / n^2 (linearization), and Wilson's interval (1927) is taken at
    n* = p (1 - p) / v, at most n, and n* = G where all values are 0 or all are 1 (Franco, Little,
    Louis and Slud, J. Surv. Stat. Methodol. 2019, who recommend it and show that with few groups
    it covers less often than it says). One group alone has no interval.

    >>> mean("accuracy", [1, 1, 0, 0], ["a", "a", "b", "b"])  # two images: v = 1 / 4, n* = 1
    ... # doctest: +ELLIPSIS
    Score(name='accuracy', subset='all', value=0.5, n=4, groups=2, low=0.054..., high=0.945..., ...
    """
    n = len(values)
    if not n:
        return Score(name, subset, None, 0, 0)
    x = np.asarray(values, dtype=float)
    index: dict[Hashable, int] = {}
    member = np.array([index.setdefault(group, len(index)) for group in groups])
    p, count = float(x.mean()), len(index)
    if count == 1:
        return Score(name, subset, p, n, 1)
    residuals = np.bincount(member, weights=x - p)  # (groups,)
    variance = count / (count - 1) * float(residuals @ residuals) / n**2
    spread = p * (1 - p)
    effective = count if spread == 0 else spread / max(variance, spread / n)
    low, high = _wilson(p, effective)
    return Score(name, subset, p, n, count, low, high)


def means(
    name: str,
    values: Sequence[float],
    groups: Sequence[Hashable],
    axis: str,
    subsets: Iterable[Any],
) -> list[Score]:
    """Return the mean of each subset along an axis such as a category, the subsets sorted.

    A value whose subset is None belongs to none.
    """
    members: dict[Any, list[int]] = {}
    for place, subset in enumerate(subsets):
        if subset is not None:
            members.setdefault(subset, []).append(place)
    return [
        mean(name, [values[i] for i in places], [groups[i] for i in places], f"{axis} {subset}")
        for subset, places in sorted(members.items())
    ]


def _wilson(p: float, n: float) -> tuple[float, float]:
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _shown(score: Score) -> tuple[str, ...]:
    def number(value: float) -> str:
        return f"{100 * value:.2f}" if score.share else f"{value:.4g}"

    known = score.value is not None
    interval = f"{number(score.low)} to {number(score.high)}" if score.low is not None else ""
    return (
        score.name,
        score.subset,
        number(score.value) if known else "none",
        interval,
        f"{score.n:,}",
        "" if score.groups is None else f"{score.groups:,}",
    )
