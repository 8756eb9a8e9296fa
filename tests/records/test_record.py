"""Records: what is written comes back, and no damaged or foreign record is taken for a good one."""

import importlib
import json
import math
import pkgutil
from typing import ClassVar

import cost_records
import jsonschema
import pytest
import synthetic
from prose import refusal
from pydantic import ValidationError

import moelib
from moelib.records import kinds
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.records.kinds import KINDS, SCHEMA, TrainNumbers, schema
from moelib.records.provenance import digest, observe
from moelib.records.record import Numbers, Record, RecordError, read_record, write_record
from moelib.study.base import ConfigError
from moelib.study.heads import Balance, Sparse

MODULES = [module.name for module in pkgutil.walk_packages(moelib.__path__, "moelib.")]


class Measured(Numbers):
    kind: ClassVar[str] = "test"

    value: float
    parts: tuple[float, ...] = ()


def record_of(value: float = 0.1, **keys) -> Record[Measured]:
    numbers = Measured(value=value, parts=(1 / 3, 1e-300, 1e22, -0.0))
    keys = {"kind": "test", "inputs": {"data": "ab"}, "provenance": observe(), **keys}
    return Record[Measured](numbers=numbers, **keys)


def digest_of(raw: dict) -> str:
    """The digest that a record promises, from the text of its definition."""
    circumstances = ("provenance", "provenance_digest", "digest")
    content = {key: value for key, value in raw.items() if key not in circumstances}
    return digest([json.dumps(content, sort_keys=True, separators=(",", ":")).encode()])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "test.json"


@pytest.fixture
def raw(path):
    """A record on disk, as a dictionary."""
    write_record(path, record_of())
    return json.loads(path.read_text())


# -- round trip ---------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_written(path):
    returned = write_record(path, record_of(study=synthetic.study(), head="soft", seed=2))
    read = read_record(path, Measured)
    assert read == returned
    assert read.digest == read.content_digest() != ""
    assert isinstance(read, Record[Measured])


def test_numbers_have_six_significant_digits_whatever_their_size(path):
    record = record_of(math.pi)
    numbers = record.numbers.model_copy(update={"parts": (1e-9 * math.pi, -1e9 * math.pi)})
    write_record(path, record.model_copy(update={"numbers": numbers}))
    read = read_record(path, Measured).numbers
    assert read.value == 3.14159
    assert read.parts == (3.14159e-9, -3.14159e9)


def test_times_have_the_digits_that_a_clock_tells(path):
    case = Case(setting={}, baseline=(0.123456789,), candidate=(12.34567,))
    names = ("name", "question", "baseline", "candidate", "unit")
    numbers = BenchmarkNumbers(**dict.fromkeys(names, ""), cases=(case,))
    record = Record[BenchmarkNumbers](
        kind="benchmark", inputs={}, numbers=numbers, provenance=observe()
    )
    (read,) = write_record(path, record).numbers.cases
    assert read.baseline == (0.1235,) and read.candidate == (12.35,)


def test_reading_and_writing_again_changes_nothing(path):
    write_record(path, record_of())
    content = path.read_bytes()
    write_record(path, read_record(path, Measured))
    assert path.read_bytes() == content


def test_digest_is_of_the_content_and_not_of_the_circumstances():
    base = record_of()
    later = observe(wall_time_s=99.0).model_copy(update={"date": "2000-01-01", "cpu": "another"})
    assert record_of(provenance=later).content_digest() == base.content_digest()
    others = [
        record_of(value=0.1 + 2**-54 * 2),
        record_of(inputs={"data": "ac"}),
        record_of(head="soft"),
        record_of(seed=0),
        record_of(kind="other"),
        record_of(study=synthetic.study()),
        record_of(study=synthetic.study(learning_rate=0.2)),
    ]
    assert len({record.content_digest() for record in [base, *others]}) == 8


def test_a_record_is_plain_json_with_its_digest(raw):
    assert raw["digest"] == digest_of(raw)
    assert raw["numbers"]["parts"] == [0.333333, 1e-300, 1e22, -0.0]
    assert raw["schema_version"] == 1
    assert raw["study"] is None and raw["seed"] is None


def test_a_study_of_earlier_rules_can_be_read_and_not_run(path):
    """k above the number of experts was let through once, say."""
    write_record(path, record_of(study=synthetic.study()))
    raw = json.loads(path.read_text())
    sparse = raw["study"]["heads"]["sparse"]
    sparse["k"] = sparse["experts"] + 1
    raw["digest"] = digest_of(raw)
    path.write_text(json.dumps(raw))
    head = read_record(path, Measured).study.heads["sparse"]
    assert head.k == head.experts + 1
    with refusal(ValidationError, f"k = {sparse['k']}", f"experts = {sparse['experts']}"):
        Sparse.model_validate(sparse | {"balance": Balance()})


# -- refused ------------------------------------------------------------------------------------


def test_a_record_that_is_not_there(path):
    with refusal(RecordError, f"no record {path}"):
        read_record(path, Measured)


def test_a_folder_in_its_place(path):
    path.mkdir(parents=True)
    with refusal(RecordError, path, "damaged", "directory"):
        read_record(path, Measured)


def test_a_truncated_record_is_refused_wherever_it_ends(path, raw):
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with refusal(RecordError, path, "damaged"):
            read_record(path, Measured)


