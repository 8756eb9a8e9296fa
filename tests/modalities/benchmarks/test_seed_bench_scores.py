"""SEED-Bench: likelihood ranking and letters by hand."""

import json

import pytest
from prose import refusal

from moelib.modalities.benchmarks import seed_bench
from moelib.modalities.benchmarks.evaluate import evaluate
from moelib.modalities.benchmarks.files import FileError


def question(name, kind, answer, source="img", **fields):
    return {
        "question_id": name,
        "question": "What?",
        "choice_a": "One",
        "choice_b": "Two",
        "choice_c": "Three",
        "choice_d": "Four",
        "answer": answer,
        "question_type_id": kind,
        "data_id": source,
        "data_type": "image",
        **fields,
    }


QUESTIONS = {
    "questions": [
        question("101", 1, "A", "i1"),
        question("102", 5, "B", "i1"),
        question("103", 5, "C", "i2"),
        question("v1", 10, "D", "clip.webm", data_type="video", segment=[1.0, 2.0]),
    ],
    "question_type": {"Scene Understanding": 1, "Instances Counting": 5, "Action Recognition": 10},
}
LOSSES = {
    "101": [0.1, 0.2, 0.3, 0.4],  # A, right
    "102": [3, 2.5, 2.75, 4],  # B, right
    "103": [-1, -2, -1.5, 0],  # B, wrong
    "v1": [5, 5, 5, 4.999],  # D, right
}
NAMES = ["question_id", "loss_a", "loss_b", "loss_c", "loss_d"]


def rows(losses):
    return [dict(zip(NAMES, [key, *values], strict=False)) for key, values in losses.items()]


def scored(file, predictions, name="p.json", questions=QUESTIONS):
    return evaluate("seed-bench", file("q.json", questions), file(name, predictions))


def test_the_lowest_loss_is_the_answer(file):
    scores = scored(file, rows(LOSSES))
    assert scores.benchmark == "SEED-Bench, likelihood ranking"
    assert (scores["accuracy"].value, scores["accuracy"].n) == (3 / 4, 4)
    assert scores["accuracy"].groups == 3  # images and clips
    assert scores["accuracy", "dimension 01 Scene Understanding"].value == 1
    assert scores["accuracy", "dimension 05 Instances Counting"].value == 1 / 2
    assert scores["accuracy", "dimension 10 Action Recognition"].value == 1
    assert scores["accuracy", "data_type image"].value == pytest.approx(2 / 3)
    assert scores["accuracy", "data_type video"].n == 1
    assert scores.counts == {"ties for the lowest loss": 0}


def test_losses_in_a_csv_are_the_same(file):
    lines = "".join(f"{key},{','.join(map(str, values))}\n" for key, values in LOSSES.items())
    assert scored(file, ",".join(NAMES) + "\n" + lines, "p.csv") == scored(file, rows(LOSSES))


def test_a_tie_for_the_lowest_loss_picks_none(file):
    losses = LOSSES | {"101": [0.1, 0.1, 0.3, 0.4], "102": [2, 1, 2, 2], "103": [0, 0, 0, 0]}
    scores = scored(file, rows(losses))  # 102's tie is not for the lowest
    assert scores["accuracy"].value == 2 / 4
    assert scores.counts == {"ties for the lowest loss": 2}


def test_letters(file):
    lines = "".join(
        f'{{"question_id": "{key}", "prediction": "{text}"}}\n'
        for key, text in {"101": "A", "102": "(B).", "103": "three", "v1": "d"}.items()
    )
    scores = scored(file, lines)  # as the authors' script writes them: one object a line
    assert scores.benchmark == "SEED-Bench, letters"
    assert scores["accuracy"].value == 3 / 4
    assert scores.counts == {"answers that pick no option": 1}


def test_the_second_version_has_levels_and_lists_of_images(file):
    fields = {"level": "L1", "subpart": "Single", "version": "v2", "data_source": "cc3m"}
    questions = {
        "questions": [
            question("17_0", 17, "A", ["1.png", "2.png"], **fields),
            question(7, 5, "B", "x", **fields | {"level": "L2"}),
        ]
    }
    scores = scored(file, {"17_0": "A", "7": "A"}, questions=questions)
    assert scores["accuracy", "level L1"].value == 1
    assert scores["accuracy", "level L2"].value == 0
    assert scores["accuracy", "subpart Single"].value == 1 / 2
    assert scores["accuracy", "dimension 05"].n == 1


