"""NLVR: statements about three rendered boxes, true or false (Suhr et al., ACL 2017, P17-2034).

Questions: `dev.json` or `test.json`, one JSON object a line: `identifier` (n-m), `sentence`,
`label`, and more. n is the presentation for which a sentence was written, m = 0 to 3 one of its
images, and each of these was rendered six times, with the boxes in another order:
`images/<directory>/<split>-n-m-k.png`, k = 0 to 5.

Predictions (`identifier`, `prediction` = true or false in any case), all of one kind:
- of images, by the name of the PNG: six for each example;
- of structured representations, by the identifier: one for each example.

Scores, as `nlvr/metrics_images.py` and `metrics_structured_rep.py` of github.com/lil-lab/nlvr
compute them: accuracy ("precision" there) over all predictions, and consistency, the share of n of
which every prediction is right. 15 sentences of dev were written for several n: each counts by
itself. A prediction that is neither true nor false is wrong, as there, and counted;
blanks around one are left out.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from moelib.modalities.benchmarks.files import FileError, Row, json_lines
from moelib.modalities.benchmarks.predictions import Predictions
from moelib.modalities.benchmarks.questions import Questions, collect
from moelib.modalities.benchmarks.scores import Scores, mean

KEY = "identifier"
ORDERS = 6  # of three boxes
PNG = re.compile(r"[a-z0-9]+-(\d+-\d+-[0-5])\.png")


class Example(Row):
    """One statement about one arrangement of boxes."""

    id: Annotated[str, Field(alias=KEY, pattern=r"^\d+-\d+$")]
    sentence: str
    label: Literal["true", "false"]

    @property
    def presentation(self) -> str:
        """What it shares with the other examples of its sentence: n of n-m."""
        return self.id.split("-")[0]


def read(path: Path) -> Questions:
    """Read the examples of a split."""
    return collect(path, KEY, Example, json_lines(path))


def score(questions: Questions, predictions: Predictions) -> Scores:
    """Accuracy and consistency of predictions of images or of structured representations."""
    answers = predictions.texts()
    images = next(iter(answers), "").endswith(".png")
    examples: dict[str, Example] = questions.rows
    if images:
        answers = _by_image(predictions, answers)
        examples = {f"{key}-{k}": row for key, row in examples.items() for k in range(ORDERS)}
    renamed = dict(zip(answers, predictions.rows.values(), strict=True))
    Predictions(predictions.path, KEY, renamed).match(examples, examples, questions.path)
    right = {key: answers[key].strip().lower() == row.label for key, row in examples.items()}
    return Scores(
        "NLVR, images" if images else "NLVR, structured representations",
        truth_scores(right, {key: row.presentation for key, row in examples.items()}),
        {"neither true nor false": neither(answers)},
    )


def truth_scores(
    right: dict[str, bool], sentences: dict[str, str], sources: dict[str, str] | None = None
) -> tuple:
    """Accuracy of answers, and consistency: the share of sentences with every answer right.

    `sources`, by default the sentences, are what answers share that err together.
    """
    sources = sources or sentences
    whole: dict[str, bool] = defaultdict(lambda: True)
    source = {sentences[key]: sources[key] for key in right}
    for key, hit in right.items():
        whole[sentences[key]] &= hit
    return (
        mean("accuracy", list(right.values()), [sources[key] for key in right]),
        mean("consistency", list(whole.values()), [source[sentence] for sentence in whole]),
    )


def neither(answers: dict[str, str]) -> int:
    """How many answers are neither true nor false."""
    return sum(answer.strip().lower() not in ("true", "false") for answer in answers.values())


def _by_image(predictions: Predictions, answers: dict[str, str]) -> dict[str, str]:
    """Name each answer n-m-k instead of <split>-n-m-k.png."""
    renamed: dict[str, str] = {}
    for name, answer in answers.items():
        match = PNG.fullmatch(name)
        line = predictions.rows[name].line
        if match is None:
            raise FileError(
                f"{predictions.path}, line {line}: '{name}' is no image such as dev-12-0-5.png, as "
                f"the first row is."
            )
        if match[1] in renamed:
            raise FileError(
                f"{predictions.path}, line {line}: the image {match[1]} has a prediction already, "
                f"for another split."
            )
        renamed[match[1]] = answer
    return renamed
