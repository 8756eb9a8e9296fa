"""Tables of records: rows in code, columns in the file."""

import json
from typing import ClassVar

import jsonschema
import pytest

from moelib.records.provenance import digest, observe
from moelib.records.record import Numbers, Record, RecordError, read_record, write_record
from moelib.records.table import columns, columns_schema, rows
from moelib.study.base import Frozen

TABLES = (
    [],
    [{"a": 1}],
    [{"a": 1, "b": {"c": None, "d": {"e": "x"}}}, {"a": 2, "b": {"c": 4, "d": {"e": ""}}}],
    [{"a": [1, 2], "b": {}}, {"a": [], "b": {}}],
    [{"a": {}, "b": [{"c": 1}, {"d": 2}]}] * 3,  # a list in a cell is a value, whatever it holds
    [1, 2],
)


@pytest.mark.parametrize("table", TABLES, ids=json.dumps)
def test_rows_come_back_from_their_columns(table):
    assert rows(json.loads(json.dumps(columns(table)))) == table


def test_names_stand_once_at_every_depth():
    table = [{"epoch": e, "train": {"loss": e / 2, "load": [e, e]}, "balance": {}} for e in (1, 2)]
    assert columns(table) == {
        "epoch": [1, 2],
        "train": {"loss": [0.5, 1.0], "load": [[1, 1], [2, 2]]},
        "balance": {},
    }
    assert rows(columns(table)) == table


def test_rows_of_other_columns_are_no_table():
    for other in ({"b": 1}, {"a": 1, "b": 1}, {}):
        with pytest.raises(ValueError, match="different columns"):
            columns([{"a": 1}, other])


def test_columns_of_several_lengths_are_no_table():
    for table in ({"a": [1, 2], "b": [1]}, {"a": [1], "b": {"c": [1, 2]}}):
        with pytest.raises(ValueError, match="several lengths"):
            rows(table)


def test_a_column_is_a_list():
    for column in (5, None, "ab"):
        for table in ({"a": [1, 2], "b": column}, {"a": [1, 2], "b": {"c": column}}):
            with pytest.raises(ValueError, match="no list"):
                rows(table)


class Point(Frozen):
    x: float
    parts: dict[str, int]


class Walk(Numbers):
    kind: ClassVar[str] = "walk"
    tables: ClassVar[tuple[str, ...]] = ("points",)

    points: tuple[Point, ...]


@pytest.fixture
def path(tmp_path):
    points = tuple(Point(x=number / 4, parts={"a": number}) for number in range(3))
    record = Record[Walk](kind="walk", inputs={}, numbers=Walk(points=points), provenance=observe())
    write_record(tmp_path / "walk.json", record)
    return tmp_path / "walk.json"


def test_a_record_keeps_columns_and_is_read_as_rows(path):
    raw = json.loads(path.read_text())
    assert raw["numbers"]["points"] == {"x": [0.0, 0.25, 0.5], "parts": {"a": [0, 1, 2]}}
    assert read_record(path, Walk).numbers.points[2] == Point(x=0.5, parts={"a": 2})


@pytest.mark.parametrize(
    "points",
    [{"x": [1.0]}, {"x": [1.0, 2.0], "parts": {"a": [1]}}, {"x": 5, "parts": {"a": [1]}}, 5, [5]],
)
def test_a_broken_table_is_told(path, points):
    raw = json.loads(path.read_text())
    raw["numbers"]["points"] = points
    circumstances = ("provenance", "provenance_digest", "digest")
    content = {key: value for key, value in raw.items() if key not in circumstances}
    raw["digest"] = digest([json.dumps(content, sort_keys=True, separators=(",", ":")).encode()])
    path.write_text(json.dumps(raw))
    with pytest.raises(RecordError, match="does not fit the schema"):
        read_record(path, Walk)


def test_the_schema_is_that_of_columns():
    schema = Walk.model_json_schema()
    table = columns_schema(
        schema["properties"]["points"]["items"],
        lambda part: schema["$defs"]["Point"] if "$ref" in part else part,
    )
    validator = jsonschema.Draft202012Validator(table)
    assert validator.is_valid({"x": [0.5], "parts": {"a": [1]}})
    assert not validator.is_valid({"x": ["0.5"], "parts": {"a": [1]}})
    assert not validator.is_valid({"x": [0.5], "parts": {"a": ["one"]}})
    assert not validator.is_valid({"x": [0.5]})
    assert not validator.is_valid({"x": [0.5], "parts": {}, "y": [1]})
