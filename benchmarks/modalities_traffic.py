"""What routing traces send between devices that hold the experts: counts, no times.

The traces are those of the benchmark of costs, at the size of OLMoE: 64 sequences of an image and
64 words.
"""

import time

import torch

from moelib.analyses.benchmark import command_line, write_benchmark
from moelib.modalities.cost.traces import TRACES, modalities, trace
from moelib.modalities.cost.traffic import NONE, cases
from moelib.records.cost import TrafficCase, TrafficNumbers
from moelib.records.provenance import observe
from moelib.study.shapes import OLMOE

SEQUENCES, CONTEXT = 64, 640


def measure() -> TrafficNumbers:
    """Every trace on 2, 4 and 8 devices."""
    return TrafficNumbers(cases=tuple(case for name in TRACES for case in of_trace(name)))


def of_trace(name: str) -> list[TrafficCase]:
    """One trace, by both placements and both kinds of homes."""
    modality = modalities(SEQUENCES, CONTEXT)
    drawn = trace(name, modality, OLMOE.experts, OLMOE.k, torch.Generator().manual_seed(0))
    choices = drawn.scores.topk(OLMOE.k, dim=1).indices
    if drawn.kept is not None:
        choices = choices.masked_fill(~drawn.kept, NONE)
    sequences = torch.arange(SEQUENCES).repeat_interleave(CONTEXT)
    arrays = (tensor.numpy() for tensor in (choices, modality, sequences))
    size = OLMOE.model_dump(include={"experts", "width", "hidden"})
    return list(cases(f"trace, {name}", *arrays, **size))


if __name__ == "__main__":
    command_line(__doc__, repeats=1)
    start = time.perf_counter()
    numbers = measure()
    provenance = observe("cpu", time.perf_counter() - start)
    print(write_benchmark(__file__, "cost/traffic", numbers, provenance))
