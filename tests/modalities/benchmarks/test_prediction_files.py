"""Prediction files: the same rows from every format, and a sentence for each fault."""

import pytest
from prose import refusal

from moelib.modalities.benchmarks.files import FileError
from moelib.modalities.benchmarks.predictions import read_predictions

SAME = {
    "array.json": '[{"id": "1", "prediction": "yes"},\n{"id": 2, "prediction": "a, b"}]',
    "indented.json": '[\n {\n"id": 1, "prediction": "yes"\n},\n{"id": "2", "prediction": "a, b"}]',
    "lines.json": '{"id": "1", "prediction": "yes"}\n{"id": "2", "prediction": "a, b"}\n',
    "lines.jsonl": '{"id": "1", "prediction": "yes"}\n\n{"id": "2", "prediction": "a, b"}\n',
    "map.json": '{"1": "yes", "2": "a, b"}',
    "map-indented.json": '{\n"1": "yes",\n"2": "a, b"\n}',
    "header.csv": 'prediction,more,id\nyes,x,1\n"a, b",y,2\n',
    "bare.csv": '1,yes\n2,"a, b"\n',
    "header.tsv": "id\tprediction\n1\tyes\n2\ta, b\n",
    "bare.tsv": "1\tyes\r\n2\ta, b\r\n",
}


@pytest.mark.parametrize("name", SAME)
def test_every_format_gives_the_same(file, name):
    predictions = read_predictions(file(name, SAME[name]), "id")
    assert predictions.texts() == {"1": "yes", "2": "a, b"}


def test_values_of_json_become_texts(file):
    path = file("p.json", {"1": True, "2": False, "3": 12, "4": ""})
    texts = read_predictions(path, "id").texts()
    assert texts == {"1": "true", "2": "false", "3": "12", "4": ""}


def test_an_empty_cell_is_an_answer(file):
    assert read_predictions(file("p.csv", "id,prediction\n1,\n"), "id").texts() == {"1": ""}


@pytest.mark.parametrize(
    ("name", "text", "line", "names"),
    [
        ("p.json", "[3]", 1, ["object with 'id'"]),
        ("p.json", '["a"]', 1, ["object with 'id'"]),
        ("p.json", '[\n{"prediction": "x"}]', 2, ["no 'id'"]),
        ("p.json", '[{"id": null, "prediction": "x"}]', 1, ["no 'id'"]),
        ("p.json", '[{"id": true, "prediction": "x"}]', 1, ["'id' is True"]),
        ("p.json", '[{"id": 1.5, "prediction": "x"}]', 1, ["'id' is 1.5"]),
        ("p.json", '[{"id": "", "prediction": "x"}]', 1, ["'id' is ''"]),
        ("p.json", '[{"id": [1], "prediction": 1}]', 1, ["'id' is [1]"]),
        (
            *("p.json", '[{"id": 1, "prediction": "x"},\n{"id": "1", "prediction": "x"}]', 2),
            ["'1'", "line 1"],
        ),
        ("p.csv", "1,x\n\n1,y\n", 3, ["'1'", "line 1"]),
        ("p.csv", "1,x\n2,y,z\n", 2, ["length", "3 and 2"]),
        ("p.csv", "1,x\n,y\n", 2, ["'id' is ''"]),
        ("p.csv", "name,prediction\n1,x\n", 1, ["header", "'id' and 'prediction'"]),
        ("p.csv", "1;x\n", 1, ["header", "'id' and 'prediction'"]),
        ("p.csv", "id,answer\n1,x\n", 2, ["'1'", "no 'prediction'"]),
        ("p.json", '[{"id": "1"}]', 1, ["'1'", "no 'prediction'"]),
        ("p.json", '{"1": "a",\n"2": null}', 2, ["'2'", "prediction None"]),
        ("p.json", '{"1": 0.5}', 1, ["'1'", "prediction 0.5"]),
        ("p.json", '{"1": ["a"]}', 1, ["'1'", "prediction ['a']"]),
    ],
)
def test_a_fault_has_its_line(file, name, text, line, names):
    path = file(name, text)
    with refusal(FileError, f"{path}, line {line}", *names):
        read_predictions(path, "id").texts()


def test_a_file_of_another_format_is_refused(file):
    path = file("p.xlsx", "x")
    with refusal(FileError, path, ".json, .jsonl, .csv or .tsv"):
        read_predictions(path, "id")


def test_predictions_must_be_for_the_questions(file):
    predictions = read_predictions(file("p.csv", "1,x\n2,y\n"), "id")
    questions = file("q.json", "{}")
    predictions.match({"1", "2", "3"}, ["1"], questions)
    with refusal(FileError, "p.csv, line 2", "no question '2'", "q.json"):
        predictions.match({"1"}, ["1"], questions)
    with refusal(FileError, "2 of 3 questions", "'3'"):
        predictions.match({"1", "2", "3", "4"}, ["1", "3", "4"], questions)
