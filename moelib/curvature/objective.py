"""The loss over fixed images as a function of the weights alone, with its derivatives."""

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from moelib.curvature import checks
from moelib.curvature.autodiff import vjp
from moelib.curvature.error import CurvatureError
from moelib.curvature.folding import fold_backbone
from moelib.curvature.parameters import ParameterVector

Loss = Callable[[Tensor, Tensor], Tensor]


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
        checks.refuse_unfit_images(images, labels)
        if batch < 1 or temperature <= 0 or keep < 0:
            raise CurvatureError(
                f"A micro-batch needs an image and a temperature must be above 0, and keep 0 "
                f"or more: batch is {batch}, temperature {temperature}, keep {keep}."
            )
        self.images, self.labels, self.prepare = images, labels, prepare
        self.per_image, self.temperature, self.batch = loss, temperature, batch
        self._keep, self._kept = keep, []
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        self.parameters = ParameterVector(self._model, group)
        first = self._input(0)
        with torch.no_grad():
            logits = self._model(first)
        checks.refuse_unfit_logits(logits, labels)
        checks.refuse_unfit_losses(self.losses(logits, labels[: len(first)]), len(first))
        checks.refuse_random_modules(self._model, first)
        fold_backbone(self._model, first)
        checks.refuse_random_loss(self._first_loss_and_gradient, self.weights)
        checks.refuse_broken_loss(
            lambda logits: self.losses(logits, labels[: len(first)]), logits, temperature
        )
        checks.refuse_infinite(*self.value_and_gradient())

    @property
    def weights(self) -> Tensor:
        """The model's own weights (p,)."""
        return self.parameters.weights

    @property
    def groups(self) -> dict[str, Tensor]:
        """Name -> (p,) of bool: where each group of parameters lies in this objective's vectors."""
        return self.parameters.groups

    @property
    def size(self) -> int:
        """Number p of parameters."""
        return len(self.weights)

    # -- values -----------------------------------------------------------------------------------

    @torch.no_grad()
    def outputs(self, weights: Tensor | None = None, routed: bool = False) -> Iterator:
        """Logits (n, c), or what `model.routed` returns, of each micro-batch, at weights (p,)."""
        model = _Routed(self._model) if routed else self._model
        prefix = "model." if routed else ""
        tensors = {prefix + name: t for name, t in self.parameters.tensors(weights).items()}
        for start in range(0, len(self.images), self.batch):
            yield functional_call(model, tensors, (self._input(start),))

    def logits(self, weights: Tensor | None = None) -> Tensor:
        """Logits (n, c) of all images, before the temperature, at weights (p,)."""
        return torch.cat(list(self.outputs(weights)))

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """loss(logits / T, y) of each image (n,), from logits (n, c) and labels (n,)."""
        return self.per_image(logits / self.temperature, labels)

    def value(self, weights: Tensor | None = None) -> float:
        """L at weights (p,), by default the model's own."""
        return self.losses(self.logits(weights), self.labels).double().mean().item()

    def value_and_gradient(self, weights: Tensor | None = None) -> tuple[float, Tensor]:
        """L and its gradient (p,) at weights (p,)."""
        total, gradient = 0.0, torch.zeros_like(self.weights)
        for loss, tensors, _ in self._graphs(weights):
            total += loss.item()
            gradient += self.parameters.flatten(vjp([loss], tensors, materialize_grads=True))
        return total, gradient

    # -- products ---------------------------------------------------------------------------------

    def hessian(self, vectors: Tensor) -> Tensor:
        """H v for each of vectors (m, p), from one first backward pass over all m (Pearlmutter).

        Raises:
            CurvatureError: vectors of another shape, or a product that is not finite.
        """

        def multiply(graph: tuple, directions: list[list[Tensor]]) -> Iterator:
            gradients, tensors = graph
            for direction in directions:
                yield vjp(gradients, tensors, direction, retain_graph=True, materialize_grads=True)

        return self._products(vectors, self._first_passes(), multiply)

    def gauss_newton(self, vectors: Tensor) -> Tensor:
        """G v for each of vectors (m, p): G = 1/n sum_i J_i^T (d^2 loss / d logits^2) J_i.

        Raises:
            CurvatureError: as for `hessian`.
        """

        def multiply(graph: tuple, directions: list[list[Tensor]]) -> Iterator:
            loss, tensors, logits = graph
            # J v is the derivative, with respect to u, of (J^T u) . v, which is linear in u.
            u = torch.zeros_like(logits, requires_grad=True)  # (n, c)
            pulled = vjp([logits], tensors, [u], create_graph=True, materialize_grads=True)
            slope = vjp([loss], [logits], create_graph=True)  # d loss / d logits, (n, c)
            for direction in directions:
                pushed = vjp(pulled, [u], direction, retain_graph=True)  # J v, (n, c)
                bent = vjp(slope, [logits], pushed, retain_graph=True, materialize_grads=True)
                yield vjp([logits], tensors, bent, retain_graph=True, materialize_grads=True)

        return self._products(vectors, self._graphs(), multiply)

    def _products(self, vectors: Tensor, graphs: Iterator[tuple], multiply: Callable) -> Tensor:
        if vectors.ndim != 2 or len(vectors) == 0 or vectors.shape[1] != self.size:
            raise CurvatureError(
                f"Vectors must be of shape (m, {self.size}), one number for each parameter and at "
                f"least one vector, and not of shape {tuple(vectors.shape)}."
            )
        products = torch.zeros_like(vectors)  # (m, p)
        directions = [self.parameters.unflatten(vector) for vector in vectors]
        for graph in graphs:
            for product, tensors in zip(products, multiply(graph, directions), strict=True):
                product += self.parameters.flatten(tensors)
            del graph  # before the next one is made
        if not products.isfinite().all():
            raise CurvatureError(
                "The loss has no finite second derivative at these weights: a product is infinite "
                "or not a number."
            )
        return products

    # -- graphs -----------------------------------------------------------------------------------

    def _input(self, start: int) -> Tensor:
        return self.prepare(self.images[start : start + self.batch])

    def _graphs(self, weights: Tensor | None = None) -> Iterator[tuple]:
        leaves = self.parameters.leaves(weights)
        for start in range(0, len(self.images), self.batch):
            yield self._graph(leaves, start)

    def _graph(self, leaves: dict[str, Tensor], start: int) -> tuple[Tensor, list[Tensor], Tensor]:
        """A micro-batch's share of L, the leaves that it depends on, and its logits (n, c)."""
        logits = functional_call(self._model, leaves, (self._input(start),))
        losses = self.losses(logits, self.labels[start : start + self.batch])
        return losses.sum() / len(self.images), list(leaves.values()), logits

    def _first_passes(self) -> Iterator[tuple]:
        """Gradients of each micro-batch's share of L, with their graph, and the leaves."""
        yield from self._kept
        images = len(self.images)
        leaves = self.parameters.leaves()
        for start in range(self.batch * len(self._kept), images, self.batch):
            end = min(start + self.batch, images)
            if end + min(self.batch, images - end) <= self._keep:  # the next one fits beside it
                self._kept.append(self._first_pass(leaves, start))
                yield self._kept[-1]
            else:
                yield self._first_pass(leaves, start)  # without a name, which would hold it here

    def _first_pass(self, leaves: dict[str, Tensor], start: int) -> tuple:
        loss, tensors, _ = self._graph(leaves, start)
        return vjp([loss], tensors, create_graph=True, materialize_grads=True), tensors

    def _first_loss_and_gradient(self, weights: Tensor) -> Tensor:
        """The first micro-batch's share of L and of its gradient (1 + p,), with their graph."""
        loss, tensors, _ = self._graph(self.parameters.leaves(weights), 0)
        if not loss.requires_grad:
            raise CurvatureError(
                "The loss is not twice differentiable: no differentiable operations lead from "
                "the weights to it."
            )
        gradients = vjp([loss], tensors, create_graph=True, materialize_grads=True)
        return torch.cat([loss.detach()[None], self.parameters.flatten(gradients)])


class _Routed(nn.Module):
    """`model.routed` as a forward pass, so that it can be called with other weights."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor):
        return self.model.routed(images)