def test_one_changed_digit_is_noticed(path, raw):
    text = path.read_text()
    path.write_text(text.replace('"value":0.1', '"value":0.2'))
    with refusal(RecordError, path, "damaged", "digest", "content"):
        read_record(path, Measured)


def test_one_changed_letter_of_the_provenance_is_noticed(path, raw):
    assert read_record(path, Measured).provenance_digest == raw["provenance_digest"]
    version = raw["provenance"]["packages"]["torch"]
    text = path.read_text()
    assert text.count(f'"torch":"{version}"') == 1
    path.write_text(text.replace(f'"torch":"{version}"', f'"torch":"{version}1"'))
    with refusal(RecordError, path, "provenance", "digest"):
        read_record(path, Measured)


KEYS = ("numbers", "kind", "inputs", "head", "schema_version", "digest", "provenance_digest")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_gone_is_noticed(path, raw, key):
    del raw[key]
    path.write_text(json.dumps(raw))
    with refusal(RecordError, path):
        read_record(path, Measured)


def test_bytes_that_are_no_text(path, raw):
    path.write_bytes(path.read_bytes().replace(b"0.1", b"\xff\xff\xff"))
    with refusal(RecordError, path, "damaged"):
        read_record(path, Measured)


def test_another_version(path, raw):
    path.write_text(json.dumps(raw | {"schema_version": 2}))
    with refusal(RecordError, path, "schema version 2", "version 1"):
        read_record(path, Measured)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_json_that_is_no_record(path, content):
    path.parent.mkdir()
    path.write_text(content)
    with refusal(RecordError, path, "schema version None", "version 1"):
        read_record(path, Measured)


def test_another_kind(path, raw):
    with refusal(RecordError, path, "kind test", "not train"):
        read_record(path, TrainNumbers)


def test_content_that_fits_its_digest_and_not_the_schema(path, raw):
    raw["numbers"]["value"] = "much"
    raw["digest"] = digest_of(raw)
    path.write_text(json.dumps(raw))
    with refusal(RecordError, path, "schema", "numbers.value"):
        read_record(path, Measured)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_at_every_depth(value):
    with pytest.raises(ValidationError, match="finite"):
        Measured(value=value)
    with pytest.raises(ValidationError, match="finite"):
        kinds.Metrics(loss=value, accuracy=0.5, gate_mass=None, load=None, entropy=None)
    with pytest.raises(ValidationError, match="finite"):
        kinds.Metrics(loss=1.0, accuracy=0.5, gate_mass=(value,), load=None, entropy=None)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "results").write_text("a file")
    with refusal(ConfigError, "Cannot write", tmp_path / "results"):
        write_record(tmp_path / "results" / "test.json", record_of())


# -- schema -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft202012Validator(schema())


def every_record(results):
    study = synthetic.study(seeds=(0,))
    synthetic.write_all(study)
    synthetic.write_landscapes(study)
    synthetic.write_benchmark()
    synthetic.write_crosscheck()
    synthetic.write_costs(study)
    cost_records.write_all()
    records = [json.loads(path.read_text()) for path in results.rglob("*.json")]
    synthesised = {record["kind"] for record in records}
    assert synthesised >= {"train", "utilization", "sharpness", "surface", "efficiency", "scale"}
    assert synthesised <= {kind.kind for kind in KINDS}
    return records


def test_the_committed_schema_is_that_of_the_code():
    current = json.loads(SCHEMA.read_text())
    assert current == schema(), "run `python -m moelib.records.kinds`, and commit what it writes"


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_no_kind_of_record_is_forgotten():
    assert "moelib.modalities.cost.report.tables" in MODULES  # in a room of a room
    for name in MODULES:
        importlib.import_module(name)
    declared = {kind for kind in Numbers.__subclasses__() if kind.__module__.startswith("moelib.")}
    assert declared == set(KINDS)


def test_records_fit_the_schema(results, validator):
    for record in every_record(results):
        validator.validate(record)


def test_a_record_that_does_not_fit_is_told(results, validator):
    train = next(record for record in every_record(results) if record["kind"] == "train")
    broken = [
        train | {"kind": "benchmark"},
        train | {"kind": "other"},
        train | {"schema_version": 2},
        train | {"more": 1},
        {key: value for key, value in train.items() if key != "numbers"},
        train | {"numbers": train["numbers"] | {"epochs": [{"epoch": 1}]}},
        train | {"numbers": train["numbers"] | {"test_correct": 5}},
        train | {"study": train["study"] | {"seeds": []}},
    ]
    for record in broken:
        assert not validator.is_valid(record)


@pytest.mark.parametrize(
    "path",
    sorted({*SCHEMA.parent.rglob("*.json")} - {SCHEMA}),
    ids=lambda path: str(path.relative_to(SCHEMA.parent)),
)
def test_every_record_in_the_checkout_is_whole_and_fits_the_schema(path, validator):
    raw = json.loads(path.read_text())
    validator.validate(raw)
    (numbers,) = (kind for kind in KINDS if kind.kind == raw["kind"])
    record = read_record(path, numbers)
    if record.head is not None and path.parent.parent != SCHEMA.parent:  # of one run of a study
        study = record.study or record.numbers.study
        folder = SCHEMA.parent if record.study else SCHEMA.parent / "modalities"
        expected = folder / study.name / record.head / f"seed-{record.seed}"
        assert path.parent == expected
