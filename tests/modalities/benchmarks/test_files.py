"""Readers of JSON, JSON lines, CSV and TSV: each entry with its line, each fault with its line."""

import json
import random

import pytest
from prose import refusal

from moelib.modalities.benchmarks.files import (
    FileError,
    csv_rows,
    json_entries,
    json_lines,
    read_text,
    table,
)


def entries(path, member=None):
    return [(entry.line, entry.name, entry.value) for entry in json_entries(path, member)]


def test_an_array_gives_its_elements_with_their_lines(file):
    path = file("a.json", '[{"a":\n 1},\n\n {"a": 2}, 3\n]\n')
    assert entries(path) == [(1, None, {"a": 1}), (4, None, {"a": 2}), (4, None, 3)]


def test_an_object_gives_its_members_with_their_lines(file):
    path = file("a.json", '\n{\n"x": [1,\n2],\n"y": "}",\n"z":\nnull}')
    assert entries(path) == [(3, "x", [1, 2]), (5, "y", "}"), (6, "z", None)]


@pytest.mark.parametrize("text", ["[]", " [ ] ", "{}", "{\n}"])
def test_an_empty_container_has_no_entries(file, text):
    assert entries(file("a.json", text)) == []


def test_a_member_is_read_with_the_lines_of_the_file(file):
    path = file("a.json", '{"types": {"one": 1},\n"rows": [\n{"a": 1},\n{"a": 2}]}')
    assert entries(path, "rows") == [(3, None, {"a": 1}), (4, None, {"a": 2})]
    assert entries(path, "types") == [(1, "one", 1)]


def test_entries_are_those_of_pythons_decoder(file):
    draw = random.Random(0)

    def value(depth):
        kinds = [lambda: draw.random(), lambda: draw.choice(["", 'a"b', "}],", "é\n\\"])]
        if depth:
            kinds.append(lambda: [value(depth - 1) for _ in range(draw.randrange(4))])
            kinds.append(lambda: {str(i): value(depth - 1) for i in range(draw.randrange(4))})
        return draw.choice(kinds)()

    for _ in range(40):
        array = [value(3) for _ in range(draw.randrange(5))]
        members = {str(i): value(3) for i in range(draw.randrange(5))}
        indent = draw.choice([None, 2])
        path = file("a.json", json.dumps(array, indent=indent))
        assert [entry.value for entry in json_entries(path)] == array
        path = file("a.json", json.dumps(members, indent=indent))
        assert {entry.name: entry.value for entry in json_entries(path)} == members


@pytest.mark.parametrize(
    ("text", "line", "names"),
    [
        ("", 1, ["empty"]),
        (" \n ", 1, ["empty"]),
        ("7", 1, ["'[' or '{'", "'7'"]),
        ("[1,\n2", 2, ["too early"]),
        ("[1,\n2,\n", 2, ["too early"]),
        ("[", 1, ["too early"]),
        ("{", 1, ["too early"]),
        ('{"a"', 1, ["too early"]),
        ('{"a":\n', 1, ["too early"]),
        ('[{"a": 1},\n{"a": "tw', 2, ["unterminated string", "column 7"]),
        ('[{"a": 1},\n{"a": [1, 2', 2, ["too early"]),
        ('[{"a": 1}\n{"a": 2}]', 2, ["',' or ']'", "'{'"]),
        ("[1,\n,2]", 2, ["value"]),
        ("[1,\n2}", 2, ["',' or ']'", "'}'"]),
        ('{"a": 1,\nb: 2}', 2, ["'\"'", "'b'"]),
        ('{"a": 1,\n"a": 2}', 2, ["'a'", "twice"]),
        ('[0,\n{"a": 1, "a": 2}]', 2, ["'a'", "twice"]),
        ("[0,\nNaN]", 2, ["NaN"]),
        ("[0,\n-Infinity]", 2, ["-Infinity"]),
        ("[1]\n[2]", 2, ["end"]),
        ("[0,\n" + "[" * 100_000, 2, ["brackets"]),
        ("[0,\n" + "1" * 5000 + "]", 2, ["limit"]),
    ],
)
def test_a_fault_in_json_has_its_line(file, text, line, names):
    path = file("a.json", text)
    with refusal(FileError, f"{path}, line {line}", *names):
        entries(path)


def test_a_missing_member_is_named(file):
    with refusal(FileError, "no 'questions'"):
        entries(file("a.json", '{"rows": []}'), "questions")
    with refusal(FileError, "no 'questions'"):
        entries(file("a.json", "[1]"), "questions")
    with refusal(FileError, "'3'"):
        entries(file("a.json", '{"questions": 3}'), "questions")


def test_lines_of_json(file):
    path = file("a.json", '{"a": 1}\r\n\n  {"a": 2}')
    assert [(entry.line, entry.value) for entry in json_lines(path)] == [
        (1, {"a": 1}),
        (3, {"a": 2}),
    ]


def test_a_fault_in_a_line_of_json_has_its_line(file):
    path = file("a.json", '{"a": 1}\n\n{"a": \n{"a": 3}')
    with refusal(FileError, "line 3", "value"):
        list(json_lines(path))


def test_a_cell_may_hold_lines_quotes_and_a_long_image(file):
    image = "x" * 200_000  # more than the csv module reads by default
    path = file("a.tsv", f'a\tb\n1\t"two ""quoted""\nlines"\n2\t{image}\n')
    rows = [(row.line, row.value) for row in table(path, "a")]
    assert rows == [(2, {"a": "1", "b": 'two "quoted"\nlines'}), (4, {"a": "2", "b": image})]


@pytest.mark.parametrize(
    ("text", "line", "names"),
    [
        ("a,c\n1,2\n", 1, ["no column 'b'", "a, c"]),
        ("a,b,a\n1,2,3\n", 1, ["'a'", "twice"]),
        ("a,b\n1,2\n\n3\n", 4, ["length", "1 and 2"]),
        ("a,b\n1,2,3\n", 2, ["length", "3 and 2"]),
        ('a,b\n1,2\n3,"4\n5,6\n', 3, ["end of data"]),
        ('a,b\n1,"2"3\n', 2, ["','", "'\"'"]),
    ],
)
def test_a_fault_in_a_table_has_its_line(file, text, line, names):
    path = file("a.csv", text)
    with refusal(FileError, f"{path}, line {line}", *names):
        list(table(path, "a", "b"))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,\xff\xfe\n")
    with refusal(FileError, path, "line 2", "UTF-8"):
        list(csv_rows(path))
    with refusal(FileError, "missing.csv", "No such file or directory"):
        read_text(tmp_path / "missing.csv")
    with refusal(FileError, tmp_path, "Is a directory"):
        read_text(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert [row.value for row in table(path, "a")] == [{"a": "1", "b": "2"}]
