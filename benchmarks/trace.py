"""Products with the Hessian until a trace has a standard error of 1 %: deflated or not.

Counts, and no times. Of a trained net, whose spectrum is peaked, and of the same net untrained. The
deflating Krylov space is the one from which the five largest eigenvalues come; its products are
counted in `with the space`, and left out in `beyond the space`: eigenvalues are wanted anyway.
"""

import math

import torch

from moelib.analyses.benchmark import run_benchmark
from moelib.analyses.trained import opened, subset
from moelib.curvature.lanczos import spectrum
from moelib.curvature.objective import Objective
from moelib.curvature.trace import trace
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.study.run import open_run
from moelib.training.data import load_data
from moelib.training.evaluate import network_input
from moelib.training.model import build_model
from moelib.training.train import ensure_trained

IMAGES, PROBES = 400, 200


def measure(repeats: int) -> BenchmarkNumbers:
    """Products that each way needs, from the spread of 200 probes, for several sets of probes."""
    run = open_run("quick", "dense", 0)
    dataset = load_data(run.study.data)
    ensure_trained(run, dataset, weights=True)
    with opened(run, "benchmark", dataset, exact=True) as trained:
        split = subset(trained.dataset, "train", IMAGES, run.study.data.split_seed)
        images = network_input(split.images, trained.dataset, channels_last=True)
        models = {"trained": trained.model, "untrained": build_model(run, trained.dataset)}
        objectives = {
            name: Objective(model, images, split.labels, keep=IMAGES)
            for name, model in models.items()
        }
    cases = []
    for name, objective in objectives.items():
        pairs = [needed(objective, seed) for seed in range(repeats)]
        for counted, index in (("beyond the space", 1), ("with the space", 2)):
            cases.append(
                Case(
                    setting={"net": name, "counted": counted},
                    baseline=tuple(pair[0] for pair in pairs),
                    candidate=tuple(pair[index] for pair in pairs),
                    target_ratio=20.0 if name == "trained" and index == 1 else None,
                )
            )
    return BenchmarkNumbers(
        name="trace",
        question="How many products does a trace to 1 % standard error take?",
        baseline="Hutchinson's estimator",
        candidate="deflated by the Krylov space of the largest eigenvalues",
        unit="products",
        cases=tuple(cases),
    )


def needed(objective: Objective, seed: int) -> tuple[float, float, float]:
    """Products for 1 %: plain, deflated, and deflated with those of the space."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(objective.size, generator=generator)
    spectral = spectrum(objective.hessian, start, 5, residual=0.01, budget=100)
    limits = {"error": 1e-9, "budget": PROBES, "generator": generator}
    plain, deflated = (
        trace(objective.hessian, objective.size, krylov=krylov, **limits)[0]
        for krylov in (None, spectral.krylov)
    )
    # The standard error falls with the square root of the number of probes.
    probes = [
        math.ceil(PROBES * (e.standard_error / (0.01 * abs(deflated.value))) ** 2)
        for e in (plain, deflated)
    ]
    return float(probes[0]), float(probes[1]), float(probes[1] + spectral.eigenvalues.products)


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=5)
