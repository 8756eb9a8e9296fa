"""The loss over fixed images as a function of the weights alone, with its derivatives."""

import copy
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from moelib.curvature.folding import folded
from moelib.study.base import ConfigError
from moelib.training.seeding import seeded

Loss = Callable[[Tensor, Tensor], Tensor]


class CurvatureError(ConfigError):
    """A loss whose curvature is not defined, or cannot be computed as asked."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each image (n,) from logits (n, c) and labels (n,)."""
    return F.cross_entropy(logits, labels, reduction="none")


class Objective:
    """L(w) = 1/n sum_i loss(f_w(x_i) / T, y_i), in evaluation mode, and products with its Hessian.

    Works on a copy: the model's mode, gradients and weights are never touched. The images pass in
    micro-batches, so that memory does not grow with their number, and each counts alike whatever
    the size of its batch. A parameter that no image reaches has derivatives 0. Vectors (p,) hold
    the parameters of `group`, flat, in the order of `model.named_parameters()`.

    Args:
        model: images -> logits (n, c); its dtype and device are computed in.
        images: (n, ...), as stored; `prepare` turns a micro-batch of them into the model's input.
        labels: (n,) of int64.
        group: all, or a name in `parameter_groups(model)`.
        loss: (logits (n, c), labels (n,)) -> (n,).
        temperature: T, by which logits are divided.
        batch: images in a micro-batch.
        keep: images whose graphs of the first backward pass `hessian` may hold at once, those of
            the passing micro-batch, which it holds in any case, among them. They stay between
            products, which saves a third of each, beside what other methods need for a
            micro-batch; however many images there are, memory does not grow beyond.

    Raises:
        CurvatureError: there are no images, a label is out of range, the group is unknown, the
            model does not return logits, or the loss is not finite, not differentiable, or not a
            fixed function of the weights (live dropout, noise, statistics of the batch).
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        prepare: Callable[[Tensor], Tensor] = lambda images: images,
        group: str = "all",
        loss: Loss = cross_entropy,
        temperature: float = 1.0,
        batch: int = 250,
        keep: int = 0,
    ):
        if len(images) == 0:
            raise CurvatureError("There are no images to take the loss over.")
        if labels.ndim != 1 or labels.dtype != torch.int64:
            raise CurvatureError(
                f"Labels must be int64 of shape (n,), and not {str(labels.dtype)[6:]} of shape "
                f"{tuple(labels.shape)}."
            )
        if len(images) != len(labels):
            raise CurvatureError(f"There are {len(images)} images and {len(labels)} labels.")
        if batch < 1 or temperature <= 0 or keep < 0:
            raise CurvatureError(
                f"A micro-batch needs an image and a temperature must be above 0, and keep 0 "
                f"or more: batch is {batch}, temperature {temperature}, keep {keep}."
            )
        self.images, self.labels = images, labels
        self.prepare, self.per_image, self.temperature, self.batch = (
            prepare,
            loss,
            temperature,
            batch,
        )
        self._keep, self._kept = keep, []
        original = copy.deepcopy(model).eval().requires_grad_(False)
        named = dict(original.named_parameters())
        if not named:
            raise CurvatureError("The model has no parameters to take derivatives by.")
        groups = parameter_groups(original)
        if group not in groups:
            raise CurvatureError(
                f"There is no parameter group '{group}'; the groups are {', '.join(groups)}."
            )
        self._module = original
        self._refuse_unfit()
        _refuse_random_modules(original, self._input(0))
        self._module = _fast(original, self._input(0))
        # Only the tensors in which the group has parameters are differentiated.
        chosen = torch.zeros(sum(p.numel() for p in named.values()), dtype=torch.bool)
        chosen[groups[group]] = True
        parts = dict(zip(named, chosen.split([p.numel() for p in named.values()]), strict=True))
        self._shapes = {name: named[name].shape for name, part in parts.items() if part.any()}
        device = next(iter(named.values())).device
        inside = torch.cat([parts[name] for name in self._shapes])  # (p of whole tensors,)
        self._inside = None if inside.all() else inside.nonzero().flatten().to(device)
        self._whole = torch.cat([named[name].detach().flatten() for name in self._shapes])
        self.weights = self._restrict(self._whole)  # (p,)
        self.groups = {
            name: mask.to(device)
            for name, mask in ((n, _within(groups[n], chosen)) for n in groups)
            if name != "all" and mask.any()
        }  # name -> (p,) of bool: where each group lies in this objective's vectors
        self._refuse_random_loss()
        self._refuse_broken_loss()
        value, gradient = self.value_and_gradient()
        if not (math.isfinite(value) and gradient.isfinite().all()):
            raise CurvatureError(f"The loss is {value}: it or its gradient is not finite.")

    @property
    def size(self) -> int:
        """Number p of parameters."""
        return len(self.weights)

    # -- values -----------------------------------------------------------------------------------

    @torch.no_grad()
    def outputs(self, weights: Tensor | None = None, routed: bool = False) -> Iterator:
        """Logits (n, c), or what `model.routed` returns, of each micro-batch, at weights (p,)."""
        module = _Routed(self._module) if routed else self._module
        prefix = "model." if routed else ""
        given = {prefix + name: t for name, t in self._tensors(weights).items()}
        for start in range(0, len(self.images), self.batch):
            yield functional_call(module, given, (self._input(start),))

    def logits(self, weights: Tensor | None = None) -> Tensor:
        """Logits (n, c) of all images, before the temperature, at weights (p,)."""
        return torch.cat(list(self.outputs(weights)))

    def value(self, weights: Tensor | None = None) -> float:
        """L at weights (p,), by default the model's own."""
        return self._of(self.logits(weights), self.labels).double().mean().item()

    def value_and_gradient(self, weights: Tensor | None = None) -> tuple[float, Tensor]:
        """L and its gradient (p,) at weights (p,)."""
        total, gradient = 0.0, torch.zeros_like(self._whole)
        for loss, tensors, _ in self._graphs(weights):
            total += loss.item()
            gradient += _flat(_grad([loss], tensors, materialize_grads=True))
        return total, self._restrict(gradient)

    # -- products ---------------------------------------------------------------------------------

    def hessian(self, vectors: Tensor) -> Tensor:
        """H v for each of vectors (m, p), from one first backward pass over all m (Pearlmutter).

        Raises:
            CurvatureError: vectors of another shape, or a product that is not finite.
        """

        def products(graph: tuple, directions: list[list[Tensor]]) -> Iterator:
            gradients, tensors = graph
            for direction in directions:
                yield _grad(
                    gradients, tensors, direction, retain_graph=True, materialize_grads=True
                )

        return self._products(vectors, self._first_passes(), products)

    def gauss_newton(self, vectors: Tensor) -> Tensor:
        """G v for each of vectors (m, p): G = 1/n sum_i J_i^T (d^2 loss / d logits^2) J_i.

        Raises:
            CurvatureError: as for `hessian`.
        """

        def products(graph: tuple, directions: list[list[Tensor]]) -> Iterator:
            loss, tensors, logits = graph
            # J v is the derivative, with respect to u, of (J^T u) . v, which is linear in u.
            u = torch.zeros_like(logits, requires_grad=True)  # (n, c)
            pulled = _grad([logits], tensors, [u], create_graph=True, materialize_grads=True)
            slope = _grad([loss], [logits], create_graph=True)  # d loss / d logits, (n, c)
            for direction in directions:
                pushed = _grad(pulled, [u], direction, retain_graph=True)  # J v, (n, c)
                bent = _grad(slope, [logits], pushed, retain_graph=True, materialize_grads=True)
                yield _grad([logits], tensors, bent, retain_graph=True, materialize_grads=True)

        return self._products(vectors, self._graphs(None), products)

    def _first_passes(self) -> Iterator[tuple]:
        """Gradients of each micro-batch's share of L, with their graph, and the leaves."""
        yield from self._kept
        images = len(self.images)
        leaves = self._leaves(None)
        for start in range(self.batch * len(self._kept), images, self.batch):
            end = min(start + self.batch, images)
            if end + min(self.batch, images - end) <= self._keep:  # the next one fits beside it
                self._kept.append(self._first_pass(leaves, start))
                yield self._kept[-1]
            else:
                yield self._first_pass(leaves, start)  # without a name, which would hold it here

    def _first_pass(self, leaves: dict[str, Tensor], start: int) -> tuple:
        loss, tensors, _ = self._graph(leaves, start)
        return _grad([loss], tensors, create_graph=True, materialize_grads=True), tensors

    def _products(self, vectors: Tensor, graphs: Iterator[tuple], of: Callable) -> Tensor:
        if vectors.ndim != 2 or len(vectors) == 0 or vectors.shape[1] != self.size:
            raise CurvatureError(
                f"Vectors must be of shape (m, {self.size}), one number for each parameter and at "
                f"least one vector, and not of shape {tuple(vectors.shape)}."
            )
        products = vectors.new_zeros(len(vectors), len(self._whole))
        directions = [self._split(self._extend(vector)) for vector in vectors]
        for graph in graphs:
            for product, part in zip(products, of(graph, directions), strict=True):
                product += _flat(part)
            del graph  # before the next one is made
        if not products.isfinite().all():
            raise CurvatureError(
                "The loss has no finite second derivative at these weights: a product is infinite "
                "or not a number."
            )
        return torch.stack([self._restrict(product) for product in products])

    # -- parts ------------------------------------------------------------------------------------

    def _input(self, start: int) -> Tensor:
        return self.prepare(self.images[start : start + self.batch])

    def _of(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.per_image(logits / self.temperature, labels)  # (n,)

    def _graphs(self, weights: Tensor | None) -> Iterator[tuple[Tensor, list[Tensor], Tensor]]:
        leaves = self._leaves(weights)
        for start in range(0, len(self.images), self.batch):
            yield self._graph(leaves, start)

    def _graph(self, leaves: dict[str, Tensor], start: int) -> tuple[Tensor, list[Tensor], Tensor]:
        """Of a micro-batch: its share of L, the leaves that it depends on, and its logits."""
        logits = functional_call(self._module, leaves, (self._input(start),))
        losses = self._of(logits, self.labels[start : start + self.batch])
        return losses.sum() / len(self.images), list(leaves.values()), logits

    def _leaves(self, weights: Tensor | None) -> dict[str, Tensor]:
        return {name: t.requires_grad_() for name, t in self._tensors(weights).items()}

    def _tensors(self, weights: Tensor | None) -> dict[str, Tensor]:
        whole = self._whole
        if weights is not None:
            whole = weights if self._inside is None else whole.index_copy(0, self._inside, weights)
        return dict(zip(self._shapes, self._split(whole.detach()), strict=True))

    def _split(self, whole: Tensor) -> list[Tensor]:
        parts = whole.split([shape.numel() for shape in self._shapes.values()])
        return [part.view(shape) for part, shape in zip(parts, self._shapes.values(), strict=True)]

    def _extend(self, vector: Tensor) -> Tensor:
        if self._inside is None:
            return vector
        return torch.zeros_like(self._whole).index_copy(0, self._inside, vector)

    def _restrict(self, whole: Tensor) -> Tensor:
        return whole if self._inside is None else whole[self._inside]

    def _refuse_unfit(self) -> None:
        """Refuse what is no logits, no labels or no loss, before any derivative is taken."""
        first = self._input(0)
        with torch.no_grad():
            logits = self._module(first)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            shape = f" of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else ""
            raise CurvatureError(
                f"The model must return logits (n, c), not a {type(logits).__name__}{shape}."
            )
        low, high = self.labels.min().item(), self.labels.max().item()
        if low < 0 or high >= logits.shape[1]:
            raise CurvatureError(
                f"Labels must lie in 0 to {logits.shape[1] - 1}, as the model has "
                f"{logits.shape[1]} logits; these go from {low} to {high}."
            )
        losses = self._of(logits, self.labels[: len(first)])
        if losses.shape != (len(first),):
            raise CurvatureError(
                f"The loss must be one number per image, and not of shape {tuple(losses.shape)}."
            )

    def _refuse_random_loss(self) -> None:
        """Two passes over the first images, with other random numbers: same loss, same gradient."""
        first, again = (self._checked_pass(None, seed) for seed in range(2))
        scale = first.norm().clamp(min=1e-3)  # a minimum has no gradient to be relative to
        # The same sums in the same order: on a CPU nothing but chance can part the two passes.
        exact = 10 * torch.finfo(scale.dtype).eps
        if (first - again).norm() > scale * (exact if first.is_cpu else _rounding(scale.dtype)):
            raise CurvatureError(
                "The loss is not a fixed function of the weights: two passes over the same images "
                "differ, although every module gives the same outputs."
            )
        if not first.requires_grad:  # then every second derivative is 0: is it?
            moved = self._checked_pass(1.01 * self.weights, 0)[1:]
            if (moved - first[1:]).norm() > _rounding(scale.dtype) * scale:
                raise CurvatureError(
                    "The loss is not twice differentiable: its gradient changes with the weights, "
                    "but carries no derivative."
                )

    def _refuse_broken_loss(self) -> None:
        """The loss's second derivative by the logits, along one direction, also by differences.

        Autograd takes a term of the loss whose derivative carries no graph for one that has no
        second derivative, without a word. At random logits, and not at the model's: where that is
        sure of every image, the loss is flat, and differences of its slope are rounding alone.
        """
        like = next(self.outputs())  # (n, c)
        labels = self.labels[: len(like)]
        generator = torch.Generator().manual_seed(0)
        dtype = torch.promote_types(like.dtype, torch.float32)  # of bf16 nothing would be left
        drawn = torch.randn(2, *like.shape, generator=generator).to(like.device, dtype)
        # A loss changes over logits of the size of the temperature.
        logits, along = self.temperature * drawn[0], drawn[1]

        def slope(moved: Tensor) -> tuple[Tensor, Tensor]:
            moved = moved.clone().requires_grad_()
            summed = self._of(moved, labels).sum()
            return moved, _grad([summed], [moved], create_graph=True, materialize_grads=True)[0]

        here, gradient = slope(logits)
        product = _grad([gradient], [here], [along], materialize_grads=True)[0]
        # Central differences err by the step squared and by rounding over the step: least here.
        step = torch.finfo(dtype).eps ** (1 / 3) * self.temperature
        ahead, behind = (slope(logits + sign * step * along)[1].detach() for sign in (1, -1))
        differences = (ahead - behind) / (2 * step)
        if (product - differences).norm() > 0.01 * (differences.norm() + gradient.detach().norm()):
            raise CurvatureError(
                "The loss is not twice differentiable: its second derivative by the logits is not "
                "that which its first derivatives show."
            )

    def _checked_pass(self, weights: Tensor | None, seed: int) -> Tensor:
        with seeded(seed, self._whole.device):
            loss, tensors, _ = next(self._graphs(weights))
            if not loss.requires_grad:
                raise CurvatureError(
                    "The loss is not twice differentiable: no differentiable operations lead from "
                    "the weights to it."
                )
            gradients = _grad([loss], tensors, create_graph=True, materialize_grads=True)
        return torch.cat([loss.detach()[None], _flat(gradients)])


def parameter_groups(model: nn.Module) -> dict[str, Tensor]:
    """Where the named groups of parameters lie in the flat vector of all: name -> indices.

    `all`; each child of the model, such as backbone and head; and of a mixture its gate, its
    experts, and each expert, which is a slice of every stacked tensor.
    """
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    everything = torch.arange(sum(sizes.values()))
    flat = dict(zip(sizes, everything.split(list(sizes.values())), strict=True))

    def under(prefix: str) -> list[Tensor]:
        return [part for name, part in flat.items() if name.startswith(prefix)]

    found = {"all": everything}
    for child, _ in model.named_children():
        found[child] = torch.cat([*under(f"{child}."), everything[:0]])
    head = getattr(model, "head", None)
    if hasattr(head, "experts"):
        found["gate"] = torch.cat([*under("head.gate."), everything[:0]])
        found["experts"] = torch.cat(under("head.experts."))
        stacked = [
            positions.view(parameter.shape).movedim(axis, 0)  # (e, ...)
            for name, axis in head.experts.EXPERT_AXES.items()
            for positions, parameter in [
                (flat[f"head.experts.{name}"], head.experts.get_parameter(name))
            ]
        ]
        for e in range(len(stacked[0])):
            found[f"expert {e}"] = torch.cat([part[e].flatten() for part in stacked])
    return {name: indices for name, indices in found.items() if len(indices)}


class _Routed(nn.Module):
    """`model.routed` as a forward pass, so that it can be called with other weights."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor):
        return self.model.routed(images)


@torch.no_grad()
def _fast(model: nn.Module, images: Tensor) -> nn.Module:
    """The model with its backbone's normalisations folded: the same function, sooner.

    If it is another function of these images, which tracing cannot rule out, nothing is folded.
    """
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, nn.Module):
        before = model(images)  # (n, c)
        model.backbone = folded(backbone)
        if _differ([model(images)], [before]):
            model.backbone = backbone
    return model


def _within(indices: Tensor, chosen: Tensor) -> Tensor:
    mask = torch.zeros_like(chosen)
    mask[indices] = True
    return mask[chosen]


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors])


def _grad(outputs, inputs, grad_outputs=None, **options) -> tuple[Tensor, ...]:
    # An output that is constant, as the slope of a linear loss is, has no graph; autograd refuses.
    varying = [i for i, output in enumerate(outputs) if output.requires_grad]
    if not varying:
        return tuple(torch.zeros_like(t) for t in inputs)
    if grad_outputs is not None:
        grad_outputs = [grad_outputs[i] for i in varying]
    try:
        return torch.autograd.grad([outputs[i] for i in varying], inputs, grad_outputs, **options)
    except RuntimeError as error:  # also NotImplementedError: a kernel without a derivative
        raise CurvatureError(f"The loss is not twice differentiable: {error}") from error


# -- is it a function of the weights? -------------------------------------------------------------


def _refuse_random_modules(model: nn.Module, images: Tensor) -> None:
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
        inputs, outputs = (_differ(*pair) for pair in zip(ours, theirs, strict=True))
        if outputs and not inputs:
            raise CurvatureError(
                f"The loss is not a fixed function of the weights: '{name}' ({kind}) gives other "
                "outputs for the same images. Live dropout, noise or statistics of the batch do "
                "that."
            )


def _differ(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    """Whether tensors of the same images differ by more than rounding."""
    for a, b in zip(ours, theirs, strict=True):
        a = a[: len(b)]
        if a.shape == b.shape and a.is_floating_point() and b.numel():
            scale = b.abs().max().clamp(min=torch.finfo(b.dtype).tiny)
            if (a - b).abs().max() > _rounding(b.dtype) * scale:
                return True
    return False


def _rounding(dtype: torch.dtype) -> float:
    """Relative difference that the order of sums alone may make: a deep net loses some bits."""
    return 1e4 * torch.finfo(dtype).eps


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
