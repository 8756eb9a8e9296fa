"""MMBench: multiple choice in every rotation (Liu et al., ECCV 2024, arXiv 2307.06281).

Questions: a TSV as its authors publish it (github.com/open-compass/MMBench), with the columns
`index`, `question`, `A`, `B`, ... (empty where a question has fewer options), `answer`, and, where
given, `category`, `l2-category` and `split`. It holds every question once per rotation of its
options: pass k of question g is the row with index g + 1,000,000 k. The test splits have no
answers: only the authors' server scores these.

Predictions: `index`, `prediction`, for each row; a letter or a sentence (see `choices`).

Scores, as `mcq_circular_eval` and `report_acc` of VLMEvalKit compute them without a judge:
CircularEval, the share of questions that are right in every pass, over all, by split, by
l2-category and by category; and the vanilla accuracy of first passes, which is not MMBench's score.
An answer that picks no option is wrong, and counted. Guessing evenly among N options passes with
probability N^-N, and always the same letter never.

VLMEvalKit reads the TSV with pandas, which takes an option that says "None" or "NA" for a missing
one; here only an empty cell is missing. It takes however many passes the file has; so does this,
and counts the questions whose passes are fewer than their options. A file without any rotation is
refused, since its score would be another.
"""

import string
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from moelib.modalities.benchmarks.choices import choice
from moelib.modalities.benchmarks.files import Entry, FileError, Row, table
from moelib.modalities.benchmarks.predictions import Predictions
from moelib.modalities.benchmarks.questions import Questions, collect
from moelib.modalities.benchmarks.scores import Scores, mean, means

KEY = "index"
ROTATION = 10**6  # between the indices of two passes
AXES = ("split", "l2-category", "category")


class Pass(Row):
    """One question with its options in one order."""

    id: Annotated[str, Field(alias=KEY, pattern=r"^(0|[1-9]\d*)$")]
    question: str
    options: Annotated[dict[str, str], Field(min_length=2)]
    answer: str
    tags: dict[str, str]
    line: int

    @property
    def group(self) -> int:
        """The index of the first pass of the same question."""
        return int(self.id) % ROTATION

    @property
    def is_first(self) -> bool:
        """Whether the options stand in their first order."""
        return int(self.id) < ROTATION


def read(path: Path) -> Questions:
    """Read all passes of all questions."""
    questions = collect(path, KEY, Pass, choice_rows(path, "A", "B"))
    passes: dict[str, Pass] = questions.rows
    for row in passes.values():
        if str(row.group) not in passes:
            raise FileError(
                f"{path}, line {row.line}: {row.id} rotates the question {row.group}, which is "
                f"not in the file."
            )
    return questions


def score(questions: Questions, predictions: Predictions) -> Scores:
    """CircularEval and vanilla accuracy."""
    passes: dict[str, Pass] = questions.rows
    if all(row.is_first for row in passes.values()):
        raise FileError(
            f"{questions.path} holds each question once, and CircularEval asks it once per "
            f"rotation of its options (index + {ROTATION:,} k): take the TSV of the authors."
        )
    texts = predictions.texts()
    predictions.match(passes, passes, questions.path)
    picks = {key: choice(texts[key], row.options) for key, row in passes.items()}

    hits: dict[int, bool] = defaultdict(lambda: True)
    tries: dict[int, int] = defaultdict(int)
    for key, row in passes.items():
        hits[row.group] &= picks[key] == row.answer
        tries[row.group] += 1
    firsts = [row for row in passes.values() if row.is_first]
    groups = [row.group for row in firsts]
    circular = [hits[group] for group in groups]
    scores = [
        mean("CircularEval", circular, groups),
        mean("vanilla accuracy", [picks[row.id] == row.answer for row in firsts], groups),
    ]
    for axis in AXES:
        subsets = [row.tags.get(axis) for row in firsts]
        scores += means("CircularEval", circular, groups, axis, subsets)
    return Scores(
        "MMBench",
        tuple(scores),
        {
            "answers that pick no option": sum(pick is None for pick in picks.values()),
            "questions with fewer passes than options": sum(
                tries[row.group] < len(row.options) for row in firsts
            ),
        },
    )


def choice_rows(path: Path, *columns: str) -> Iterator[Entry]:
    """Yield the filled cells of each row of a TSV, its options and tags gathered.

    Raises:
        FileError: a row has no answer, or one that is none of its options; or as `table`.
    """
    for entry in table(path, KEY, "question", *columns):
        cells = {name: cell for name, cell in entry.value.items() if cell}
        options = {name: cells[name] for name in string.ascii_uppercase if name in cells}
        if "answer" not in cells:
            raise FileError(
                f"{path}, line {entry.line}: the row has no answer; where the authors keep the "
                f"answers, as of test splits, only they can score."
            )
        if cells["answer"] not in options:
            raise FileError(
                f"{path}, line {entry.line}: the answer is {cells['answer']!r}, and the options "
                f"are {', '.join(options) or 'none'}."
            )
        tags = {axis: cells[axis] for axis in AXES if axis in cells}
        yield Entry(entry.line, {**cells, "options": options, "tags": tags, "line": entry.line})
