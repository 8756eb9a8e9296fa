"""GQA: compositional questions about photographs (Hudson and Manning, CVPR 2019, arXiv 1902.09506).

Questions: the authors' JSON, an object of questions by id (`imageId`, `question`, `answer`,
`isBalanced`, `groups`, `types`, `semantic`, `entailed`), or the folder of such files in which a
large split comes. Choices (optional): JSON, `valid` and `plausible` answers by id. The splits
`test` and `challenge` have no answers: only the authors' server scores these.

Predictions: `questionId`, `prediction`; for each balanced question, or, with consistency, for each.

Scores, as the authors' evaluation script (`eval.py` of nlp.stanford.edu/data/gqa/eval.zip; read in
copies that other projects keep) computes them, over balanced questions and by exact comparison:
- accuracy; binary and open (open: of the structural type `query`); by structural and semantic type,
  by reasoning steps (`semantic` operations but for those that only name the answer) and by words;
- consistency: for each question answered right that entails others, the accuracy on these, averaged
  over such questions; the entailed ones need not be balanced, so all questions and predictions for
  all are needed;
- validity and plausibility: the answer is among the question's `valid` or `plausible` ones; for a
  question for what objects have in common, these are color, material and shape;
- distribution, lower is better: per global group, chi-square = sum over true answers a of
  (o_a - e_a)^2 / e_a, where e_a of its questions have the answer a and o_a got it; averaged over
  groups by their numbers of questions, and divided by 100. An answer that is true nowhere in its
  group counts by what it leaves out.
Grounding needs attention maps, and is not computed. Where nothing counts towards a score, the
script says 0, and this says none.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from moelib.modalities.benchmarks.files import Entry, FileError, Row, json_entries, validated
from moelib.modalities.benchmarks.predictions import Predictions
from moelib.modalities.benchmarks.questions import Questions, collect
from moelib.modalities.benchmarks.scores import Score, Scores, mean, means

KEY = "questionId"
NAMING = ("exist", "query: name", "choose name")  # operations that are no step of reasoning
COMMON = ("color", "material", "shape")  # what objects have in common


class Types(Row):
    """What is asked, in three ways."""

    structural: str
    semantic: str
    detailed: str


class Groups(Row):
    """The group of questions with which its answers are balanced; some have none."""

    whole: Annotated[str | None, Field(alias="global")]


class Operation(Row):
    """One operation of the functional program."""

    operation: str
    argument: str


class Question(Row):
    """One question about one image."""

    id: str
    image: Annotated[str, Field(alias="imageId")]
    question: str
    answer: str
    balanced: Annotated[bool, Field(alias="isBalanced")]
    types: Types
    groups: Groups
    semantic: list[Operation]
    entailed: list[str]

    @property
    def words(self) -> int:
        """The number of its words."""
        return len(self.question.split())

    @property
    def steps(self) -> int:
        """The number of operations but for those that only name the answer."""
        texts = (f"{step.operation}: {step.argument}" for step in self.semantic)
        return sum(not any(naming in text for naming in NAMING) for text in texts)


class Choices(Row):
    """The answers that make sense for a question: at all, and in the world."""

    valid: list[str]
    plausible: list[str]


def read(path: Path) -> Questions:
    """Read a file of questions, or a folder of such files."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise FileError(f"{path} is a folder without any .json.")
    rows: dict[str, Question] = {}
    for file in files:
        part = collect(file, KEY, Question, _entries(file)).rows
        for name in part:
            if name in rows:
                raise FileError(f"{file}: the question '{name}' is in another file of its folder.")
        rows.update(part)
    return Questions(path, KEY, rows)


