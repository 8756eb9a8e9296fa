"""Times as columns: medians with their quartiles, and ratios to those of a reference, in pairs."""

from collections.abc import Iterable

import numpy as np


def quartiles(name: str, values: Iterable[float]) -> dict[str, float]:
    """Columns of the median of values, and of their quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {name: median, f"{name}_low": low, f"{name}_high": high}


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
    if not ratios:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    return quartiles(name, ratios)
