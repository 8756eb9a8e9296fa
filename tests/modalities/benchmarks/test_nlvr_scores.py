"""NLVR and NLVR2: answers worked out by hand, and NLVR's real files."""

import json
import os
import zipfile
from pathlib import Path

import pytest
from prose import refusal

from moelib.modalities.benchmarks import nlvr, nlvr2
from moelib.modalities.benchmarks.evaluate import evaluate
from moelib.modalities.benchmarks.files import FileError
from moelib.study.base import PROJECT

# Labels by identifier: three presentations, of three, two and one examples.
LABELS = {
    "7-0": "true",
    "7-1": "false",
    "7-3": "true",
    "12-0": "false",
    "12-2": "true",
    "3-1": "true",
}
FOLDER = Path(os.environ.get("MOELIB_NLVR", PROJECT.parent / "shared" / "data" / "nlvr"))


def examples(labels):
    return [
        {"identifier": key, "sentence": "s", "label": label, "directory": "0", "structured_rep": []}
        for key, label in labels.items()
    ]


def test_structures_by_hand(file):
    """One wrong of six: 5 / 6. It is of the second presentation: 2 of 3 are consistent."""
    answers = LABELS | {"12-2": "False", "7-0": "TRUE", "7-1": " false "}
    scores = evaluate("nlvr", file("q.jsonl", examples(LABELS)), file("p.json", answers))
    assert scores.benchmark == "NLVR, structured representations"
    assert scores["accuracy"].value == pytest.approx(5 / 6)
    assert (scores["accuracy"].n, scores["accuracy"].groups) == (6, 3)
    assert scores["consistency"].value == pytest.approx(2 / 3)
    assert scores["consistency"].n == 3
    assert scores.counts == {"neither true nor false": 0}


def test_images_by_hand(file):
    """One wrong image of 36, and one that says neither: 34 / 36, 1 of 3 presentations whole."""
    answers = {f"dev-{key}-{k}.png": label for key, label in LABELS.items() for k in range(6)}
    answers |= {"dev-7-1-5.png": "true", "dev-3-1-0.png": "yes"}
    lines = "".join(f"{name},{answer}\n" for name, answer in answers.items())
    scores = evaluate("nlvr", file("q.jsonl", examples(LABELS)), file("p.csv", lines))
    assert scores.benchmark == "NLVR, images"
    assert scores["accuracy"].value == pytest.approx(34 / 36)
    assert (scores["accuracy"].n, scores["accuracy"].groups) == (36, 3)
    assert scores["consistency"].value == pytest.approx(1 / 3)
    assert scores.counts == {"neither true nor false": 1}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"7-2": "true"}, ["no question '7-2'"]),
        ({"7-0": None}, ["'7-0'", "prediction None"]),
        ({"dev-7-0-0.png": "true"}, ["no question 'dev-7-0-0.png'"]),
    ],
)
def test_predictions_of_other_questions_are_refused(file, change, names):
    questions, predictions = file("q.jsonl", examples(LABELS)), file("p.json", LABELS | change)
    with refusal(FileError, "line 1", *names):
        evaluate("nlvr", questions, predictions)


def test_missing_predictions_are_refused(file):
    questions = file("q.jsonl", examples(LABELS))
    with refusal(FileError, "1 of 6 questions", "'3-1'"):
        evaluate("nlvr", questions, file("p.json", {k: v for k, v in LABELS.items() if k != "3-1"}))
    with refusal(FileError, "6 of 6 questions"):
        evaluate("nlvr", questions, file("p.json", {}))
    images = "".join(f"dev-{key}-{k}.png,true\n" for key in LABELS for k in range(5))
    with refusal(FileError, "6 of 36 questions", "'7-0-5'"):
        evaluate("nlvr", questions, file("p.csv", images))


@pytest.mark.parametrize(
    ("second", "names"),
    [
        ("7-0", ["'7-0'", "no image", "dev-12-0-5.png"]),
        ("dev-7-0-6.png", ["'dev-7-0-6.png'", "no image"]),
        ("test-7-0-0.png", ["7-0-0", "another split"]),
        ("dev-9-0-0.png", ["no question '9-0-0'"]),
        ("dev-7-0-0.png", ["'dev-7-0-0.png'", "line 1"]),
    ],
)
def test_names_of_images_are_of_one_kind(file, second, names):
    predictions = file("p.csv", f"dev-7-0-0.png,true\n{second},true\n")
    with refusal(FileError, "line 2", *names):
        evaluate("nlvr", file("q.jsonl", examples(LABELS)), predictions)


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("label", "maybe", ["'label' is 'maybe'", "'true' or 'false'"]),
        ("label", True, ["'label' is True", "'true' or 'false'"]),
        ("identifier", "7", ["'identifier' is '7'", "pattern"]),
        ("identifier", 71, ["'identifier' is 71", "string"]),
        ("identifier", "7-0", ["'7-0'", "twice"]),
    ],
)
def test_a_damaged_example_has_its_line(file, field, value, names):
    rows = examples(LABELS)
    rows[1][field] = value
    path = file("q.jsonl", rows)
    with refusal(FileError, f"{path}, line 2", *names):
        nlvr.read(path)


