"""Readers of JSON, JSON lines, CSV and TSV: each entry with its line, each fault with its line."""

import json
import random

import pytest

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
    ("text", "sentence"),
    [
        ("", "line 1: the file is empty"),
        (" \n ", "line 1: the file is empty"),
        ("7", "line 1: not JSON: '[' or '{' is needed where '7' stands"),
        ("[1,\n2", "line 2: the file ends too early"),
        ("[1,\n2,\n", "line 2: the file ends too early"),
        ("[", "line 1: the file ends too early"),
        ("{", "line 1: the file ends too early"),
        ('{"a"', "line 1: the file ends too early"),
        ('{"a":\n', "line 1: the file ends too early"),
        ('[{"a": 1},\n{"a": "tw', "line 2: not JSON: unterminated string, at column 7"),
        ('[{"a": 1},\n{"a": [1, 2', "line 2: the file ends too early"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: not JSON: ',' or ']' is needed where '{' stands"),
        ("[1,\n,2]", "line 2: not JSON: expecting value"),
        ("[1,\n2}", "line 2: not JSON: ',' or ']' is needed where '}' stands"),
        ('{"a": 1,\nb: 2}', "line 2: not JSON: '\"' is needed where 'b' stands"),
        ('{"a": 1,\n"a": 2}', "line 2: the name 'a' stands twice in one object"),
        ('[0,\n{"a": 1, "a": 2}]', "line 2: the name 'a' stands twice in one object"),
        ("[0,\nNaN]", "line 2: JSON has no NaN"),
        ("[0,\n-Infinity]", "line 2: JSON has no -Infinity"),
        ("[1]\n[2]", "line 2: something follows the end"),
        ("[0,\n" + "[" * 100_000, "line 2: the brackets are nested too deep"),
        ("[0,\n" + "1" * 5000 + "]", "line 2: Exceeds the limit"),
    ],
)
def test_a_fault_in_json_has_its_line(file, text, sentence):
    path = file("a.json", text)
    with pytest.raises(FileError) as error:
        entries(path)
    assert str(error.value).startswith(f"{path}, {sentence}")


def test_a_missing_member_is_named(file):
    with pytest.raises(FileError, match="holds no 'questions'"):
        entries(file("a.json", '{"rows": []}'), "questions")
    with pytest.raises(FileError, match="holds no 'questions'"):
        entries(file("a.json", "[1]"), "questions")
    with pytest.raises(FileError, match=r"needed where '3' stands"):
        entries(file("a.json", '{"questions": 3}'), "questions")


def test_lines_of_json(file):
    path = file("a.json", '{"a": 1}\r\n\n  {"a": 2}')
    assert [(entry.line, entry.value) for entry in json_lines(path)] == [
        (1, {"a": 1}),
        (3, {"a": 2}),
    ]


def test_a_fault_in_a_line_of_json_has_its_line(file):
    path = file("a.json", '{"a": 1}\n\n{"a": \n{"a": 3}')
    with pytest.raises(FileError, match="line 3: not JSON: expecting value, at column"):
        list(json_lines(path))


def test_a_cell_may_hold_lines_quotes_and_a_long_image(file):
    image = "x" * 200_000  # more than the csv module reads by default
    path = file("a.tsv", f'a\tb\n1\t"two ""quoted""\nlines"\n2\t{image}\n')
    rows = [(row.line, row.value) for row in table(path, "a")]
    assert rows == [(2, {"a": "1", "b": 'two "quoted"\nlines'}), (4, {"a": "2", "b": image})]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,c\n1,2\n", "line 1: the header has no column 'b'; it has a, c."),
        ("a,b,a\n1,2,3\n", "line 1: the header has the column 'a' twice."),
        ("a,b\n1,2\n\n3\n", "line 4: the row and the header differ in length: 1 and 2 cells."),
        ("a,b\n1,2,3\n", "line 2: the row and the header differ in length: 3 and 2 cells."),
        ('a,b\n1,2\n3,"4\n5,6\n', "line 3: this row is damaged: unexpected end of data."),
        ('a,b\n1,"2"3\n', "line 2: this row is damaged: ',' expected after '\"'."),
    ],
)
def test_a_fault_in_a_table_has_its_line(file, text, sentence):
    path = file("a.csv", text)
    with pytest.raises(FileError) as error:
        list(table(path, "a", "b"))
    assert str(error.value) == f"{path}, {sentence}"


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,\xff\xfe\n")
    with pytest.raises(FileError, match="line 2: the file is not a text in UTF-8"):
        list(csv_rows(path))
    with pytest.raises(FileError, match="missing.csv: No such file or directory"):
        read_text(tmp_path / "missing.csv")
    with pytest.raises(FileError, match="Is a directory"):
        read_text(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert [row.value for row in table(path, "a")] == [{"a": "1", "b": "2"}]
