"""A prediction file: one row per question, its id under its authors' name, and what a model said.

Either JSON (an array of objects, one object a line, or one object that maps ids to predictions) or
CSV or TSV with a header; two columns without a header are the id and the prediction, as NLVR's
authors have it. The prediction stands under `prediction`. So any model can be scored:

    [{"questionId": "201307251", "prediction": "yes"}, ...]
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moelib.modalities.benchmarks.files import (
    Entry,
    FileError,
    csv_rows,
    json_entries,
    json_lines,
    read_text,
    table,
)

PREDICTION = "prediction"
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")


@dataclass(frozen=True)
class Predictions:
    """The rows of a prediction file by the id of their question."""

    path: Path
    key: str  # the name of the id
    rows: dict[str, Entry]  # value: the columns of the row

    def match(self, known: Collection[str], needed: Collection[str], questions: Path) -> None:
        """Refuse predictions for other questions than `known`, or not for all that are `needed`.

        The authors' scripts differ here: some stop, some leave out or overwrite. A score of a part
        of a benchmark is not its score, so all stop here.

        Raises:
            FileError: an id is unknown, or one is missing.
        """
        for name, row in self.rows.items():
            if name not in known:
                raise FileError(
                    f"{self.path}, line {row.line}: there is no question '{name}' in {questions}."
                )
        missing = [name for name in needed if name not in self.rows]
        if missing:
            raise FileError(
                f"{self.path} has no prediction for {len(missing)} of {len(needed)} questions, the "
                f"first of them '{missing[0]}'; an empty text is a wrong answer, a gap is none."
            )

    def texts(self) -> dict[str, str]:
        """Return each prediction as a text; true and false, and whole numbers, as JSON has them.

        Raises:
            FileError: a row has no prediction, or one that is no text.
        """
        return {name: self._text(name, row) for name, row in self.rows.items()}

    def _text(self, name: str, row: Entry) -> str:
        match row.value.get(PREDICTION):
            case bool(value):
                return "true" if value else "false"
            case str(value):
                return value
            case int(value):
                return str(value)
            case None if PREDICTION not in row.value:
                reason = f"has no '{PREDICTION}'"
            case value:
                reason = f"has the prediction {value!r}, which is no text"
        raise FileError(f"{self.path}, line {row.line}: the row of '{name}' {reason}.")


def read_predictions(path: Path, key: str) -> Predictions:
    """Read a prediction file in which `key` names the id of the question.

    Raises:
        FileError: the file is damaged, of another format, a row has no id, or two have the same.
    """
    if path.suffix not in SUFFIXES:
        raise FileError(
            f"{path}: predictions are {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; save them as "
            f"one of these."
        )
    rows: dict[str, Entry] = {}
    for row in _csv(path, key) if path.suffix in (".csv", ".tsv") else _json(path, key):
        name = _id(path, row, key)
        if name in rows:
            raise FileError(
                f"{path}, line {row.line}: '{name}' has a prediction in line {rows[name].line} "
                f"already."
            )
        rows[name] = row
    return Predictions(path, key, rows)


def _id(path: Path, row: Entry, key: str) -> str:
    if not isinstance(row.value, dict):
        raise FileError(f"{path}, line {row.line}: a prediction is an object with '{key}'.")
    match row.value.get(key):
        case str(name) if name:
            return name
        case int(name) if not isinstance(name, bool):
            return str(name)
        case None:
            raise FileError(f"{path}, line {row.line}: the prediction has no '{key}'.")
        case name:
            raise FileError(f"{path}, line {row.line}: '{key}' is {name!r}, which is no id.")


def _json(path: Path, key: str) -> Iterator[Entry]:
    if path.suffix == ".jsonl" or _is_lines(path, key):
        yield from json_lines(path)
        return
    for entry in json_entries(path):
        row: Any = entry.value
        if entry.name is not None:  # ids mapped to predictions
            row = {key: entry.name, PREDICTION: entry.value}
        yield Entry(entry.line, row)


def _is_lines(path: Path, key: str) -> bool:
    """Whether a .json holds one object a line, as SEED-Bench's script writes it."""
    first = read_text(path).lstrip().split("\n", 1)[0]
    return first.startswith("{") and f'"{key}"' in first


def _csv(path: Path, key: str) -> Iterator[Entry]:
    first = next(csv_rows(path))
    if key in first.value:
        yield from table(path, key)
        return
    if len(first.value) != 2 or PREDICTION in first.value:
        raise FileError(
            f"{path}, line {first.line}: a header with '{key}' and '{PREDICTION}' is needed, or "
            f"these two columns without one."
        )
    for row in csv_rows(path):
        if len(row.value) != 2:
            raise FileError(
                f"{path}, line {row.line}: the row and the first differ in length: "
                f"{len(row.value)} and 2 cells."
            )
        yield Entry(row.line, dict(zip((key, PREDICTION), row.value, strict=True)))
