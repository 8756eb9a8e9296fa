"""A run: one head of a study with one seed. It knows its folder, lock and random streams."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from moelib.study.base import PROJECT, ConfigError
from moelib.study.reader import load_study
from moelib.study.study import Study


@dataclass(frozen=True)
class Run:
    """One (study, head, seed). Where a study is opened, that of a run lists its head alone."""

    study: Study
    head: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where its records, weights and executed notebooks are kept."""
        return results_root() / self.study.name / self.head / f"seed-{self.seed}"

    def record_path(self, kind: str) -> Path:
        """The file of its record of one analysis."""
        return self.folder / f"{kind}.json"

    def stream(self, name: str, index: int = 0) -> int:
        """Seed of one random stream: a hash of (run seed, name, index).

        Every draw of a run comes from a stream that is seeded afresh for its epoch or step. So a
        resumed run needs no generator states, and two heads of one seed share every stream whose
        name does not mention the head: initial backbone, batch order, augmentation.
        """
        text = f"{self.seed}/{name}/{index}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1  # 63 bits

    def paired_stream(self, name: str, index: int = 0) -> int:
        """A stream that heads share, unless the protocol gives up pairing (erratum H11)."""
        return self.stream(name if self.study.protocol.paired else f"{self.head}/{name}", index)

    @contextmanager
    def locked(self, task: str = "train") -> Iterator[None]:
        """Keep other processes from the same task of this run; the lock ends with the process.

        Its analyses can be made at the same time: each writes its own record.

        Raises:
            ConfigError: another process is at work on it, or the run's folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f".{task}.lock", timeout=0)
            lock.acquire()
        except Timeout:
            run = f"{self.study.name}/{self.head}/seed-{self.seed}"
            raise ConfigError(f"Another process is at work on {run}: {task}.") from None
        except OSError as error:
            raise ConfigError(f"Cannot write into {self.folder}: {error.strerror}.") from None
        try:
            yield
        finally:
            lock.release()


def open_run(study: str, head: str, seed: int) -> Run:
    """The run of a study by name or path, refused unless the study lists its head and seed."""
    loaded = load_study(study)
    if head not in loaded.heads:
        raise ConfigError(
            f"The study '{loaded.name}' has no head '{head}'; "
            f"its heads are {', '.join(loaded.heads)}."
        )
    if seed not in loaded.seeds:
        seeds = ", ".join(map(str, loaded.seeds))
        raise ConfigError(f"The study '{loaded.name}' has no seed {seed}; its seeds are {seeds}.")
    return Run(loaded.only(head), head, seed)


def runs(study: Study) -> list[Run]:
    """All runs of a study, seed by seed."""
    return [Run(study.only(head), head, seed) for seed in study.seeds for head in study.heads]


def results_root() -> Path:
    """Where all records are kept: $MOELIB_RESULTS, else results/ in the checkout."""
    return Path(os.environ.get("MOELIB_RESULTS", PROJECT / "results"))
