"""What a mixture of experts costs at the shapes of published models, with random weights in bf16.

On a GPU whole models, on a CPU one layer of each. It stops in time, times first what the
predictions need most, and writes its record after every panel, so that a kill loses one panel.
"""

import argparse
import time

import torch

from moelib.analyses.benchmark import free_path, write_benchmark
from moelib.modalities.cost.measure import measure
from moelib.records.code import code_digest
from moelib.records.cost import CostNumbers
from moelib.records.provenance import observe


def main() -> None:
    """Measure, and write the record results/cost/cost.<device>.json."""
    start = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seconds", type=float, default=600.0, help="stop after so long")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="rehearse: shrunk shapes")
    parser.add_argument("--beside", default="", help="what else this machine does meanwhile")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device is cuda, but torch finds no CUDA device on this machine")
    if not arguments.seconds > 0 or arguments.threads < 1:
        parser.error("--seconds must be positive, and --threads at least 1")
    torch.set_num_threads(arguments.threads)
    name = "cost/tiny" if arguments.tiny else "cost/cost"
    free_path(name, CostNumbers, observe(arguments.device))  # refused before, not after
    inputs = {"code": code_digest("moelib.modalities.cost.measure.measure")}
    left = arguments.seconds - (time.perf_counter() - start)
    rounds = measure(arguments.device, left, small=arguments.tiny, beside=arguments.beside)
    for done, numbers in rounds:
        elapsed = time.perf_counter() - start
        provenance = observe(arguments.device, elapsed)
        path = write_benchmark(__file__, name, numbers, provenance, inputs=dict(inputs))
        failed = sum(cell.fault is not None for cell in numbers.cells)
        print(
            f"{elapsed:6.1f} s  {len(numbers.cells):4} cells, {failed} failed  {done}", flush=True
        )
    peaks = numbers.peaks
    rates = (
        f"{peaks.teraflops:.1f} TFLOP/s, {peaks.gigabytes:.0f} and {peaks.read_gigabytes:.0f} GB/s"
    )
    print(f"{path}: {rates}")
    for check in numbers.checks:
        print(f"{check.executor:8} {check.trace:12} error {check.error} {check.fault or ''}")
    for fault in sorted({f"{cell.arm}: {cell.fault}" for cell in numbers.cells if cell.fault}):
        print(fault)


if __name__ == "__main__":
    main()
