"""Latency of all trained heads of `cifar10-tradeoff`, in one process and in alternation.

The head alone on the features of test images, and the whole model; in evaluation, on the routing
that was learned, with the threads of the study. Their accuracies are in the records of training,
which must be there.
"""

from contextlib import ExitStack, nullcontext
from functools import partial

import torch

from moelib.analyses.benchmark import run_benchmark
from moelib.analyses.timing import race
from moelib.analyses.trained import opened
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.report.comparisons import REFERENCE
from moelib.study.base import ConfigError
from moelib.study.reader import load_study
from moelib.study.run import Run
from moelib.training import device
from moelib.training.data import load_data
from moelib.training.evaluate import network_input

STUDY, SEED = load_study("cifar10-tradeoff"), 0
BATCHES = (1, 256)
AT_LEAST = 2.0  # ms that one timing lasts


def measure(repeats: int) -> BenchmarkNumbers:
    """Time of one batch by every head, beside the study's dense head."""
    threads = STUDY.training.threads
    if torch.get_num_threads() != threads:
        raise ConfigError(
            f"--threads is {torch.get_num_threads()}, but the models of '{STUDY.name}' are timed "
            f"with the threads of their study: leave --threads at {threads}."
        )
    dataset = load_data(STUDY.data)
    cases = []
    with ExitStack() as stack:
        models = {}
        for name in STUDY.heads:
            trained = stack.enter_context(opened(Run(STUDY, name, SEED), "latency", dataset))
            models[name] = trained.model.eval()
        stack.enter_context(torch.inference_mode())
        for batch in BATCHES:
            last = trained.training.channels_last
            images = network_input(trained.dataset.test.images[:batch], trained.dataset, last)
            parts = {
                "head": [partial(m.head, m.backbone(images).float()) for m in models.values()],
                "model": [partial(m, images) for m in models.values()],
            }
            for part, calls in parts.items():
                with device.autocast(trained.training) if part == "model" else nullcontext():
                    raced = race(calls, repeats, at_least=AT_LEAST, device=trained.training.device)
                times = dict(zip(models, raced, strict=True))
                cases += [
                    Case(
                        setting={"head": name, "part": part, "batch": batch},
                        baseline=times[REFERENCE],
                        candidate=times[name],
                    )
                    for name in models
                ]
    return BenchmarkNumbers(
        name="tradeoff",
        question=f"How fast is each trained head of `{STUDY.name}` beside its dense head?",
        baseline="the dense head of the study",
        candidate="the head of the case",
        unit="ms per batch",
        cases=tuple(cases),
    )


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=15, device=STUDY.training.device)