def test_the_tsv_is_scored_by_letters(file):
    lines = ["index\tquestion\tA\tB\tC\tD\tanswer\tcategory\timage"]
    lines += [f"{i}\tWhat?\t1\t2\t3\t4\t{'ABCD'[i]}\tkind {i % 2}\tx" for i in range(4)]
    questions = file("q.tsv", "\n".join(lines))
    scores = evaluate(
        "seed-bench", questions, file("p.csv", "index,prediction\n0,A\n1,2\n2,C\n3,C\n")
    )
    assert scores["accuracy"].value == 3 / 4
    assert scores["accuracy", "dimension kind 0"].value == 1
    assert scores["accuracy", "dimension kind 1"].value == 1 / 2


@pytest.mark.parametrize(
    ("losses", "value"),
    [
        ([1, 2, 3], "'loss_d' of '102' is None"),
        ([1, 2, 3, "x"], "'loss_d' of '102' is 'x'"),
        ([1, "nan", 3, 4], "'loss_b' of '102' is 'nan'"),
        ([1, "inf", 3, 4], "'loss_b' of '102' is 'inf'"),
        ([1, True, 3, 4], "'loss_b' of '102' is True"),
        ([1, [2], 3, 4], "'loss_b' of '102' is [2]"),
        ([1, 10**400, 3, 4], f"'loss_b' of '102' is {10**400}"),
    ],
)
def test_a_loss_that_cannot_be_ranked_has_its_line(file, losses, value):
    with refusal(FileError, "p.json, line 1", value, "finite number"):
        scored(file, rows(LOSSES | {"102": losses}))


def test_losses_and_letters_are_not_mixed(file):
    mixed = [*rows(LOSSES)[:3], {"question_id": "v1", "prediction": "D"}]
    with refusal(FileError, "'loss_a' of 'v1' is None"):
        scored(file, mixed)
    with refusal(FileError, "'103'", "no 'prediction'"):
        scored(file, mixed[::-1])


def test_unknown_and_missing_questions_are_refused(file):
    with refusal(FileError, "no question '104'"):
        scored(file, rows(LOSSES | {"104": [1, 2, 3, 4]}))
    with refusal(FileError, "1 of 4 questions", "'v1'"):
        scored(file, rows(LOSSES)[:3])
    with refusal(FileError, "4 of 4 questions"):
        scored(file, [])


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"answer": "E"}, ["'answer' is 'E'", "'A', 'B', 'C' or 'D'"]),
        ({"answer": None}, ["'answer' is None", "'A', 'B', 'C' or 'D'"]),
        ({"choice_c": None}, ["'choice_c' is None", "string"]),
        ({"question_type_id": "5"}, ["'question_type_id' is '5'", "no number"]),
        ({"question_id": None}, ["'question_id' is None", "string"]),
        ({"question_id": "101"}, ["'101'", "twice"]),
    ],
)
def test_a_damaged_question_has_its_line(file, change, names):
    first, second = question("101", 1, "A"), question("102", 5, "B") | change
    text = '{"questions": [\n' + json.dumps(first) + ",\n" + json.dumps(second) + "]}"
    path = file("q.json", text)
    with refusal(FileError, f"{path}, line 3", *names):
        seed_bench.read(path)


def test_foreign_files_are_refused(file):
    with refusal(FileError, "no 'questions'"):
        seed_bench.read(file("q.json", [question("1", 1, "A")]))
    with refusal(FileError, "line 1", "question_id, question, choice_a"):
        seed_bench.read(file("q.json", {"questions": [3]}))
    with refusal(FileError, "'x'", "number", "'question_type'"):
        seed_bench.read(file("q.json", {"questions": [], "question_type": {"x": [1]}}))
    with pytest.raises(FileError, match="holds no question"):
        seed_bench.read(file("q.json", {"questions": []}))
    tsv = "index\tquestion\tA\tB\tC\tD\tanswer\tcategory\n1\tWhat?\t1\t2\t3\t\tA\tx\n"
    with refusal(FileError, "line 2", "'D' is empty"):  # as MMBench has them
        seed_bench.read(file("q.tsv", tsv))
    with refusal(FileError, "no column 'category'"):
        seed_bench.read(file("q.tsv", "index\tquestion\tA\tB\tC\tD\tanswer\n"))
