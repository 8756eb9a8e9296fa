"""GQA: every score worked out by hand on eight questions about two images."""

import copy
import json

import pytest
from prose import refusal

from moelib.modalities.benchmarks import gqa
from moelib.modalities.benchmarks.evaluate import evaluate
from moelib.modalities.benchmarks.files import FileError


def question(
    image, answer, structural, group=None, entailed=(), balanced=True, detailed="x", **fields
):
    return {
        "imageId": image,
        "question": "What is it?",
        "answer": answer,
        "isBalanced": balanced,
        "groups": {"global": group, "local": "l"},
        "types": {"structural": structural, "semantic": "attr", "detailed": detailed},
        "semantic": [{"operation": "select", "dependencies": [], "argument": "cup (7)"}],
        "entailed": list(entailed),
        "equivalent": [],
        "annotations": {},
        **fields,
    }


def operations(*texts):
    pairs = [text.split(": ") for text in texts]
    return [{"operation": name, "argument": argument} for name, argument in pairs]


QUESTIONS = {
    "a": question("1", "red", "query", "color", ["a", "b", "c"]),
    "b": question("1", "yes", "verify", None, ["c"], balanced=False),
    "c": question("1", "no", "verify", None, ["a", "b"]),
    "d": question("1", "red", "query", "color", ["b"]),
    "e": question("2", "blue", "query", "color"),
    "f": question("2", "color", "compare", detailed="twoCommon"),
    "g": question("2", "dog", "query", "animal", ["g"], question="Which animal is it?"),
    "h": question("2", "left", "choose", balanced=False),
}
# Right: a, b, g, h, f; wrong: c, d, e.
ANSWERS = {
    "a": "red",
    "b": "yes",
    "c": "yes",
    "d": "blue",
    "e": "green",
    "f": "color",
    "g": "dog",
    "h": "left",
}
CHOICES = {
    "a": {"valid": ["red", "blue"], "plausible": ["red"]},
    "c": {"valid": ["yes", "no"], "plausible": ["no"]},
    "d": {"valid": ["red", "blue"], "plausible": ["red"]},
    "e": {"valid": ["red", "blue"], "plausible": ["blue"]},
    "f": {"valid": [], "plausible": []},
    "g": {"valid": ["dog", "cat"], "plausible": ["dog", "cat"]},
}


def scored(file, questions=QUESTIONS, answers=ANSWERS, choices=None, consistency=False):
    rows = [{"questionId": key, "prediction": answer} for key, answer in answers.items()]
    path = file("c.json", choices) if choices is not None else None
    return evaluate("gqa", file("q.json", questions), file("p.json", rows), path, consistency)


def test_accuracy(file):
    """Balanced: a, c to g; right of them a, f, g. Open: a, d, e, g; binary: c, f."""
    scores = scored(file)
    assert (scores["accuracy"].value, scores["accuracy"].n) == (3 / 6, 6)
    assert scores["accuracy"].groups == 2  # images
    assert (scores["open"].value, scores["open"].n) == (2 / 4, 4)
    assert (scores["binary"].value, scores["binary"].n) == (1 / 2, 2)
    assert scores["accuracy", "structural compare"].value == 1
    assert scores["accuracy", "structural verify"].value == 0
    assert scores["accuracy", "semantic attr"].n == 6
    assert (scores["accuracy", "words 4"].value, scores["accuracy", "words 4"].n) == (1, 1)
    assert (scores["accuracy", "words 3"].value, scores["accuracy", "words 3"].n) == (2 / 5, 5)


def test_consistency(file):
    """Of right ones that entail others: a, whose b is right and c wrong, 1 / 2.

    c and d are wrong, g entails only itself, b is right and entails c but is not balanced.
    """
    scores = scored(file, consistency=True)
    assert (scores["consistency"].value, scores["consistency"].n) == (1 / 2, 1)
    scores = scored(file, answers=ANSWERS | {"c": "no", "d": "red"}, consistency=True)
    # a: b, c right; c: a, b right; d: b right
    assert (scores["consistency"].value, scores["consistency"].n) == (1, 3)
    scores = scored(file, answers=ANSWERS | {"c": "no", "d": "red", "b": "no"}, consistency=True)
    # a: only c right, 1 / 2; c: only a right, 1 / 2; d: none, 0
    assert scores["consistency"].value == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    scores = scored(file, answers=dict.fromkeys(ANSWERS, "x"), consistency=True)
    assert (scores["consistency"].value, scores["consistency"].n) == (None, 0)


def test_validity_and_plausibility(file):
    """Valid: a red, c yes, d blue, g dog, f color (what objects share); not e green.

    Plausible: a red, g dog, f color; not c yes, d blue, e green.
    """
    scores = scored(file, choices=CHOICES)
    assert scores["validity"].value == pytest.approx(5 / 6)
    assert scores["plausibility"].value == pytest.approx(3 / 6)
    scores = scored(file, answers=ANSWERS | {"f": "size"}, choices=CHOICES)
    assert scores["validity"].value == pytest.approx(4 / 6)


