"""Two ways of doing the same work, timed in alternation, and the record of it.

Absolute times drift with the machine's other load; ratios of neighbouring measurements do not.
"""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from moelib.config import Frozen
from moelib.provenance import digest_files, observe
from moelib.record import Numbers, Record, write_record
from moelib.run import results_root


class Case(Frozen):
    """One setting in which both ways were timed: times of each repeat, in pairs."""

    setting: dict[str, str | int]
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    target_ratio: float | None = None  # baseline / candidate that was aimed at beforehand

    def ratios(self) -> list[float]:
        """Baseline over candidate, pair by pair: how many times faster the candidate is."""
        return [a / b for a, b in zip(self.baseline, self.candidate, strict=True)]

    def ratio_quartiles(self) -> list[float]:
        """Lower quartile, median and upper quartile of the ratios."""
        return statistics.quantiles(self.ratios(), n=4, method="inclusive")


class BenchmarkNumbers(Numbers):
    """A benchmark: what is compared, and every single time."""

    kind: ClassVar[str] = "benchmark"

    name: str
    question: str
    baseline: str  # the straightforward way
    candidate: str  # this project's way
    unit: str  # of the times
    cases: tuple[Case, ...]


def interleave(
    baseline: Callable[[], float], candidate: Callable[[], float], repeats: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Call both in turn, once unrecorded, then `repeats` times; each call returns its own time."""
    pairs = [(baseline(), candidate()) for _ in range(repeats + 1)][1:]
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def milliseconds(work: Callable[[], object], calls: int = 1) -> float:
    """Wall time of one call of `work`, the mean over `calls` calls in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls * 1e3


def write_benchmark(numbers: BenchmarkNumbers, script: str, seconds: float, device: str) -> Path:
    """Write the record of a benchmark script; its file name carries the benchmark and the device.

    Returns the file's path. Prints each case with the median and the quartiles of its ratios.
    """
    provenance = observe(device, seconds)
    slug = re.sub(r"[^a-z0-9.]+", "-", provenance.device.lower()).strip("-")
    path = results_root() / "benchmarks" / f"{numbers.name}.{slug}.json"
    inputs = {"script": digest_files([Path(script)])}
    write_record(
        path, Record(kind="benchmark", inputs=inputs, numbers=numbers, provenance=provenance)
    )
    for case in numbers.cases:
        low, median, high = case.ratio_quartiles()
        setting = " ".join(f"{key}={value}" for key, value in case.setting.items())
        print(f"{numbers.name} {setting}: {median:.2f} times ({low:.2f} to {high:.2f})")
    return path
