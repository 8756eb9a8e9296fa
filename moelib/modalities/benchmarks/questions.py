"""The questions of a benchmark: rows of its authors' file by their ids."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from moelib.modalities.benchmarks.files import AnyRow, Entry, FileError, validated


@dataclass(frozen=True)
class Questions:
    """Rows by id; `key` is what predictions call the id."""

    path: Path
    key: str
    rows: dict[str, Any]


def collect(path: Path, key: str, kind: type[AnyRow], entries: Iterable[Entry]) -> Questions:
    """Validate each entry as a row of this kind, and name it by its field `id`.

    Raises:
        FileError: a row is damaged, an id stands twice, or there is no row at all.
    """
    rows: dict[str, AnyRow] = {}
    # Two million questions of GQA take minutes; of what takes less than a moment, nothing is shown.
    for entry in tqdm(entries, path.name, unit=" questions", delay=3, leave=False, disable=None):
        row = validated(path, entry, kind)
        if row.id in rows:
            raise FileError(f"{path}, line {entry.line}: the question '{row.id}' stands twice.")
        rows[row.id] = row
    if not rows:
        raise FileError(f"{path} holds no question.")
    return Questions(path, key, rows)