def test_distribution(file):
    """Color: true red 2, blue 1; predicted red 1, blue 1, green 1. Animal: dog 1, dog 1.

    chi^2 = (1 - 2)^2 / 2 + 0 = 1 / 2 and 0; over groups of 3 and 1: 3 / 8; over 100.
    """
    scores = scored(file)
    distribution = scores["distribution, lower is better"]
    assert distribution.value == pytest.approx(3 / 8 / 100)
    assert distribution.n == 4
    questions = {key: row for key, row in QUESTIONS.items() if key in "cf"}  # of no group
    scores = scored(file, questions, {"c": "yes", "f": "color"})
    assert scores["distribution, lower is better"].value is None


def test_steps_leave_out_what_only_names_the_answer(file):
    programs = {
        "a": operations("select: cup (7)", "query: name"),
        "c": operations("select: cup (7)", "exist: ?"),
        "d": operations("select: cup (7)", "choose name: cup|plate"),
        "e": operations("select: cup (7)", "query: color"),
        "f": operations("select: cup (7)", "select: plate (8)", "common: ?"),
        "g": operations("select: exist-sign (7)", "filter color: red", "query: name of it"),
    }  # g: "exist" and "query: name" within a longer text are left out, too
    questions = copy.deepcopy(QUESTIONS)
    for key, program in programs.items():
        questions[key]["semantic"] = program
    scores = scored(file, questions)
    steps = {s.subset: (s.value, s.n) for s in scores.scores if s.subset.startswith("steps")}
    assert steps == {"steps 1": (2 / 4, 4), "steps 2": (0, 1), "steps 3": (1, 1)}


def test_answers_are_compared_as_they_are(file):
    assert scored(file, answers=ANSWERS | {"a": "Red"})["accuracy"].value == pytest.approx(2 / 6)
    assert scored(file, answers=ANSWERS | {"a": "red "})["accuracy"].value == pytest.approx(2 / 6)


def test_without_consistency_only_balanced_questions_need_predictions(file):
    answers = {key: answer for key, answer in ANSWERS.items() if key not in "bh"}
    assert scored(file, answers=answers)["accuracy"].value == 3 / 6
    with refusal(FileError, "2 of 8 questions", "'b'"):
        scored(file, answers=answers, consistency=True)


def test_consistency_needs_the_entailed_questions(file):
    balanced = {key: row for key, row in QUESTIONS.items() if row["isBalanced"]}
    answers = {key: ANSWERS[key] for key in balanced}
    assert scored(file, balanced, answers)["accuracy"].value == 3 / 6
    with refusal(FileError, "'a' entails 'b'", "consistency"):
        scored(file, balanced, answers, consistency=True)


def test_a_folder_of_parts_is_one_split(file, tmp_path):
    halves = [dict(list(QUESTIONS.items())[:4]), dict(list(QUESTIONS.items())[4:])]
    for number, half in enumerate(halves):
        file(f"train/train_{number}.json", half)
    predictions = file("p.json", ANSWERS)
    whole = evaluate("gqa", file("q.json", QUESTIONS), predictions)
    assert evaluate("gqa", tmp_path / "train", predictions) == whole
    file("train/train_2.json", halves[0])
    with refusal(FileError, "train_2.json", "'a'", "another file"):
        gqa.read(tmp_path / "train")
    (tmp_path / "empty").mkdir()
    with refusal(FileError, tmp_path / "empty", ".json"):
        gqa.read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"answer": 3}, ["'answer' is 3", "string"]),
        ({"isBalanced": "yes"}, ["'isBalanced' is 'yes'", "boolean"]),
        ({"groups": {"local": "x"}}, ["'groups.global'", "missing"]),
        ({"types": {"structural": "query"}}, ["'types.semantic'", "missing"]),
        ({"entailed": "a"}, ["'entailed' is 'a'", "list"]),
        ({"semantic": [{"operation": "x"}]}, ["'semantic.0.argument'", "missing"]),
    ],
)
def test_a_damaged_question_has_its_line(file, change, names):
    text = (
        '{\n"a": '
        + json.dumps(QUESTIONS["a"])
        + ',\n"b": '
        + json.dumps(QUESTIONS["b"] | change)
        + "}"
    )
    path = file("q.json", text)
    with refusal(FileError, f"{path}, line 3", *names):
        gqa.read(path)


def test_what_cannot_be_scored_is_refused(file):
    hidden = {"a": {"imageId": "1", "question": "What?", "isBalanced": True}}
    with refusal(FileError, "line 1", "'a'", "no answer"):
        gqa.read(file("q.json", hidden))
    with refusal(FileError, "line 1", "object", "ids"):
        gqa.read(file("q.json", [QUESTIONS["a"]]))
    with refusal(FileError, "line 1", "id, imageId, question"):
        gqa.read(file("q.json", {"a": 3}))
    with pytest.raises(FileError, match="holds no question"):
        gqa.read(file("q.json", {}))
    with pytest.raises(FileError, match="holds no balanced question"):
        scored(file, {"b": QUESTIONS["b"]}, {"b": "yes"})
    with refusal(FileError, "c.json", "no choices", "'e'"):
        scored(file, choices={key: CHOICES[key] for key in "acd"})
    with refusal(FileError, "c.json, line 1", "'valid'", "missing"):
        scored(file, choices={"a": {"plausible": []}})
    with refusal(FileError, "line 1", "no question 'z'"):
        scored(file, answers=ANSWERS | {"z": "yes"})
