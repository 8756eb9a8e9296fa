"""How sharp the minimum is that a run found: curvature of its loss on train and on test images."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from moelib.analyses.analysis import analyse
from moelib.analyses.trained import Trained, subset
from moelib.curvature.adaptive import average_rise, matching_temperature, worst_rise
from moelib.curvature.density import density
from moelib.curvature.lanczos import Spectrum, spectrum
from moelib.curvature.objective import Objective
from moelib.curvature.operators import Products, adaptive_hessian
from moelib.curvature.trace import trace
from moelib.records.kinds import Curvature, Estimate, Group, Matched, SharpnessNumbers
from moelib.records.record import Record
from moelib.study.analyses import Sharpness
from moelib.study.run import Run
from moelib.training.data import Dataset, Split
from moelib.training.evaluate import correct, network_input
from moelib.training.model import Classifier
from moelib.training.seeding import seeded

KEPT_GRAPHS = 1000  # images: as many as `images` by default; what more there are, pass anew


def analyse_sharpness(
    run: Run, dataset: Dataset | None = None, *, again: bool = False
) -> Record[SharpnessNumbers]:
    """Analyse the weights of a finished run that its protocol selects; `analyse` says how.

    In float32, whatever the training computed in: bf16 would move curvature by percents.

    Raises:
        ConfigError: a split has too few images, or as `analyse` does.
        CurvatureError: the loss is not finite.
    """
    return analyse(run, SharpnessNumbers, measure, exact=True, dataset=dataset, again=again)


def measure(trained: Trained, sizes: Sharpness) -> SharpnessNumbers:
    """The curvature of the loss on a subset of the training and of the test images."""
    run, splits = trained.run, {}
    for name in ("train", "test"):
        split = subset(trained.dataset, name, sizes.images, run.study.data.split_seed)
        prepare = partial(
            network_input, dataset=trained.dataset, channels_last=trained.training.channels_last
        )
        # The same probes for all heads of a seed, as far as their shapes agree.
        seed = run.stream(f"sharpness/{name}")
        print(f"{name}: {len(split)} images")
        with seeded(seed, split.images.device):  # a Krylov space that ends draws from these
            splits[name] = curvature(trained.model, split, sizes, prepare, seed)
    weights = torch.cat([p.detach().flatten() for p in trained.model.parameters()])
    return SharpnessNumbers(
        epoch=trained.record.numbers.tested_epoch,
        parameters=len(weights),
        weight_norm=weights.double().norm().item(),
        gate_noise_removed=trained.gate_noise_removed,
        **splits,
    )


def curvature(model: Classifier, split: Split, sizes: Sharpness, prepare, seed: int) -> Curvature:
    """Everything about the curvature of one model's mean cross-entropy over one set of images.

    Three spectra are taken: of the Hessian H, of |w| H |w|, which no rescaling of ReLU layers can
    change, and of the Hessian at the temperature at which all models have the same loss. Each
    spectrum's Krylov space then deflates the trace of the same operator.
    """
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same on every device
    keep = KEPT_GRAPHS if sizes.keep_graphs else 0
    make = partial(Objective, model, split.images, split.labels, prepare=prepare, keep=keep)
    # Each objective's kept graphs live as long as its spectra do: within one call, one by one.
    logits, measured = _measured(make(), sizes, generator)
    temperature = matching_temperature(logits, split.labels, sizes.matched_loss)
    matched = None
    if temperature is not None:
        matched = _matched(make(temperature=temperature), sizes, generator)
    return Curvature(
        images=len(split),
        accuracy=correct(logits, split.labels).double().mean().item(),
        confidence=F.softmax(logits, dim=1).amax(dim=1).mean().item(),
        matched=matched,
        **measured,
    )


def _measured(
    objective: Objective, sizes: Sharpness, generator: torch.Generator
) -> tuple[Tensor, dict]:
    """Logits (n, c) in float64, and what is measured at temperature 1 by its name in a record."""
    weights, groups = objective.weights, objective.groups  # (p,)
    raw = _spectrum(
        objective.hessian, weights, sizes, generator, min(sizes.eigenvalues, len(weights))
    )
    total, parts = _trace(objective.hessian, raw, sizes, generator, groups)
    probes = _normal(sizes.density_probes, weights, generator)
    shape = density(objective.hessian, probes, sizes.density_steps)
    newton = _spectrum(objective.gauss_newton, weights, sizes, generator)
    scaled = adaptive_hessian(objective)
    adaptive = _spectrum(scaled, weights, sizes, generator)
    rise, error = average_rise(objective, sizes.average_radius, sizes.average_draws, generator)
    loss, gradient = objective.value_and_gradient()
    return objective.logits().double(), {
        "loss": loss,
        "gradient_norm": gradient.double().norm().item(),
        "eigenvalues": raw.eigenvalues,
        "trace": total,
        "groups": {
            name: Group(parameters=int(inside.sum()), trace=parts[name])
            for name, inside in groups.items()
        },
        "density": shape,
        "gauss_newton": newton.eigenvalues,
        "adaptive": adaptive.eigenvalues,
        "adaptive_trace": _trace(scaled, adaptive, sizes, generator)[0],
        "average_rise": rise,
        "average_rise_error": error,
        "worst_rise": worst_rise(objective, sizes.worst_radius, sizes.worst_steps),
    }


def _matched(objective: Objective, sizes: Sharpness, generator: torch.Generator) -> Matched:
    top = _spectrum(objective.hessian, objective.weights, sizes, generator)
    return Matched(
        temperature=objective.temperature,
        loss=objective.value(),
        eigenvalues=top.eigenvalues,
        trace=_trace(objective.hessian, top, sizes, generator)[0],
    )


def _normal(count: int, weights: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(count, len(weights), generator=generator).to(weights)  # (count, p)


def _spectrum(
    products: Products,
    weights: Tensor,
    sizes: Sharpness,
    generator: torch.Generator,
    count: int = 1,
) -> Spectrum:
    start = _normal(1, weights, generator)[0]
    return spectrum(products, start, count, residual=sizes.residual, budget=sizes.krylov)


def _trace(
    products: Products,
    deflation: Spectrum,
    sizes: Sharpness,
    generator: torch.Generator,
    groups: dict[str, Tensor] | None = None,
) -> tuple[Estimate, dict[str, Estimate]]:
    return trace(
        products,
        deflation.vectors.shape[1],
        error=sizes.trace_error,
        budget=sizes.trace_products,
        generator=generator,
        krylov=deflation.krylov,
        groups=groups,
    )