def score(
    questions: Questions,
    predictions: Predictions,
    choices: Path | None = None,
    consistency: bool = False,
) -> Scores:
    """Return all scores but grounding; validity and plausibility with a file of choices."""
    rows: dict[str, Question] = questions.rows
    balanced = [row for row in rows.values() if row.balanced]
    if not balanced:
        raise FileError(f"{questions.path} holds no balanced question, and only these are scored.")
    needed = rows if consistency else {row.id for row in balanced}
    answers = predictions.texts()
    predictions.match(rows, [name for name in rows if name in needed], questions.path)

    images = [row.image for row in balanced]
    right = [answers[row.id] == row.answer for row in balanced]
    binary = [row.types.structural != "query" for row in balanced]
    scores = [mean("accuracy", right, images)]
    for name, kind in (("binary", True), ("open", False)):
        places = [i for i, is_binary in enumerate(binary) if is_binary is kind]
        scores.append(mean(name, [right[i] for i in places], [images[i] for i in places]))
    if consistency:
        scores.append(_consistency(questions, answers))
    if choices is not None:
        scores += _sense(balanced, answers, choices)
    scores.append(_distribution(balanced, answers))
    subsets = {
        "structural": [row.types.structural for row in balanced],
        "semantic": [row.types.semantic for row in balanced],
        "steps": [row.steps for row in balanced],
        "words": [row.words for row in balanced],
    }
    for axis, values in subsets.items():
        scores += means("accuracy", right, images, axis, values)
    return Scores("GQA", tuple(scores), {})


def _consistency(questions: Questions, answers: dict[str, str]) -> Score:
    rows: dict[str, Question] = questions.rows
    values, images = [], []
    for row in rows.values():
        others = [name for name in row.entailed if name != row.id]
        if not row.balanced or not others or answers[row.id] != row.answer:
            continue
        for name in others:
            if name not in rows:
                raise FileError(
                    f"{questions.path}: '{row.id}' entails '{name}', which is not in the file; "
                    f"consistency needs the file of all questions, not of the balanced ones."
                )
        values.append(sum(answers[name] == rows[name].answer for name in others) / len(others))
        images.append(row.image)
    return mean("consistency", values, images)


def _sense(balanced: list[Question], answers: dict[str, str], path: Path) -> list[Score]:
    """Validity and plausibility."""
    choices = {entry.name: validated(path, entry, Choices) for entry in json_entries(path)}
    images = [row.image for row in balanced]
    values: dict[str, list[bool]] = {"validity": [], "plausibility": []}
    for row in balanced:
        if row.id not in choices:
            raise FileError(f"{path} has no choices for the question '{row.id}'.")
        known = choices[row.id]
        for name, group in (("validity", known.valid), ("plausibility", known.plausible)):
            group = COMMON if "Common" in row.types.detailed else group
            values[name].append(answers[row.id] in group)
    return [mean(name, hits, images) for name, hits in values.items()]


def _distribution(balanced: list[Question], answers: dict[str, str]) -> Score:
    true: dict[str, Counter] = defaultdict(Counter)
    predicted: dict[str, Counter] = defaultdict(Counter)
    for row in balanced:
        if row.groups.whole is not None:
            true[row.groups.whole][row.answer] += 1
            predicted[row.groups.whole][answers[row.id]] += 1
    total = sum(counter.total() for counter in true.values())
    weighted = sum(
        counter.total()
        * sum((predicted[group][answer] - e) ** 2 / e for answer, e in counter.items())
        for group, counter in true.items()
    )
    value = weighted / total / 100 if total else None
    return Score("distribution, lower is better", "all", value, total, share=False)


def _entries(path: Path) -> Iterator[Entry]:
    for entry in json_entries(path):
        if entry.name is None:
            raise FileError(
                f"{path}, line {entry.line}: GQA's questions are an object of questions by their "
                f"ids, and this is an array."
            )
        if isinstance(entry.value, dict) and "answer" not in entry.value:
            raise FileError(
                f"{path}, line {entry.line}: the question '{entry.name}' has no answer; of test "
                f"and challenge only GQA's authors have them."
            )
        value = entry.value
        yield Entry(entry.line, {**value, "id": entry.name} if isinstance(value, dict) else value)
