"""SEED-Bench: multiple choice over dimensions (Li et al., arXiv 2307.16125; version 2: 2311.17092).

Questions: the JSON of its authors (github.com/AILab-CVC/SEED-Bench, DATASET.md), an object with
`questions` (`question_id`, `question`, `choice_a` to `choice_d`, `answer`, `question_type_id`,
`data_id`, `data_type`, and in version 2 `level`, `subpart` and `version`) and `question_type` (the
names of the dimensions); or the TSV of VLMEvalKit, with MMBench's columns and no rotations.

Predictions, one of two kinds:
- likelihood ranking, the authors' way: `question_id` and `loss_a`, `loss_b`, `loss_c`, `loss_d`,
  the model's loss on the text of each choice; the lowest is its answer;
- letters: `question_id` (`index` for a TSV) and `prediction`, a letter or a sentence (`choices`).
The two are different measurements and are never mixed.

Scores: accuracy over all questions, pooled, and by dimension, data type, subpart and level. The
authors' `eval.py` ranks with `argsort`, so that equal losses fall to whichever choice the sort puts
first; here a tie for the lowest picks none, is wrong, and is counted. Whether a loss is a sum or a
mean over tokens is left to each model's interface there (InstructBLIP's is called without a
reduction, LLaVA's is a mean), so state which yours is. `eval.py` of version 2 takes levels L1 and
L2 by default and no accuracy is computed there: read the level that you mean.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from moelib.modalities.benchmarks import mmbench
from moelib.modalities.benchmarks.choices import choice
from moelib.modalities.benchmarks.files import Entry, FileError, Row, json_entries
from moelib.modalities.benchmarks.predictions import Predictions
from moelib.modalities.benchmarks.questions import Questions, collect
from moelib.modalities.benchmarks.scores import Scores, mean, means

KEY = "question_id"
LETTERS = "ABCD"
LOSSES = ("loss_a", "loss_b", "loss_c", "loss_d")
AXES = ("dimension", "data_type", "subpart", "level")


def _text(value: object) -> object:
    """A number that stands for a text, as ids and choices may be."""
    whole = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if whole else value


Text = Annotated[str, BeforeValidator(_text)]


class Question(Row):
    """One question about one image, several, or a video."""

    id: Annotated[Text, Field(alias=KEY, min_length=1)]
    question: str
    choice_a: Text
    choice_b: Text
    choice_c: Text
    choice_d: Text
    answer: Literal["A", "B", "C", "D"]
    dimension: str
    data_id: str | list[str]
    data_type: str | None = None
    subpart: str | None = None
    level: str | None = None

    @property
    def options(self) -> dict[str, str]:
        """The choices by their letters."""
        texts = (self.choice_a, self.choice_b, self.choice_c, self.choice_d)
        return dict(zip(LETTERS, texts, strict=True))

    @property
    def source(self) -> str:
        """The image or images, or the video, that it is about."""
        return str(self.data_id)


def read(path: Path) -> Questions:
    """Read the authors' JSON, or VLMEvalKit's TSV."""
    if path.suffix == ".tsv":
        return collect(path, mmbench.KEY, Question, _tsv(path))
    return collect(path, KEY, Question, _json(path))


def score(questions: Questions, predictions: Predictions) -> Scores:
    """Accuracy, of likelihood ranking if the first prediction has losses, else of letters."""
    rows: dict[str, Question] = questions.rows
    predictions.match(rows, rows, questions.path)
    first = next(iter(predictions.rows.values())).value
    if ranked := LOSSES[0] in first:
        picks = {key: _lowest(predictions, key) for key in rows}
    else:
        texts = predictions.texts()
        picks = {key: choice(texts[key], row.options) for key, row in rows.items()}
    right = [picks[key] == row.answer for key, row in rows.items()]
    sources = [row.source for row in rows.values()]
    scores = [mean("accuracy", right, sources)]
    for axis in AXES:
        subsets = [getattr(row, axis) for row in rows.values()]
        scores += means("accuracy", right, sources, axis, subsets)
    unsure = "ties for the lowest loss" if ranked else "answers that pick no option"
    return Scores(
        f"SEED-Bench, {'likelihood ranking' if ranked else 'letters'}",
        tuple(scores),
        {unsure: sum(pick is None for pick in picks.values())},
    )


def _lowest(predictions: Predictions, key: str) -> str | None:
    """The letter of the lowest loss, None if it is not the only one.

    Raises:
        FileError: a loss is missing, no number, or not finite.
    """
    row = predictions.rows[key]
    losses = []
    for name in LOSSES:
        value = row.value.get(name)
        try:
            loss = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            loss = math.nan
        if not math.isfinite(loss):
            raise FileError(
                f"{predictions.path}, line {row.line}: '{name}' of '{key}' is {value!r}; ranking "
                f"needs a finite number for each of {', '.join(LOSSES)}."
            )
        losses.append(loss)
    best = min(losses)
    return LETTERS[losses.index(best)] if losses.count(best) == 1 else None


def _json(path: Path) -> Iterator[Entry]:
    names: dict[int, str] = {}
    if any(entry.name == "question_type" for entry in json_entries(path)):
        for entry in json_entries(path, "question_type"):
            if not isinstance(entry.value, int):
                raise FileError(
                    f"{path}, line {entry.line}: the dimension '{entry.name}' has a number in "
                    f"'question_type', and not {entry.value!r}."
                )
            names[entry.value] = entry.name
    for entry in json_entries(path, "questions"):
        if not isinstance(entry.value, dict):
            yield entry  # is refused as a row
            continue
        kind = entry.value.get("question_type_id")
        if not isinstance(kind, int):
            raise FileError(
                f"{path}, line {entry.line}: 'question_type_id' is {kind!r}, and no number."
            )
        dimension = f"{kind:02} {names.get(kind, '')}".strip()
        yield Entry(entry.line, {**entry.value, "dimension": dimension})


def _tsv(path: Path) -> Iterator[Entry]:
    for entry in mmbench.choice_rows(path, *LETTERS, "category"):
        cells = entry.value
        for name in (mmbench.KEY, "question", *LETTERS, "category"):
            if name not in cells:
                raise FileError(f"{path}, line {entry.line}: the column '{name}' is empty.")
        yield Entry(
            entry.line,
            {
                **cells,
                **{f"choice_{letter.lower()}": cells[letter] for letter in LETTERS},
                KEY: cells[mmbench.KEY],
                "dimension": cells["category"],
                "data_id": cells[mmbench.KEY],
            },
        )