def test_a_missing_field_and_a_foreign_file_are_named(file):
    rows = examples(LABELS)
    del rows[2]["label"]
    with refusal(FileError, "line 3", "'label'", "missing"):
        nlvr.read(file("q.jsonl", rows))
    with refusal(FileError, "line 1", "identifier, sentence, label"):
        nlvr.read(file("q.json", "[1]"))
    with refusal(FileError, "line 1", "'label' is 'True'"):  # NLVR2's
        nlvr.read(file("q.jsonl", examples({"1-1": "True"})))


def real(split, tmp_path):
    """The sentences of a split: unpacked, or in the archive of its repository's folder."""
    unpacked, archive = FOLDER / split / f"{split}.json", FOLDER / f"{split}.zip"
    if unpacked.is_file():
        return unpacked
    if not archive.is_file():
        pytest.skip(f"NLVR is not in {FOLDER}: MOELIB_NLVR names its folder.")
    with zipfile.ZipFile(archive) as file:
        return Path(file.extract(f"{split}/{split}.json", tmp_path))


@pytest.mark.parametrize(
    ("split", "n", "true", "presentations"), [("dev", 989, 547, 267), ("test", 990, 556, 266)]
)
def test_the_real_files(tmp_path, file, split, n, true, presentations):
    """A constant answer's scores are facts of the labels, counted here without the reader."""
    path = real(split, tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == n
    wrong = {row["identifier"].split("-")[0] for row in rows if row["label"] == "false"}
    constant = {row["identifier"]: "true" for row in rows}
    scores = evaluate("nlvr", path, file("p.json", constant))
    assert (scores["accuracy"].value, scores["accuracy"].n) == (pytest.approx(true / n), n)
    assert scores["consistency"].value == pytest.approx(1 - len(wrong) / presentations)
    assert scores["consistency"].n == presentations

    images = {
        f"{split}-{row['identifier']}-{k}.png": row["label"] for row in rows for k in range(6)
    }
    lines = [f"{name},{label}" for name, label in images.items()]
    first = rows[0]["identifier"]
    other = {"true": "false", "false": "true"}[rows[0]["label"]]
    lines[3] = f"{split}-{first}-3.png,{other}"
    scores = evaluate("nlvr", path, file("p.csv", "\n".join(lines)))
    assert scores["accuracy"].value == pytest.approx(1 - 1 / (6 * n))
    assert scores["consistency"].value == pytest.approx(1 - 1 / presentations)


PAIRS = {  # set 5 has two sentences, of two pairs and one; set 8 has one sentence, of two
    "dev-5-0-0": "True",
    "dev-5-3-0": "False",
    "dev-5-0-1": "True",
    "dev-8-1-0": "False",
    "dev-8-2-0": "False",
}


def test_nlvr2_by_hand(file):
    """Wrong: one of the pairs of 5-0, and one of 8-0 that says neither. 3 / 5, 1 of 3 sentences."""
    questions = file("q.jsonl", examples(PAIRS))
    answers = PAIRS | {"dev-5-3-0": "true", "dev-8-2-0": "no", "dev-5-0-1": "TRUE"}
    scores = evaluate("nlvr2", questions, file("p.json", answers))
    assert scores["accuracy"].value == pytest.approx(3 / 5)
    assert (scores["accuracy"].n, scores["accuracy"].groups) == (5, 2)
    assert scores["consistency"].value == pytest.approx(1 / 3)
    assert (scores["consistency"].n, scores["consistency"].groups) == (3, 2)
    assert scores.counts == {"neither true nor false": 1}


def test_nlvr2_refuses_what_is_not_its_own(file):
    questions = file("q.jsonl", examples(PAIRS))
    with refusal(FileError, "line 1", "no question 'dev-5-1-0'"):
        evaluate("nlvr2", questions, file("p.json", PAIRS | {"dev-5-1-0": "True"}))
    with refusal(FileError, "4 of 5 questions", "'dev-5-3-0'"):
        evaluate("nlvr2", questions, file("p.csv", "dev-5-0-0,True\n"))
    with refusal(FileError, "line 1", "'identifier' is '7-0'", "pattern"):
        nlvr2.read(file("nlvr.jsonl", examples(LABELS)))
