"""What a mixture of experts costs at the shapes of published models, with random weights in bf16.

On a GPU whole models, on a CPU one layer of each. It stops in time, times first what the
predictions need most, and writes its record after every panel, so that a kill loses one panel.
"""

import argparse

import torch

from moelib.modalities.cost.session import record_costs
from moelib.records.cost import CostNumbers
from moelib.records.record import read_record
from moelib.study.base import ConfigError


def main() -> None:
    """Measure, write the record results/cost/cost.<device>.json, and say what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seconds", type=float, default=600.0, help="stop after so long")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="rehearse: shrunk shapes")
    parser.add_argument("--beside", default="", help="what else this machine does meanwhile")
    arguments = parser.parse_args()
    if arguments.threads < 1:
        parser.error("--threads must be at least 1")
    torch.set_num_threads(arguments.threads)
    try:
        path = record_costs(
            arguments.device, arguments.seconds, tiny=arguments.tiny, beside=arguments.beside
        )
    except ConfigError as error:
        parser.error(str(error))
    numbers = read_record(path, CostNumbers).numbers
    print(f"{path}: {numbers.peaks}")
    for check in numbers.checks:
        print(f"{check.executor:8} {check.trace:12} error {check.error} {check.fault or ''}")
    for fault in sorted({f"{cell.arm}: {cell.fault}" for cell in numbers.cells if cell.fault}):
        print(fault)


if __name__ == "__main__":
    main()
