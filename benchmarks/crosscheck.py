"""PyHessian with its defaults beside this project's curvature, on every head of `quick`.

Writes one record for each head, results/crosscheck/<head>.<device>.json: not of times, but of what
is returned, three times over, beside a long reference in float64. Trains the runs if need be.
"""

import time
from functools import partial

import torch
from tqdm import tqdm

from moelib.analyses.benchmark import write_benchmark
from moelib.analyses.trained import opened, subset
from moelib.curvature.crosscheck import Peered
from moelib.curvature.lanczos import spectrum
from moelib.curvature.objective import Objective
from moelib.curvature.trace import trace
from moelib.records.kinds import CrosscheckNumbers
from moelib.records.provenance import observe
from moelib.study.analyses import Sharpness
from moelib.study.reader import load_study
from moelib.study.run import open_run
from moelib.training.data import load_data
from moelib.training.evaluate import network_input
from moelib.training.train import ensure_trained

IMAGES, SEEDS = 200, 3
SIZES = Sharpness()  # the defaults of the analysis


def compare(head: str) -> None:
    """Write the record of one head."""
    run = open_run("quick", head, 0)
    dataset = load_data(run.study.data)
    ensure_trained(run, dataset, weights=True)
    start = time.perf_counter()
    with opened(run, "benchmark", dataset, exact=True) as trained:
        split = subset(trained.dataset, "train", IMAGES, run.study.data.split_seed)
        images = network_input(split.images, trained.dataset, channels_last=False)
        numbers = measure(trained.model.to(memory_format=torch.contiguous_format), images, split)
        provenance = observe(trained.training.device, time.perf_counter() - start)
    write_benchmark(
        __file__,
        f"crosscheck/{head}",
        numbers,
        provenance,
        study=trained.run.study,
        head=head,
        seed=0,
        inputs={"train": trained.record.digest},
    )


def measure(model, images, split) -> CrosscheckNumbers:
    """All that the record holds, of one model."""
    make = partial(Objective, labels=split.labels)
    exact = make(model.double(), images.double(), keep=len(images))
    long = spectrum(exact.hessian, start(exact, 0), 5, residual=1e-6, budget=300)
    exact_trace, _ = trace(
        exact.hessian,
        exact.size,
        error=3e-3,
        budget=400,
        generator=torch.Generator().manual_seed(1),
        krylov=long.krylov,
    )
    objective = make(model.float(), images)
    clock = [time.perf_counter()]
    ours = spectrum(
        objective.hessian, start(objective, 0), 5, residual=SIZES.residual, budget=SIZES.krylov
    )
    clock.append(time.perf_counter())
    ours_trace, _ = trace(
        objective.hessian,
        objective.size,
        error=SIZES.trace_error,
        budget=SIZES.trace_products,
        generator=torch.Generator().manual_seed(2),
        krylov=ours.krylov,
    )
    clock.append(time.perf_counter())
    peer = Peered(model, images, split.labels)
    eigenvalues, traces = [], []
    for seed in tqdm(range(SEEDS), desc="PyHessian"):
        torch.manual_seed(seed)
        eigenvalues.append(peer.eigenvalues(5))
        traces.append(peer.trace())
    return CrosscheckNumbers(
        images=len(split),
        reference=long.eigenvalues,
        eigenvalues=ours.eigenvalues,
        eigenvalues_seconds=clock[1] - clock[0],
        peer_eigenvalues=tuple(eigenvalues),
        reference_trace=exact_trace,
        trace=ours_trace,
        trace_seconds=clock[2] - clock[1],
        peer_traces=tuple(traces),
        peer_density_error=peer.density_error(),
    )


def start(objective: Objective, seed: int) -> torch.Tensor:
    """A random start (p,) for Lanczos."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(objective.size, generator=generator).to(objective.weights)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in load_study("quick").heads:
        compare(name)
