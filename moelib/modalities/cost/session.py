"""One session of measurement, from the checks to the record."""

import time
from pathlib import Path

import torch

from moelib.analyses.benchmark import free_path, write_benchmark
from moelib.modalities.cost.measure import measure
from moelib.records.cost import CostNumbers
from moelib.records.freshness import costs_code
from moelib.records.provenance import observe
from moelib.records.record import RecordError, read_record
from moelib.study.base import PROJECT, ConfigError

SCRIPT = str(PROJECT / "benchmarks" / "modalities_cost.py")


def record_costs(device: str, seconds: float, *, tiny: bool, beside: str = "") -> Path:
    """Time the grid of a device within `seconds`, and return the path of the record.

    It is results/cost/cost.<device>.json, or tiny.<device>.json for shrunk shapes, and is written
    anew after every panel, so that a kill loses one panel; but an older record with more timings
    stands until this one has as many. A line a panel is printed.

    Raises:
        ConfigError: the device is not there, there is no time, or there is a record of another
            number of threads.
    """
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"There is no device '{device}' to time on; there are 'cpu' and 'cuda'.")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("Nothing can be timed on 'cuda': torch finds no CUDA device here.")
    if not seconds > 0:
        raise ConfigError(f"A session must be given more than 0 seconds, not {seconds:g}.")
    start = time.perf_counter()
    name = "cost/tiny" if tiny else "cost/cost"
    path = free_path(name, CostNumbers, observe(device))  # refused before, not after
    before = _timings(path)
    inputs = {"code": costs_code()}
    for done, numbers in measure(device, seconds, small=tiny, beside=beside):
        elapsed = time.perf_counter() - start
        if len(numbers.cells) >= before:
            write_benchmark(SCRIPT, name, numbers, observe(device, elapsed), inputs=dict(inputs))
        failed = sum(cell.fault is not None for cell in numbers.cells)
        print(f"{elapsed:6.1f} s  {len(numbers.cells):4} ways, {failed} faults  {done}", flush=True)
    if len(numbers.cells) < before:
        print(f"The record {path} of {before} ways stands: this session timed fewer.")
    return path


def _timings(path: Path) -> int:
    """How many ways a record times, 0 if there is none."""
    try:
        return len(read_record(path, CostNumbers).numbers.cells)
    except RecordError:
        return 0
