"""The loss on finite steps away from the trained weights, and how images are rerouted there."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from tqdm import tqdm

from moelib.analyses.analysis import analyse
from moelib.analyses.trained import Trained, subset
from moelib.curvature.directions import filter_normalised
from moelib.curvature.error import CurvatureError
from moelib.curvature.lanczos import spectrum
from moelib.curvature.objective import Objective
from moelib.heads.routing import Routing
from moelib.records.kinds import Eigenvalues, Plane, SurfaceNumbers, Sweep
from moelib.records.record import Record
from moelib.study.analyses import Radii, Surface
from moelib.study.base import ConfigError
from moelib.study.run import Run
from moelib.training.data import Dataset
from moelib.training.evaluate import correct, join, network_input
from moelib.training.seeding import seeded

RESIDUAL = 0.01  # of the top eigenvector, relative to its eigenvalue
PRODUCTS = 100  # with the Hessian at most, to find it


def analyse_surface(
    run: Run, dataset: Dataset | None = None, *, again: bool = False
) -> Record[SurfaceNumbers]:
    """Analyse the weights of a finished run that its protocol selects; `analyse` says how.

    Raises:
        ConfigError: a split has too few images, or as `analyse` does.
        CurvatureError: the loss is not finite at some radius.
    """
    return analyse(run, SurfaceNumbers, measure, exact=True, dataset=dataset, again=again)


def measure(trained: Trained, sizes: Surface) -> SurfaceNumbers:
    """The loss along the top eigenvector, along random directions, and on the plane of two."""
    objectives = {name: _objective(trained, name, sizes.images) for name in ("train", "test")}
    weights = objectives["train"].weights  # (p,), the same in both
    eigenvector, top = _top_eigenvector(
        objectives["train"], trained.run.stream("surface/eigenvector")
    )
    random = [
        filter_normalised(
            trained.model, torch.Generator().manual_seed(trained.run.stream("surface", i))
        )
        for i in range(max(2, sizes.directions))  # the plane needs two
    ]
    lines = [("eigenvector", eigenvector, sizes.eigenvector_radii)]
    for i, vector in enumerate(random[: sizes.directions]):
        lines.append((f"random {i}", vector, sizes.random_radii))
    points = sum(len(radii) for *_, radii in lines) + len(sizes.plane_radii) ** 2
    with tqdm(
        total=points * len(objectives), desc="loss surface", unit="point", mininterval=1
    ) as bar:
        sweeps = tuple(
            sweep(objective, vector, radii, direction=name, split=split, tick=bar.update)
            for split, objective in objectives.items()
            for name, vector, radii in lines
        )
        planes = tuple(
            plane(objective, *random[:2], sizes.plane_radii, split=split, tick=bar.update)
            for split, objective in objectives.items()
        )
    return SurfaceNumbers(
        epoch=trained.record.numbers.tested_epoch,
        images=sizes.images,
        weight_norm=weights.double().norm().item(),
        gate_noise_removed=trained.gate_noise_removed,
        eigenvalue=top.largest[0],
        eigenvalue_residual=top.residuals[0],
        sweeps=sweeps,
        planes=planes,
    )


def sweep(
    objective: Objective,
    step: Tensor,
    radii: Sequence[float],
    *,
    direction: str,
    split: str,
    tick: Callable[[], object] = lambda: None,
) -> Sweep:
    """The loss L(r) = L(w + r step), the accuracy, and the rerouted images, at each radius r.

    The rise (L(r) + L(-r)) / 2 - L(0) for r > 0 is the same for step and -step. An image is
    rerouted where the set of experts that are run on it is another one than at r = 0; where every
    expert is run on every image, there is nothing to reroute.

    Args:
        objective: of a model with `routed`.
        step: (p,), at radius 1.
        radii: ascending, with 0, and with -r for each r.
        direction: what the step is called in the record and in errors.
        split: what the images are called there.
        tick: called after each radius.

    Raises:
        ConfigError: the radii are not such.
        CurvatureError: the loss is not finite at one of them.
    """
    radii = _validated(radii)
    loss, accuracy, chosen = [], [], []
    for radius in radii:
        outputs = objective.outputs(objective.weights + radius * step, routed=True)
        logits, routings = zip(*outputs, strict=True)
        logits = torch.cat(logits)  # (n, c)
        losses = objective.losses(logits, objective.labels)  # (n,)
        loss.append(losses.double().mean().item())
        _refuse_infinite(loss[-1], f"radius {radius} along {direction}", split)
        accuracy.append(correct(logits, objective.labels).double().mean().item())
        chosen.append(_chosen(join(routings)))
        tick()
    loss_at = dict(zip(radii, loss, strict=True))
    here = chosen[radii.index(0)]
    return Sweep(
        direction=direction,
        split=split,
        length=step.double().norm().item(),
        radii=radii,
        loss=tuple(loss),
        accuracy=tuple(accuracy),
        rise=tuple((loss_at[r] + loss_at[-r]) / 2 - loss_at[0] for r in radii if r > 0),
        rerouted=None
        if here is None
        else tuple((there != here).any(dim=1).double().mean().item() for there in chosen),
    )


def plane(
    objective: Objective,
    first: Tensor,
    second: Tensor,
    radii: Sequence[float],
    *,
    split: str,
    tick: Callable[[], object] = lambda: None,
) -> Plane:
    """The loss L(w + a first + b second) for all pairs of radii a, b; arguments as of `sweep`.

    Raises:
        ConfigError, CurvatureError: as `sweep` does.
    """
    radii = _validated(radii)
    rows = []
    for a in radii:
        row = []
        for b in radii:
            row.append(objective.value(objective.weights + a * first + b * second))
            _refuse_infinite(row[-1], f"radii {a} and {b} in the plane", split)
            tick()
        rows.append(tuple(row))
    return Plane(split=split, radii=radii, loss=tuple(rows))


def _objective(trained: Trained, name: str, images: int) -> Objective:
    chosen = subset(trained.dataset, name, images, trained.run.study.data.split_seed)
    prepare = partial(
        network_input, dataset=trained.dataset, channels_last=trained.training.channels_last
    )
    return Objective(trained.model, chosen.images, chosen.labels, prepare=prepare)


def _top_eigenvector(objective: Objective, seed: int) -> tuple[Tensor, Eigenvalues]:
    """The eigenvector (p,) of the largest eigenvalue, of norm 1, along which the loss grows."""
    with seeded(seed, objective.weights.device):
        start = torch.randn(objective.size).to(objective.weights)  # the same on every device
        top = spectrum(objective.hessian, start, 1, residual=RESIDUAL, budget=PRODUCTS)
    vector = top.vectors[0] / top.vectors[0].norm()
    # An eigenvector has no sign of its own; rounding would choose it, machine by machine.
    _, gradient = objective.value_and_gradient()
    return (vector if vector @ gradient >= 0 else -vector), top.eigenvalues


def _chosen(routing: Routing | None) -> Tensor | None:
    """The experts that are run on each image (n, k), ascending; None: every expert is run."""
    if routing is None or routing.indices.shape[1] == routing.gates.shape[1]:
        return None
    return routing.indices.sort(dim=1).values


def _validated(radii: Sequence[float]) -> tuple[float, ...]:
    try:
        return TypeAdapter(Radii).validate_python(tuple(radii))
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"There is no surface at the radii {tuple(radii)}: {reason}.") from None


def _refuse_infinite(loss: float, where: str, split: str) -> None:
    if not math.isfinite(loss):
        raise CurvatureError(
            f"The loss on the {split} images is {loss} at {where}: choose smaller radii in "
            "analyses.surface."
        )
