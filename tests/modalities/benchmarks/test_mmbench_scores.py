"""MMBench: CircularEval by hand, over questions of two to four options."""

import pytest
from prose import refusal

from moelib.modalities.benchmarks import mmbench
from moelib.modalities.benchmarks.evaluate import evaluate
from moelib.modalities.benchmarks.files import FileError

COLUMNS = "index question hint A B C D answer category l2-category image source split".split()


def rotations(index, options, answer, category):
    """Each rotation of the options to the left, the answer's letter moving along."""
    for k in range(len(options)):
        rotated = options[k:] + options[:k]
        cells = dict(zip("ABCD", rotated, strict=False))
        yield {
            "index": str(index + k * 1_000_000),
            "question": "What is it?",
            **cells,
            "answer": "ABCD"[rotated.index(answer)],
            "category": category,
            "l2-category": "perception" if category != "ocr" else "reasoning",
            "image": "x" * 200_000 if k == 0 else str(index),
            "split": "dev",
        }


ROWS = [
    *rotations(1, ["cat", "dog", "horse", "bird"], "dog", "animals"),
    *rotations(2, ["red", "blue", "green"], "red", "colors"),
    *rotations(3, ["yes", "no"], "no", "colors"),
    *rotations(999_999, ["one", "two", "three", "four"], "four", "ocr"),
]
RIGHT = {row["index"]: row["answer"] for row in ROWS}


def tsv(rows, columns=COLUMNS):
    lines = ["\t".join(columns)]
    lines += ["\t".join(row.get(column, "") for column in columns) for row in rows]
    return "\n".join(lines) + "\n"


def scored(file, answers, rows=ROWS):
    lines = "".join(f'{index},"{answer}"\n' for index, answer in answers.items())
    return evaluate(
        "mmbench", file("q.tsv", tsv(rows)), file("p.csv", "index,prediction\n" + lines)
    )


def test_rotations_are_as_published():
    """index + k 10^6; the answer's letter moves with its text."""
    assert [row["index"] for row in ROWS[:4]] == ["1", "1000001", "2000001", "3000001"]
    assert [row["answer"] for row in ROWS[:4]] == ["B", "A", "D", "C"]


def test_a_question_counts_if_every_pass_is_right(file):
    scores = scored(file, RIGHT)
    assert (scores["CircularEval"].value, scores["CircularEval"].n) == (1, 4)
    assert (scores["vanilla accuracy"].value, scores["vanilla accuracy"].n) == (1, 4)
    # one miss of three passes of 2, and the first of two of 3
    scores = scored(file, RIGHT | {"2000002": "A", "3": "A"})
    assert scores["CircularEval"].value == 2 / 4
    assert scores["vanilla accuracy"].value == 3 / 4
    assert scores["CircularEval", "split dev"].value == 2 / 4
    assert scores["CircularEval", "category colors"].value == 0
    assert scores["CircularEval", "category animals"].value == 1
    assert scores["CircularEval", "l2-category perception"].value == pytest.approx(1 / 3)
    assert scores["CircularEval", "l2-category reasoning"].value == 1


def test_a_constant_letter_never_passes(file):
    """B is right in the first pass of 1 and of 3; in all passes of none."""
    scores = scored(file, dict.fromkeys(RIGHT, "B"))
    assert scores["CircularEval"].value == 0
    assert scores["vanilla accuracy"].value == 2 / 4


def test_sentences_and_answers_that_pick_nothing(file):
    scores = scored(file, RIGHT | {"1": "It is a dog.", "2": "Z", "3": "", "999999": "E"})
    assert scores["CircularEval"].value == 1 / 4
    assert scores.counts == {
        "answers that pick no option": 3,
        "questions with fewer passes than options": 0,
    }


def test_none_and_na_are_options(file):
    rows = list(rotations(5, ["None", "NA", "nan"], "NA", "words"))
    scores = scored(file, {row["index"]: row["answer"] for row in rows}, rows)
    assert scores["CircularEval"].value == 1
    assert scores.counts["questions with fewer passes than options"] == 0


def test_fewer_passes_than_options_are_counted(file):
    rows = [*ROWS[:3], *ROWS[4:]]  # without the fourth pass of 1
    scores = scored(file, {row["index"]: row["answer"] for row in rows}, rows)
    assert scores["CircularEval"].value == 1
    assert scores.counts["questions with fewer passes than options"] == 1


def test_a_file_without_categories_has_no_subsets(file):
    plain = file("q.tsv", tsv(ROWS, ["index", "question", "A", "B", "C", "D", "answer"]))
    scores = evaluate("mmbench", plain, file("p.json", RIGHT))
    assert [score.name for score in scores.scores] == ["CircularEval", "vanilla accuracy"]


def test_without_rotations_there_is_no_circular_eval(file):
    firsts = [row for row in ROWS if int(row["index"]) < 1_000_000]
    with refusal(FileError, "q.tsv", "CircularEval"):
        scored(file, {row["index"]: row["answer"] for row in firsts}, firsts)


def test_every_pass_needs_its_prediction(file):
    answers = {index: answer for index, answer in RIGHT.items() if index != "2000002"}
    with refusal(FileError, "1 of 13 questions", "'2000002'"):
        scored(file, answers)
    with refusal(FileError, "line 15", "no question '4000001'"):
        scored(file, RIGHT | {"4000001": "A"})


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"answer": ""}, ["no answer"]),
        ({"answer": "E"}, ["answer is 'E'", "options are A, B, C, D"]),
        ({"D": "", "answer": "D"}, ["answer is 'D'", "options are A, B, C."]),
        ({"index": "one"}, ["'index' is 'one'", "pattern"]),
        ({"index": "1.0"}, ["'index' is '1.0'", "pattern"]),
        ({"index": "1"}, ["'1'", "twice"]),
        ({"index": "1000077"}, [1000077, "question 77"]),
        ({"question": ""}, ["'question'", "missing"]),
        ({"A": "x", "B": "", "C": "", "D": ""}, ["'options' is {'A': 'x'}"]),
    ],
)
def test_a_damaged_row_has_its_line(file, change, names):
    path = file("q.tsv", tsv([ROWS[0], ROWS[1] | change, *ROWS[2:]]))
    with refusal(FileError, f"{path}, line 3", *names):
        mmbench.read(path)


def test_a_foreign_table_is_refused(file):
    with refusal(FileError, "line 1", "no column 'index'"):
        mmbench.read(file("q.tsv", "question\tanswer\nx\ty\n"))
    with refusal(FileError, "line 1", "no column 'index'"):
        mmbench.read(file("q.tsv", '[{"index": 1}]'))
    with pytest.raises(FileError, match="holds no question"):
        mmbench.read(file("q.tsv", "\t".join(COLUMNS)))
