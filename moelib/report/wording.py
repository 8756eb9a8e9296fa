"""Numbers in words, the same in every sentence of the book."""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from moelib.records.record import Record
from moelib.report.statistics.hypotheses import WITHIN

MINUS = "\N{MINUS SIGN}"


def seeds_of(records: Iterable[Record]) -> str:
    """How many seeds the records are of.

    >>> seeds_of([])
    '0 seeds'
    """
    return seeds_in_words(len({record.seed for record in records}))


def seeds_in_words(count: int) -> str:
    """A number of seeds."""
    return f"{count} seed{'' if count == 1 else 's'}"


def seed_count(fewest: int, most: int, planned: int) -> str:
    """How many seeds heads have, and of how many planned, if any lacks one.

    >>> seed_count(2, 4, 5)
    '2\N{EN DASH}4 of 5'
    """
    count = f"{most}" if fewest == most else f"{fewest}\N{EN DASH}{most}"
    return f"{count} of {planned}" if planned > fewest else count


def devices_of(records: Iterable[Record]) -> str:
    """Where times were taken: devices, numbers of threads and, where recorded, precisions."""
    devices = set()
    for record in records:
        device = f"{record.provenance.device}, threads: {record.provenance.threads}"
        precision = getattr(record.numbers, "precision", None)
        devices.add(f"{device}, {precision}" if precision else device)
    return "; ".join(sorted(devices))


def across_devices(pairs: Iterable[tuple[Record, Record]]) -> str:
    """How many pairs of runs are of two devices, where rounding differs too; nothing if none is.

    >>> across_devices([])
    ''
    """
    same = [one.provenance.device == other.provenance.device for one, other in pairs]
    if all(same):
        return ""
    return (
        f"In {same.count(False)} of {len(same)} pairs the two runs were trained on different "
        "devices, which also round differently."
    )


def in_points(share: float) -> str:
    """A share in signed percentage points.

    >>> in_points(0.0123)
    '+1.23'
    """
    return signed(100 * share)


def signed(value: float) -> str:
    """Two digits after the point, and always a sign."""
    return f"{value:+.2f}".replace("-", MINUS)


def bound(kind: str, threshold: float) -> str:
    """What a hypothesis on a difference of shares says, in points.

    >>> bound("above", 0.005), bound("within", 0.01)
    ('above +0.5 points', 'within 1 point')
    """
    if threshold == 0:
        return f"{kind} 0"
    points = f"{100 * threshold:{'' if kind == WITHIN else '+'}g}".replace("-", MINUS)
    return f"{kind} {points} point{'' if points.strip('+') in ('1', MINUS + '1') else 's'}"


def span(row, number: Callable[[float], str] = signed) -> str:
    """The ends `low` and `high` of the interval of a row."""
    return f"{number(row.low)} to {number(row.high)}"


def extent(values: pd.Series, digits: int = 2) -> str:
    """From where to where values lie, with so many digits after the point.

    >>> extent(pd.Series([1.5, 0.25]))
    '0.25 to 1.50'
    """
    return f"{values.min():.{digits}f} to {values.max():.{digits}f}"


def with_interval(value: float, row, number: Callable[[float], str] = signed) -> str:
    """A value and the ends of the interval of its row, which no line breaks, where they are known.

    >>> with_interval(1, pd.Series({"low": 0.5, "high": 1.5})).replace("\N{NO-BREAK SPACE}", "_")
    '+1.00 (+0.50_to_+1.50)'
    """
    if pd.isna(row.low):
        return number(value)
    ends = span(row, number).replace(" ", "\N{NO-BREAK SPACE}")
    return f"{number(value)} ({ends})"


def rounded(value: float) -> str:
    """Three digits, or all before the point.

    >>> rounded(1234.5), rounded(0.01234)
    ('1,234', '0.0123')
    """
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return digits.replace("-", MINUS)


def plain(value: float) -> str:
    """Two digits after the point."""
    return f"{value:.2f}"


def listed(parts: Iterable[str]) -> str:
    """Parts with commas between them."""
    return ", ".join(parts)


def enumeration(parts: Iterable[str]) -> str:
    """Parts with commas between them, and the last with `and`.

    >>> enumeration(["dense", "soft", "sparse"])
    'dense, soft and sparse'
    """
    parts = list(parts)
    if not parts:
        return ""
    *first, last = parts
    return f"{listed(first)} and {last}" if first else last


def clauses(heads: pd.Series, verdicts: pd.Series, verbs: Mapping[str, str]) -> list[str]:
    """Of each verdict that there is: which heads have it, and its verb; in the order of the heads.

    >>> verbs = {"higher": "better than"}
    >>> clauses(pd.Series(["soft", "switch"]), pd.Series(["higher", "higher"]), verbs)
    ['soft and switch are better than']
    """
    groups = ((verdict, heads[verdicts == verdict]) for verdict in dict.fromkeys(verdicts))
    return [
        f"{enumeration(group)} {'is' if len(group) == 1 else 'are'} {verbs[verdict]}"
        if verdict in verbs
        else f"{enumeration(group)} cannot be told apart from"
        for verdict, group in groups
    ]
