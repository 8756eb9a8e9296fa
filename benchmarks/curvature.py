"""Curvature of a trained small ResNet: time beside PyHessian's, on the same images.

The net is the dense run of `quick` with seed 0, trained if need be. Both ways get the same 1,000
training images. `batches`: as PyHessian is used on more images than fit into one batch, beside this
project with the graphs of as many images kept between products as its analyses keep; `batches, no
graphs kept`: the same beside this project without; `one batch`: PyHessian's fastest way, which
keeps the graph of its first backward pass, beside this project as in `batches`. Each list of
eigenvalues that was timed here is within 1 % of a long reference, and none is worse than
PyHessian's of the same round (asserted); benchmarks/crosscheck.py shows by how much.
"""

import torch

from moelib.analyses.benchmark import run_benchmark
from moelib.analyses.sharpness import KEPT_GRAPHS
from moelib.analyses.timing import interleave, milliseconds
from moelib.analyses.trained import opened, subset
from moelib.curvature.crosscheck import Peered
from moelib.curvature.lanczos import spectrum
from moelib.curvature.objective import Objective
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.study.run import open_run
from moelib.training.data import load_data
from moelib.training.evaluate import network_input
from moelib.training.train import ensure_trained

IMAGES, BATCH = 1000, 250


def measure(repeats: int) -> BenchmarkNumbers:
    """Time of one product with the Hessian, and of the five largest eigenvalues."""
    run = open_run("quick", "dense", 0)
    dataset = load_data(run.study.data)
    ensure_trained(run, dataset, weights=True)
    with opened(run, "benchmark", dataset, exact=True) as trained:
        split = subset(trained.dataset, "train", IMAGES, run.study.data.split_seed)
        cases = [
            case
            for variant in ("batches", "batches, no graphs kept", "one batch")
            for case in compare(trained.model, trained.dataset, split, variant, repeats)
        ]
    return BenchmarkNumbers(
        name="curvature",
        question="How much faster is curvature than with PyHessian 0.1?",
        baseline="PyHessian with its defaults",
        candidate="folded normalisation, channels_last, one Krylov space, and the graphs of "
        f"{KEPT_GRAPHS:,d} images at most kept between products, unless the row says none",
        unit="ms",
        cases=tuple(cases),
    )


def compare(model, dataset, split, variant: str, repeats: int) -> list[Case]:
    """Both measurements for one way of passing the images."""
    plain, fast = (network_input(split.images, dataset, last) for last in (False, True))
    several = variant != "one batch"
    contiguous = model.to(memory_format=torch.contiguous_format)
    peer = Peered(contiguous, plain, split.labels, BATCH if several else None)
    last = model.to(memory_format=torch.channels_last)
    keep = 0 if variant == "batches, no graphs kept" else KEPT_GRAPHS
    objective = Objective(last, fast, split.labels, batch=BATCH, keep=keep)
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(objective.size, generator=generator)
    start = torch.randn(objective.size, generator=generator)
    cases = []
    if several:
        torch.testing.assert_close(
            peer.product(vector), objective.hessian(vector[None])[0], rtol=1e-3, atol=1e-3
        )
        baseline, candidate = interleave(
            lambda: milliseconds(lambda: peer.product(vector)),
            lambda: milliseconds(lambda: objective.hessian(vector[None])),
            repeats=5 * repeats,
        )
        cases.append(case("one product", variant, baseline, candidate, 1.7))
    reference = spectrum(objective.hessian, start, 5, residual=1e-4, budget=200).eigenvalues
    theirs, ours = [], []  # errors, round by round

    def error(values) -> float:
        ordered = torch.tensor(sorted(values, reverse=True))
        return (ordered / torch.tensor(reference.largest) - 1).abs().max().item()

    def by_pyhessian() -> None:
        torch.manual_seed(len(theirs))
        theirs.append(error(peer.eigenvalues(5).values))

    def by_lanczos() -> None:
        spectral = spectrum(objective.hessian, start, 5, residual=0.01, budget=100)
        ours.append(error(spectral.eigenvalues.largest))

    baseline, candidate = interleave(
        lambda: milliseconds(by_pyhessian), lambda: milliseconds(by_lanczos), repeats=repeats
    )
    assert reference.converged and max(ours) <= 0.01, ours
    assert all(mine <= other for mine, other in zip(ours, theirs, strict=True)), (ours, theirs)
    cases.append(case("five eigenvalues", variant, baseline, candidate, 5.0 if several else None))
    return cases


def case(quantity: str, variant: str, baseline, candidate, target: float | None) -> Case:
    """One row of the record."""
    setting = {"quantity": quantity, "images": IMAGES, "passes": variant}
    return Case(setting=setting, baseline=baseline, candidate=candidate, target_ratio=target)


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=3)
