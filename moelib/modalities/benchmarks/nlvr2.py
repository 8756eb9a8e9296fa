"""NLVR2: statements about two photographs, true or false (Suhr et al., ACL 2019, P19-1644).

Questions: `dev.json`, `test1.json`, or one of its balanced and unbalanced parts, one JSON object a
line: `identifier` (split-set-pair-sentence), `sentence`, `label` ("True" or "False"), and more. The
photographs are `split-set-pair-img0.png` (left) and `-img1.png` (right).

Predictions: `identifier`, `prediction` = True or False in any case.

Scores, as `nlvr2/eval/metrics.py` of github.com/lil-lab/nlvr computes them: accuracy, and
consistency, the share of sentences (split-set-sentence) which are right for each of their pairs. A
prediction that is neither true nor false is wrong, as there, and counted. The intervals take the
sentences about one set of eight photographs together.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from moelib.modalities.benchmarks.files import Row, json_lines
from moelib.modalities.benchmarks.nlvr import neither, truth_scores
from moelib.modalities.benchmarks.predictions import Predictions
from moelib.modalities.benchmarks.questions import Questions, collect
from moelib.modalities.benchmarks.scores import Scores

KEY = "identifier"


class Example(Row):
    """One statement about one pair of photographs."""

    id: Annotated[str, Field(alias=KEY, pattern=r"^\w+-\d+-\d+-\d+$")]
    sentence: str
    label: Literal["True", "False"]

    @property
    def photographs(self) -> str:
        """The set of eight photographs that its pair is of: split-set."""
        return self.id.rsplit("-", 2)[0]

    @property
    def statement(self) -> str:
        """What it shares with the other pairs of its sentence: split-set-sentence."""
        return f"{self.photographs}-{self.id.rsplit('-', 1)[1]}"


def read(path: Path) -> Questions:
    """Read the examples of a split."""
    return collect(path, KEY, Example, json_lines(path))


def score(questions: Questions, predictions: Predictions) -> Scores:
    """Accuracy and consistency."""
    examples: dict[str, Example] = questions.rows
    answers = predictions.texts()
    predictions.match(examples, examples, questions.path)
    right = {
        key: answers[key].strip().lower() == row.label.lower() for key, row in examples.items()
    }
    scores = truth_scores(
        right,
        {key: row.statement for key, row in examples.items()},
        {key: row.photographs for key, row in examples.items()},
    )
    return Scores("NLVR2", scores, {"neither true nor false": neither(answers)})
