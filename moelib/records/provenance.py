"""Where a number comes from: code, packages, machine, inputs, time."""

import hashlib
import platform
import re
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cpuinfo
import psutil

from moelib.study.base import PROJECT, Frozen

LISTED = Path("/proc/cpuinfo")  # on Linux
PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow"),
    *("papermill", "pydantic", "safetensors"),
)


class Provenance(Frozen):
    """The circumstances of one record; they do not enter its digest."""

    commit: str | None  # of the checkout; null where the source is not a git checkout
    uncommitted_changes: bool  # in tracked source files, records and their figures left out
    date: str  # UTC, ISO 8601, when the record was written
    wall_time_s: float  # of the work behind the record, over all resumed parts
    epoch_seconds: tuple[float, ...] = ()  # training runs: time of each epoch, evaluation included
    python: str
    packages: dict[str, str]
    platform: str
    cpu: str
    cpu_extensions: tuple[str, ...]  # those that decide the speed of matrix products
    cores: int
    memory_gib: float
    device: str
    threads: int  # of torch

    @property
    def slug(self) -> str:
        """The device as names of files carry it."""
        return re.sub(r"[^a-z0-9.]+", "-", self.device.lower()).strip("-")


def observe(
    device: str = "cpu", wall_time_s: float = 0.0, epoch_seconds: Iterable[float] = ()
) -> Provenance:
    """Look at the checkout and the machine now."""
    import torch  # here and below: who only reads records does without

    commit, changed = _checkout()
    cpu, extensions = processor()
    return Provenance(
        commit=commit,
        uncommitted_changes=changed,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        wall_time_s=round(wall_time_s, 3),
        epoch_seconds=tuple(round(second, 3) for second in epoch_seconds),
        python=platform.python_version(),
        packages=_versions(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu=cpu,
        cpu_extensions=extensions,
        cores=psutil.cpu_count(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        device=device_name(device),
        threads=torch.get_num_threads(),
    )


def device_name(device: str) -> str:
    """What the GPU (`cuda`) or else the CPU of this machine is called."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else processor()[0]


@cache
def processor() -> tuple[str, tuple[str, ...]]:
    """Name of the CPU, and which of the vector and matrix extensions it has."""
    extensions = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
    if LISTED.exists():  # py-cpuinfo starts processes for a second or two, in each notebook anew
        lines = LISTED.read_text().splitlines()
        pairs = (line.partition(":") for line in lines)
        fields = {name.strip(): value.strip() for name, _, value in pairs}
        name = fields.get("model name")
        flags = fields.get("flags", fields.get("Features", "")).split()
    else:
        info = cpuinfo.get_cpu_info()
        name, flags = info.get("brand_raw"), info.get("flags", ())
    return name or platform.machine(), tuple(flag for flag in extensions if flag in flags)


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 over byte strings, each preceded by its length so that no two lists collide."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()


def digest_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files, in the order of their names."""
    return digest(
        part
        for path in sorted(paths, key=lambda path: path.name)
        for part in (path.name.encode(), path.read_bytes())
    )


def _versions() -> dict[str, str]:
    """Versions of the packages that may enter a number; a machine without notebooks lacks some."""
    versions = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _checkout() -> tuple[str | None, bool]:
    """Commit of the checkout, and whether tracked sources differ from it."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return commit, bool(changed)


def _git(*arguments: str) -> str | None:
    try:
        # Without the lock that `git status` takes to refresh the index: a commit made meanwhile
        # would fail.
        command = ["git", "--no-optional-locks", "-C", PROJECT, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout: recorded as null
        return None
    return done.stdout.strip()
