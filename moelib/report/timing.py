"""Times as columns: medians with their quartiles, and ratios to those of a reference, in pairs."""

from collections.abc import Iterable

import numpy as np


def with_ends(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """Columns of a value and the ends of its interval."""
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def quartiles(name: str, values: Iterable[float]) -> dict[str, float]:
    """Columns of the median of values, and of their quartiles."""
    return with_ends(name, *np.percentile(values, [50, 25, 75]))


def pairs(times: Iterable[float], reference: Iterable[float] | None = None) -> tuple[float, ...]:
    """Times by those of the reference, each with its like; () without a reference."""
    if reference is None:
        return ()
    return tuple(a / b for a, b in zip(times, reference, strict=True))


def ratio(
    name: str, times: Iterable[float], reference: Iterable[float] | None = None
) -> dict[str, float]:
    """`quartiles` of the `pairs`; NaN without a reference."""
    ratios = pairs(times, reference)
    return quartiles(name, ratios) if ratios else with_ends(name, *[np.nan] * 3)
