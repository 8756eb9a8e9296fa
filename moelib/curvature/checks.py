"""Is the loss over these images a function of the weights, with two derivatives?"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from moelib.curvature.autodiff import vjp
from moelib.curvature.error import CurvatureError
from moelib.curvature.rounding import differ, rounding
from moelib.training.seeding import seeded


def refuse_unfit_images(images: Tensor, labels: Tensor) -> None:
    """Refuse no images, and labels that are not one whole number for each."""
    if len(images) == 0:
        raise CurvatureError("There are no images to take the loss over.")
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise CurvatureError(
            f"Labels must be int64 of shape (n,), and not {str(labels.dtype)[6:]} of shape "
            f"{tuple(labels.shape)}."
        )
    if len(images) != len(labels):
        raise CurvatureError(f"There are {len(images)} images and {len(labels)} labels.")


def refuse_unfit_logits(logits: Tensor, labels: Tensor) -> None:
    """Refuse outputs that are not logits (n, c), and labels (n,) outside 0 to c - 1."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = f" of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else ""
        raise CurvatureError(
            f"The model must return logits (n, c), not a {type(logits).__name__}{shape}."
        )
    classes, low, high = logits.shape[1], labels.min().item(), labels.max().item()
    if low < 0 or high >= classes:
        raise CurvatureError(
            f"Labels must lie in 0 to {classes - 1}, as the model has {classes} logits; these go "
            f"from {low} to {high}."
        )


def refuse_unfit_losses(losses: Tensor, images: int) -> None:
    """Refuse a loss that is not of shape (images,)."""
    if losses.shape != (images,):
        raise CurvatureError(
            f"The loss must be one number per image, and not of shape {tuple(losses.shape)}."
        )


def refuse_infinite(value: float, gradient: Tensor) -> None:
    """Refuse a loss that is not finite, or whose gradient is not."""
    if not (math.isfinite(value) and gradient.isfinite().all()):
        raise CurvatureError(f"The loss is {value}: it or its gradient is not finite.")


def refuse_random_modules(model: nn.Module, images: Tensor) -> None:
    """Pass the same images twice, alone and among others, with other random numbers each time."""
    half = images[: max(1, len(images) // 2)]
    with seeded(0, images.device):
        first = _traffic(model, images)
    with seeded(1, images.device):
        second = _traffic(model, half)
    if [module[:2] for module in first] != [module[:2] for module in second]:
        raise CurvatureError(
            "The loss is not a fixed function of the weights: the same images do not always pass "
            "through the same modules."
        )
    for (name, kind, *ours), (_, _, *theirs) in zip(first, second, strict=True):
        inputs, outputs = (differ(*pair) for pair in zip(ours, theirs, strict=True))
        if outputs and not inputs:
            raise CurvatureError(
                f"The loss is not a fixed function of the weights: '{name}' ({kind}) gives other "
                "outputs for the same images. Live dropout, noise or statistics of the batch do "
                "that."
            )


def refuse_random_loss(evaluate: Callable[[Tensor], Tensor], weights: Tensor) -> None:
    """Two passes over the same images, with other random numbers: same loss, same gradient.

    Args:
        evaluate: weights (p,) -> loss and gradient (1 + p,), with their graph where there is one.
        weights: (p,).
    """

    def seeded_pass(seed: int, weights: Tensor) -> Tensor:
        with seeded(seed, weights.device):
            return evaluate(weights)

    first, again = (seeded_pass(seed, weights) for seed in range(2))
    scale = first.norm().clamp(min=1e-3)  # a minimum has no gradient to be relative to
    # The same sums in the same order: on a CPU nothing but chance can part the two passes.
    exact = 10 * torch.finfo(scale.dtype).eps
    if (first - again).norm() > scale * (exact if first.is_cpu else rounding(scale.dtype)):
        raise CurvatureError(
            "The loss is not a fixed function of the weights: two passes over the same images "
            "differ, although every module gives the same outputs."
        )
    if not first.requires_grad:  # then every second derivative is 0: is it?
        moved = seeded_pass(0, 1.01 * weights)[1:]
        if (moved - first[1:]).norm() > rounding(scale.dtype) * scale:
            raise CurvatureError(
                "The loss is not twice differentiable: its gradient changes with the weights, "
                "but carries no derivative."
            )


def refuse_broken_loss(loss: Callable[[Tensor], Tensor], like: Tensor, temperature: float) -> None:
    """The loss's second derivative by the logits, along one direction, also by differences.

    Autograd takes a term of the loss whose derivative carries no graph for one that has no
    second derivative, without a word. At random logits, and not at the model's: where that is
    sure of every image, the loss is flat, and differences of its slope are rounding alone.

    Args:
        loss: logits (n, c) -> (n,), with the temperature in it.
        like: (n, c), of the logits' dtype and device.
        temperature: the size of logits over which the loss changes.
    """
    generator = torch.Generator().manual_seed(0)
    dtype = torch.promote_types(like.dtype, torch.float32)  # of bf16 nothing would be left
    drawn = torch.randn(2, *like.shape, generator=generator).to(like.device, dtype)
    logits, along = temperature * drawn[0], drawn[1]

    def slope(logits: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits.clone().requires_grad_()
        summed = loss(logits).sum()
        return logits, vjp([summed], [logits], create_graph=True, materialize_grads=True)[0]

    here, gradient = slope(logits)
    product = vjp([gradient], [here], [along], materialize_grads=True)[0]
    # Central differences err by the step squared and by rounding over the step: least here.
    step = torch.finfo(dtype).eps ** (1 / 3) * temperature
    ahead, behind = (slope(logits + sign * step * along)[1].detach() for sign in (1, -1))
    differences = (ahead - behind) / (2 * step)
    if (product - differences).norm() > 0.01 * (differences.norm() + gradient.detach().norm()):
        raise CurvatureError(
            "The loss is not twice differentiable: its second derivative by the logits is not "
            "that which its first derivatives show."
        )


@torch.no_grad()
def _traffic(model: nn.Module, images: Tensor) -> list[tuple[str, str, list, list]]:
    """Name, class, input and output tensors of each module, in the order in which they finish."""
    seen: list[tuple[str, str, list, list]] = []

    def keep(name: str):
        def hook(module, inputs, outputs):
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            passed = ([t for t in p if isinstance(t, Tensor) and t.ndim] for p in (inputs, outputs))
            seen.append((name or "the model", type(module).__name__, *passed))

        return hook

    hooks = [m.register_forward_hook(keep(name)) for name, m in model.named_modules()]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen
