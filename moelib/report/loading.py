"""Which records there are, and reading those of a study: all of the same settings."""

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TypeVar

from moelib.records.benchmarks import SessionNumbers
from moelib.records.freshness import training_digest
from moelib.records.kinds import EfficiencyNumbers, TrainNumbers
from moelib.records.record import Numbers, Record, RecordError, read_record
from moelib.report import paper
from moelib.study.base import PROJECT
from moelib.study.heads import KINDS, family
from moelib.study.reader import STUDIES, load_study
from moelib.study.run import results_root, runs

N = TypeVar("N", bound=Numbers)
SEEDS_TO_LEAD = 4  # of a study of the paper's net: with fewer, smaller nets tell more


def studies() -> list[str]:
    """Names of the studies that have records of training."""
    return sorted({path.parents[2].name for path in results_root().glob("*/*/seed-*/train.json")})


def published() -> list[str]:
    """Studies with records that git keeps, so that every reader of the book has them."""
    patterns = re.findall(r"^!results/(.+)/$", (PROJECT / ".gitignore").read_text(), re.MULTILINE)
    return [study for study in studies() if any(fnmatch(study, name) for name in patterns)]


def by_evidence(names: Iterable[str], numbers: type[N]) -> dict[str, list[Record[N]]]:
    """Records of one kind by study, without the studies that have none.

    Studies of CIFAR-10 come first, of them those of the paper's net with enough seeds, then those
    of most seeds.
    """
    records = {study: load(study, numbers) for study in names}

    def weight(study: str) -> tuple[bool, bool, int]:
        runs = records[study]
        seeds = len({record.seed for record in runs})
        leads = runs[0].study.backbone.kind == paper.BACKBONE and seeds >= SEEDS_TO_LEAD
        return runs[0].study.data.source != "cifar10", not leads, -seeds

    return {study: records[study] for study in sorted(filter(records.get, records), key=weight)}


def own() -> list[str]:
    """The other studies with records: those that the reader has run."""
    return [study for study in studies() if study not in published()]


def executed_notebooks() -> list[tuple[Path, Path]]:
    """The executed notebooks of this machine's runs, each with the record that it made."""
    notebooks = sorted(results_root().glob("**/seed-*/*.ipynb"))
    records = [
        path.with_name(f"{path.stem.replace('modalities_', 'vlm-')}.json") for path in notebooks
    ]
    return [pair for pair in zip(notebooks, records, strict=True) if pair[1].is_file()]


def planned_seeds(study: str) -> int:
    """How many seeds a study lists; 0 if its file is not in studies/."""
    return len(load_study(study).seeds) if (STUDIES / f"{study}.yaml").is_file() else 0


def planned_heads(study: str) -> int:
    """How many heads a study lists; 0 if its file is not in studies/."""
    return len(load_study(study).heads) if (STUDIES / f"{study}.yaml").is_file() else 0


def load(study: str, numbers: type[N]) -> list[Record[N]]:
    """All records of one kind of a study, in the order of its heads, then by seed.

    Heads of a study that is written elsewhere come by kind, then by name.

    Records of a head or seed that the study no longer lists are left out.

    Raises:
        RecordError: a record is damaged or of other weights than those of the training beside it,
            or two of them differ in more than head and seed.
    """
    paths = sorted(results_root().glob(f"{study}/*/seed-*/{numbers.kind}.json"))
    planned = load_study(study) if (STUDIES / f"{study}.yaml").is_file() else None
    if planned:  # a study may also be written elsewhere
        listed = {run.record_path(numbers.kind) for run in runs(planned)}
        paths = [path for path in paths if path in listed]
    records = [_read(path, numbers, path.stat().st_mtime_ns) for path in paths]
    for path, record in zip(paths, records, strict=True):
        _refuse_other_weights(path, record)
    firsts: dict[str, tuple[object, Record[N]]] = {}  # of each setting, and whose it is
    for record in records:
        own = _settings(record)
        given = {name: firsts.setdefault(name, (value, record)) for name, value in own.items()}
        different = [name for name, (value, _) in given.items() if value != own[name]]
        if different:
            raise RecordError(
                f"The {numbers.kind} records of the study '{study}' have different settings: "
                f"{_name(given[different[0]][1])} and {_name(record)} differ in "
                f"{', '.join(different)}. Run the study again."
            )
    heads = [*planned.heads] if planned else sorted({record.head for record in records}, key=_kind)
    return sorted(records, key=lambda record: (heads.index(record.head), record.seed))


@cache  # a chapter asks for the same records dozens of times
def _read(path: Path, numbers: type[N], _: int) -> Record[N]:
    return read_record(path, numbers)


def _refuse_other_weights(path: Path, record: Record) -> None:
    """Refuse an analysis of other weights than those of the training beside it."""
    beside = path.with_name(f"{TrainNumbers.kind}.json")
    if record.inputs.get("train") and beside.is_file():
        trained = _digest_of_training(beside, beside.stat().st_mtime_ns)
        if record.inputs["train"] != trained:
            raise RecordError(
                f"The record {path} is of other weights than those of {beside.name} beside it. "
                "Run the analysis again."
            )


@cache
def _digest_of_training(path: Path, changed: int) -> str:
    return training_digest(_read(path, TrainNumbers, changed))


def lowest_seed(records: Iterable[Record[N]]) -> list[Record[N]]:
    """The records of the lowest seed among them: one net of each head stands for its others."""
    records = list(records)
    seed = min(record.seed for record in records)
    return [record for record in records if record.seed == seed]


def sessions() -> dict[str, list[Record[SessionNumbers]]]:
    """The records of sessions on a machine, by study."""
    loaded = {study: of_scripts(f"{study}/sessions", SessionNumbers) for study in studies()}
    return {study: [*records.values()] for study, records in loaded.items() if records}


def of_scripts(folder: str, numbers: type[N], files: str = "*.json") -> dict[str, Record[N]]:
    """The records that a script wrote into a folder of the results, by the names of their files."""
    paths = sorted((results_root() / folder).glob(files))
    return {path.name: read_record(path, numbers) for path in paths}


def _settings(record: Record) -> dict[str, object]:
    """What all runs of a study share; its lists of heads and seeds may have grown between them.

    Not the device of a training: a seed has its own, and heads are compared within a seed.
    """
    study = record.study
    shared = {key: getattr(study, key) for key in ("data", "backbone", "protocol")}
    shared["training"] = study.training.model_copy(update={"device": None})
    shared["analysis"] = getattr(study.analyses, record.kind, None)
    shared[f"heads.{record.head}"] = study.heads[record.head]
    if isinstance(record.numbers, EfficiencyNumbers):  # times are shown side by side
        shared["device"] = record.provenance.device
        shared["threads"] = record.provenance.threads
    return shared


def _kind(head: str) -> tuple[int, str]:
    kind = family(head)
    return KINDS.index(kind) if kind in KINDS else len(KINDS), head


def _name(record: Record) -> str:
    return f"{record.head}, seed {record.seed}"
