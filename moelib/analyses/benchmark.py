"""The command line of a benchmark of two ways of doing the same work, and its record."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from moelib.records.benchmarks import BenchmarkNumbers
from moelib.records.code import script_digest
from moelib.records.provenance import Provenance, observe
from moelib.records.record import Numbers, Record, RecordError, read_record, write_record
from moelib.study.analyses import FEWEST_REPEATS
from moelib.study.base import ConfigError
from moelib.study.run import results_root


def command_line(
    description: str, repeats: int, devices: Sequence[str] = ("cpu",)
) -> argparse.Namespace:
    """Read `--repeats N` and `--device` of these, and set torch's threads to `--threads N` (1).

    A number of repeats too small for a spread, no thread, or a device that is not there ends the
    program with a sentence.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=devices, default=devices[0])
    arguments = parser.parse_args()
    if arguments.repeats < min(repeats, FEWEST_REPEATS):
        parser.error(f"--repeats must be at least {min(repeats, FEWEST_REPEATS)}, for a spread")
    if arguments.threads < 1:
        parser.error("--threads must be at least 1")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device is cuda, but torch finds no CUDA device on this machine")
    torch.set_num_threads(arguments.threads)
    return arguments


def run_benchmark(
    script: str, measure: Callable[[int], BenchmarkNumbers], repeats: int, device: str = "cpu"
) -> Path:
    """Command line of a benchmark script: measure, print each case's ratios, write the record.

    Returns its path. `device` is where `measure` computes.

    Raises:
        ConfigError: there is a record of another number of threads; nothing is measured then.
    """
    arguments = command_line(measure.__doc__, repeats, (device,))
    free_path(f"benchmarks/{Path(script).stem}", BenchmarkNumbers, observe(device))
    start = time.perf_counter()
    numbers = measure(arguments.repeats)
    provenance = observe(device, time.perf_counter() - start)
    path = write_benchmark(script, f"benchmarks/{numbers.name}", numbers, provenance)
    for case in numbers.cases:
        low, median, high = case.ratio_quartiles()
        setting = " ".join(f"{key}={value}" for key, value in case.setting.items())
        print(f"{numbers.name} {setting}: {median:.2f} times ({low:.2f} to {high:.2f})")
    return path


def write_benchmark(
    script: str, name: str, numbers: Numbers, provenance: Provenance, **run
) -> Path:
    """Write the record results/<name>.<device>.json of a script, and return its path.

    `run` are the fields of the trained run, where the numbers are of one.

    Raises:
        ConfigError: there is a record of another number of threads.
    """
    path = free_path(name, type(numbers), provenance)
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = {"code": script_digest(script), **run.pop("inputs", {})}
    write_record(
        path,
        Record(kind=numbers.kind, inputs=inputs, numbers=numbers, provenance=provenance, **run),
    )
    return path


def free_path(name: str, numbers: type[Numbers], provenance: Provenance) -> Path:
    """Where a record of these numbers goes: its file's name carries the device.

    So devices are never mixed. An older record there is replaced, unless its times are of another
    number of threads, which the name does not tell.

    Raises:
        ConfigError: they are.
    """
    path = results_root() / f"{name}.{provenance.slug}.json"
    try:
        before = read_record(path, numbers).provenance.threads
    except RecordError:  # none is there, or none that could be kept
        return path
    if before != provenance.threads:
        raise ConfigError(
            f"The record {path} was made with --threads {before}, this one would be of "
            f"{provenance.threads}, and one name cannot stand for both: measure with "
            f"--threads {before}, or move that record elsewhere."
        )
    return path
