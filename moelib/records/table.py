"""Tables in the files of records: an object of columns, so that no row repeats their names.

What code knows as a list of rows, such as the epochs of a training, `[{"epoch": 1, "train":
{"loss": 2.3}}, ...]`, a file keeps as `{"epoch": [1, ...], "train": {"loss": [2.3, ...]}}`.
"""

from collections.abc import Callable
from typing import Any


def columns(rows: list) -> Any:
    """Objects as one object of lists, all the way down; a list of anything else as it is.

    >>> columns([{"a": 1, "b": {"c": 2}}, {"a": 3, "b": {"c": 4}}])
    {'a': [1, 3], 'b': {'c': [2, 4]}}

    Raises:
        ValueError: an object has other keys than the first.
    """
    if not rows or not isinstance(rows[0], dict):
        return rows
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError("the rows of a table have different columns")
    return {name: columns([row[name] for row in rows]) for name in rows[0]}


def rows(table: Any) -> Any:
    """The list that `columns` was made from; what no table is stays as it is.

    Raises:
        ValueError: a column is no list, or the columns are of several lengths.
    """
    if not isinstance(table, dict) or not table:
        return table
    parts = {name: rows(part) for name, part in table.items()}
    if not all(isinstance(part, list) or part == {} for part in parts.values()):
        raise ValueError("a column of a table is no list")
    lengths = {len(part) for part in parts.values() if part != {}}
    if len(lengths) != 1:
        raise ValueError("the columns of a table are of several lengths")
    (length,) = lengths
    # An object without keys has no columns in any row.
    parts = {name: [{}] * length if part == {} else part for name, part in parts.items()}
    return [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]


def columns_schema(row: dict, resolve: Callable[[dict], dict]) -> dict:
    """JSON schema of the columns of rows that fit a schema; `resolve` follows a reference."""
    row = resolve(row)
    if row.get("type") != "object":
        return {"type": "array", "items": row}
    properties, others = row.get("properties", {}), row.get("additionalProperties", True)
    return {
        "type": "object",
        "properties": {name: columns_schema(part, resolve) for name, part in properties.items()},
        "required": [*properties],
        "additionalProperties": (
            others if isinstance(others, bool) else columns_schema(others, resolve)
        ),
    }
