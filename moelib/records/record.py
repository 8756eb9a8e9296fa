"""Records: what a run measured, as plain JSON with provenance. Written and read here alone.

A record holds the resolved study with the run's own head, the head and seed where it has them,
the digests of its inputs, the numbers of one analysis, and its provenance. Its digest covers all
that but the provenance, so two runs agree when their digests do; the provenance has a digest of its
own. So a damaged file is noticed when it is read.
"""

import json
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import ConfigDict, ValidationError
from pydantic_core import to_json

from moelib.records.atomic import write_atomically
from moelib.records.provenance import Provenance, digest
from moelib.records.table import columns, rows
from moelib.study.base import RECORDED, Frozen
from moelib.study.study import Study

VERSION = 1


class RecordError(ValueError):
    """A record that is missing, damaged, or of another kind or version."""


class Numbers(Frozen):
    """Base of what an analysis measured; each analysis declares its own fields and `kind`."""

    model_config = ConfigDict(allow_inf_nan=False)  # JSON has no NaN: an unknown value is null

    kind: ClassVar[str]
    digits: ClassVar[int] = 6  # significant ones of a number: more than are sure of any
    tables: ClassVar[tuple[str, ...]] = ()  # fields whose rows a file keeps as columns


N = TypeVar("N", bound=Numbers)


class Record(Frozen, Generic[N]):
    """One record. `inputs` maps the name of an input to the SHA-256 of its content."""

    schema_version: Literal[1] = VERSION
    kind: str
    study: Study | None = None
    head: str | None = None
    seed: int | None = None
    inputs: dict[str, str]
    numbers: N
    provenance: Provenance
    provenance_digest: str = ""
    digest: str = ""

    def content_digest(self) -> str:
        """SHA-256 of the record as canonical JSON, without provenance and the digests."""
        return _content_digest(self.in_file())

    def in_file(self) -> dict:
        """The record as its file has it, with tables as columns."""
        raw = self.model_dump(mode="json")
        raw["numbers"] |= {name: columns(raw["numbers"][name]) for name in self.numbers.tables}
        return raw


def write_record(path: Path, record: Record[N]) -> Record[N]:
    """Write a record atomically, with its digests; returns it as it was written.

    Its numbers get as many significant digits as their kind has.
    """
    digits = record.numbers.digits
    numbers = json.loads(
        record.numbers.model_dump_json(),
        parse_float=lambda number: float(f"{float(number):.{digits}g}"),
    )
    shortened = type(record.numbers).model_validate_json(json.dumps(numbers), context=RECORDED)
    record = record.model_copy(update={"numbers": shortened})
    digests = {
        "digest": record.content_digest(),
        "provenance_digest": _digest(record.provenance.model_dump(mode="json")),
    }
    record = record.model_copy(update=digests)
    write_atomically(path, to_json(record.in_file()) + b"\n")
    return record


def read_record(path: Path, numbers: type[N]) -> Record[N]:
    """Read a record of a known kind.

    Raises:
        RecordError: it is not there, cannot be parsed, is of another version or kind, does not fit
            the schema, or its digest does not match its content.
    """
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        raise RecordError(f"There is no record {path}.") from None
    except (ValueError, OSError) as error:
        raise RecordError(f"The record {path} is damaged: {error}.") from None
    if not isinstance(raw, dict) or raw.get("schema_version") != VERSION:
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        raise RecordError(
            f"The record {path} has schema version {version}; this code reads version {VERSION}."
        )
    if raw.get("kind") != numbers.kind:
        raise RecordError(f"The record {path} is of kind {raw.get('kind')}, not {numbers.kind}.")
    if raw.get("digest") != _content_digest(raw):
        raise RecordError(f"The record {path} is damaged: its digest does not match its content.")
    if raw.get("provenance_digest") != _digest(raw.get("provenance")):
        raise RecordError(f"The record {path} is damaged: its provenance has another digest.")
    try:
        raw = _with_rows(raw, numbers.tables)
        return Record[numbers].model_validate_json(json.dumps(raw), context=RECORDED)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise RecordError(
            f"The record {path} does not fit the schema: {where}: {fault['msg']}."
        ) from None
    except ValueError as error:
        raise RecordError(f"The record {path} does not fit the schema: {error}.") from None


def _with_rows(raw: dict, tables: tuple[str, ...]) -> dict:
    numbers = raw.get("numbers")
    if not isinstance(numbers, dict):
        return raw
    unfolded = {name: rows(numbers[name]) for name in tables if name in numbers}
    return raw | {"numbers": numbers | unfolded}


def _content_digest(raw: dict) -> str:
    circumstances = ("provenance", "provenance_digest", "digest")
    return _digest({key: value for key, value in raw.items() if key not in circumstances})


def _digest(values: object) -> str:
    return digest([json.dumps(values, sort_keys=True, separators=(",", ":")).encode()])
