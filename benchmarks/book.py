"""`make book` from scratch, with the environment installed, against its budget.

The tracked files are copied to an empty folder, and the whole default study is run there: trained,
analysed and rendered. Budgets, set beforehand for two cores: 6 minutes, and 4 GiB of memory.
Memory is what all processes together hold, looked at every two seconds: a page that several share
counts for each in part on Linux, and in full elsewhere.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from moelib.analyses.benchmark import run_benchmark
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.study.base import PROJECT

BUDGET_SECONDS, BUDGET_GIB = 360.0, 4.0
LOOK = 2.0  # seconds from one look at the memory to the next: each takes tenths of a second


def make_book() -> tuple[float, float]:
    """Seconds, and peak memory in GiB, of one run from scratch."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", PROJECT, "archive", "HEAD"], capture_output=True, check=True
        )
        subprocess.run(["tar", "-xf", "-", "-C", folder], input=archive.stdout, check=True)
        environment = os.environ | {"PYTHONPATH": folder}
        environment.pop("MOELIB_RESULTS", None)
        start, peak = time.perf_counter(), 0
        launcher = [sys.executable, Path(folder) / "workflow" / "run", "book"]
        with subprocess.Popen(launcher, cwd=folder, env=environment) as process:
            while not ended(process):
                peak = max(peak, held(psutil.Process(process.pid)))
        if process.returncode:
            sys.exit(f"The book was not made: exit status {process.returncode}.")
        return time.perf_counter() - start, peak / 2**30


def ended(process: subprocess.Popen) -> bool:
    """Whether the process ends before it is time for the next look."""
    try:
        process.wait(LOOK)
    except subprocess.TimeoutExpired:
        return False
    return True


def held(root: psutil.Process) -> int:
    """Bytes of memory of a process and all below it."""
    total = 0
    try:
        for process in [root, *root.children(recursive=True)]:
            if psutil.LINUX:
                total += process.memory_full_info().pss
            else:
                total += process.memory_info().rss
    except psutil.NoSuchProcess:  # it ended while we looked: the next look counts
        pass
    return total


def measure(repeats: int) -> BenchmarkNumbers:
    """Time and peak memory of the book, `repeats` times."""
    seconds, gib = zip(*(make_book() for _ in range(repeats)), strict=True)
    return BenchmarkNumbers(
        name="book",
        question="Is the book made within its budget of time and memory?",
        baseline="the budget",
        candidate="measured on a fresh copy",
        unit="s, or GiB for memory",
        cases=tuple(
            Case(
                setting={"quantity": quantity, "cores": psutil.cpu_count()},
                baseline=(budget,) * repeats,
                candidate=values,
                target_ratio=1.0,
            )
            for quantity, budget, values in (
                ("wall time", BUDGET_SECONDS, seconds),
                ("peak memory", BUDGET_GIB, gib),
            )
        ),
    )


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=3)
