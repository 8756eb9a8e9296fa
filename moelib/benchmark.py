"""Two ways of doing the same work, timed in alternation, and the record of it.

Absolute times drift with the machine's other load; ratios of neighbouring measurements do not.
"""

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch

from moelib.kinds import BenchmarkNumbers
from moelib.provenance import digest_files, observe
from moelib.record import Record, write_record
from moelib.run import results_root


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


def run_benchmark(
    script: str, measure: Callable[[int], BenchmarkNumbers], repeats: int, device: str = "cpu"
) -> Path:
    """Command line of a benchmark script: measure, print each case's ratios, write the record.

    `--repeats N` changes the number of pairs, `--threads N` torch's threads (1). The file's name
    carries the benchmark and the device, so that devices are never mixed. Returns its path.
    """
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.repeats < 2:
        parser.error("--repeats must be at least 2: one time has no spread")
    torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    numbers = measure(arguments.repeats)
    seconds = time.perf_counter() - start
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
