"""Prediction files: the same rows from every format, and a sentence for each fault."""

import pytest

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
    ("name", "text", "sentence"),
    [
        (
            "p.xlsx",
            "x",
            ": predictions are .json, .jsonl, .csv or .tsv; save them as one of these.",
        ),
        ("p.json", "[3]", ", line 1: a prediction is an object with 'id'."),
        ("p.json", '["a"]', ", line 1: a prediction is an object with 'id'."),
        ("p.json", '[\n{"prediction": "x"}]', ", line 2: the prediction has no 'id'."),
        ("p.json", '[{"id": null, "prediction": "x"}]', ", line 1: the prediction has no 'id'."),
        ("p.json", '[{"id": true, "prediction": "x"}]', ", line 1: 'id' is True, which is no id."),
        ("p.json", '[{"id": 1.5, "prediction": "x"}]', ", line 1: 'id' is 1.5, which is no id."),
        ("p.json", '[{"id": "", "prediction": "x"}]', ", line 1: 'id' is '', which is no id."),
        ("p.json", '[{"id": [1], "prediction": 1}]', ", line 1: 'id' is [1], which is no id."),
        (
            "p.json",
            '[{"id": 1, "prediction": "x"},\n{"id": "1", "prediction": "x"}]',
            ", line 2: '1' has a prediction in line 1 already.",
        ),
        ("p.csv", "1,x\n\n1,y\n", ", line 3: '1' has a prediction in line 1 already."),
        (
            "p.csv",
            "1,x\n2,y,z\n",
            ", line 2: the row and the first differ in length: 3 and 2 cells.",
        ),
        ("p.csv", "1,x\n,y\n", ", line 2: 'id' is '', which is no id."),
        (
            "p.csv",
            "name,prediction\n1,x\n",
            ", line 1: a header with 'id' and 'prediction' is needed, or these two columns without "
            "one.",
        ),
        (
            "p.csv",
            "1;x\n",
            ", line 1: a header with 'id' and 'prediction' is needed, or these two columns without "
            "one.",
        ),
        ("p.csv", "id,answer\n1,x\n", ", line 2: the row of '1' has no 'prediction'."),
        ("p.json", '[{"id": "1"}]', ", line 1: the row of '1' has no 'prediction'."),
        (
            "p.json",
            '{"1": "a",\n"2": null}',
            ", line 2: the row of '2' has the prediction None, which is no text.",
        ),
        (
            "p.json",
            '{"1": 0.5}',
            ", line 1: the row of '1' has the prediction 0.5, which is no text.",
        ),
        (
            "p.json",
            '{"1": ["a"]}',
            ", line 1: the row of '1' has the prediction ['a'], which is no text.",
        ),
    ],
)
def test_a_fault_has_its_line(file, name, text, sentence):
    path = file(name, text)
    with pytest.raises(FileError) as error:
        read_predictions(path, "id").texts()
    assert str(error.value) == f"{path}{sentence}"


def test_predictions_must_be_for_the_questions(file):
    predictions = read_predictions(file("p.csv", "1,x\n2,y\n"), "id")
    questions = file("q.json", "{}")
    predictions.match({"1", "2", "3"}, ["1"], questions)
    with pytest.raises(FileError, match=r"p.csv, line 2: there is no question '2' in .*q.json"):
        predictions.match({"1"}, ["1"], questions)
    with pytest.raises(
        FileError, match="no prediction for 2 of 3 questions, the first of them '3'"
    ):
        predictions.match({"1", "2", "3", "4"}, ["1", "3", "4"], questions)
