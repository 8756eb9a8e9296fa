"""Files that others wrote: JSON, JSON lines, CSV and TSV, each entry with the line it starts on."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

LONGEST_CELL = 2**31 - 1  # characters; a cell of a TSV may hold a whole image in base64
SPACE = re.compile(r"[ \t\r\n]*")
SHOWN = 60  # characters of a value in a sentence


class FileError(ValueError):
    """A file that is damaged, foreign or ambiguous; the message is a sentence with its line."""


class Row(BaseModel):
    """What is needed of one entry of a published file; its other fields are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a file: the line it starts on, and its name if it is a member of an object."""

    line: int
    value: Any
    name: str | None = None


def json_entries(path: Path, member: str | None = None) -> Iterator[Entry]:
    """Yield the elements of a JSON array, or the members of a JSON object, in their order.

    With `member`, the file is an object, and the entries are those of the array or object that it
    holds under this name.

    Raises:
        FileError: the file is not readable, not JSON, or has no such member; a name stands twice
            in an object; NaN or infinity, which JSON does not know.
    """
    text = read_text(path)
    start = SPACE.match(text).end()
    if member is not None:
        outer = {name: place for name, place, _, _ in _walk(path, text, start, whole=True)}
        if member not in outer:
            raise FileError(f"{path}, line 1: the file holds no '{member}'.")
        start = outer[member]
    for name, _, line, value in _walk(path, text, start, whole=member is None):
        yield Entry(line, value, name)


def json_lines(path: Path) -> Iterator[Entry]:
    """Yield the JSON value of each line that is not empty.

    Raises:
        FileError: the file is not readable, or a line is not JSON.
    """
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if text.strip():
            try:
                yield Entry(line, DECODER.decode(text.strip()))
            except (ValueError, RecursionError) as error:
                raise FileError(f"{path}, line {line}: {_fault(error)}") from None


def csv_rows(path: Path) -> Iterator[Entry]:
    """Yield the cells of each row of a CSV or, by its suffix, TSV; a cell in quotes may hold lines.

    Raises:
        FileError: the file is not readable, or quotes do not close.
    """
    csv.field_size_limit(LONGEST_CELL)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield Entry(line, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise FileError(f"{path}, line {line}: this row is damaged: {error}.") from None


def table(path: Path, *columns: str) -> Iterator[Entry]:
    """Yield each row below the header as a dictionary.

    Raises:
        FileError: as `csv_rows`; the header lacks one of `columns` or has one twice; a row is
            shorter or longer than the header.
    """
    rows = csv_rows(path)
    header = next(rows).value
    for column in columns:
        if column not in header:
            raise FileError(
                f"{path}, line 1: the header has no column '{column}'; it has "
                f"{_short(', '.join(header))}."
            )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise FileError(f"{path}, line 1: the header has the column '{twice}' twice.")
    for row in rows:
        if len(row.value) != len(header):
            raise FileError(
                f"{path}, line {row.line}: the row and the header differ in length: "
                f"{len(row.value)} and {len(header)} cells."
            )
        yield Entry(row.line, dict(zip(header, row.value, strict=True)))


def validated(path: Path, entry: Entry, kind: type[AnyRow]) -> AnyRow:
    """Turn an entry into a row of this kind.

    Raises:
        FileError: a field is missing, of another type or not allowed.
    """
    if not isinstance(entry.value, dict):
        raise FileError(
            f"{path}, line {entry.line}: an object with "
            f"{', '.join(field.alias or name for name, field in kind.model_fields.items())} is "
            f"needed here, and not {_short(json.dumps(entry.value))}."
        )
    try:
        return kind.model_validate(entry.value)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(map(str, fault["loc"]))
        if fault["type"] == "missing":
            reason = f"'{field}' is missing"
        else:
            message = fault["msg"][0].lower() + fault["msg"][1:]
            reason = f"'{field}' is {_short(repr(fault['input']))}: {message}"
        raise FileError(f"{path}, line {entry.line}: {reason}.") from None


def read_text(path: Path) -> str:
    """Read a text in UTF-8, with or without a byte order mark.

    Raises:
        FileError: there is no such file, it is not readable, not UTF-8, or empty.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}.") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(f"{path}, line {line}: the file is not a text in UTF-8.") from None
    if not text.strip():
        raise FileError(f"{path}, line 1: the file is empty.")
    return text


def _walk(path: Path, text: str, start: int, whole: bool) -> Iterator[tuple]:
    """Yield (name, place, line, value) of each entry of the array or object that begins at `start`.

    Python's own decoder reads each entry; only the brackets and commas around them are read here,
    since that decoder does not tell where an entry stood. `whole`: nothing may follow it.
    """
    line, counted = 1, 0
    names: set[str] = set()

    def refuse(place: int, reason: str) -> FileError:
        return FileError(f"{path}, line {text.count(chr(10), 0, place) + 1}: {reason}")

    def cut_short() -> FileError:
        return refuse(len(text.rstrip()), "the file ends too early: it was cut short.")

    def expect(place: int, allowed: str) -> int:
        place = SPACE.match(text, place).end()
        if place == len(text):
            raise cut_short()
        if text[place] not in allowed:
            needed = " or ".join(f"'{character}'" for character in allowed)
            raise refuse(place, f"not JSON: {needed} is needed where {text[place]!r} stands.")
        return place

    def decode(place: int) -> tuple[Any, int]:
        place = SPACE.match(text, place).end()
        try:
            return DECODER.raw_decode(text, place)
        except json.JSONDecodeError as error:
            if error.pos >= len(text.rstrip()):
                raise cut_short() from None
            raise refuse(error.pos, _fault(error)) from None
        except (ValueError, RecursionError) as error:
            raise refuse(place, _fault(error)) from None

    place = expect(start, "[{")
    closing = {"[": "]", "{": "}"}[text[place]]
    after = SPACE.match(text, place + 1).end()
    if text[after : after + 1] == closing:
        place = after
    while text[place] != closing:
        name = None
        begin = SPACE.match(text, place + 1).end()
        if closing == "}":
            begin = expect(begin, '"')
            name, after = decode(begin)
            after = expect(after, ":") + 1
            if name in names:
                raise refuse(begin, f"the name '{name}' stands twice in one object.")
            names.add(name)
        else:
            after = begin
        line, counted = line + text.count("\n", counted, begin), begin
        inside = SPACE.match(text, after).end()
        value, after = decode(after)
        yield name, inside, line, value
        place = expect(after, "," + closing)
    rest = SPACE.match(text, place + 1).end()
    if whole and rest < len(text):
        raise refuse(rest, "something follows the end of the JSON value.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name '{twice}' stands twice in one object")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def _fault(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            message = error.msg.removesuffix(" starting at").removesuffix(" at")
            return f"not JSON: {message[0].lower()}{message[1:]}, at column {error.colno}."
        case RecursionError():
            return "the brackets are nested too deep."
        case _:
            return f"{error}."


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
