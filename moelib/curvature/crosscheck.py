"""PyHessian (Yao 2020), unchanged, on the models of this project: the other implementation."""

import copy
import time
from collections.abc import Callable

import torch
from pyhessian import hessian as PyHessian
from torch import Tensor, nn

from moelib.records.kinds import Peer


class Peered:
    """PyHessian over fixed images, as its users call it, with its products counted.

    It cannot take parameters that have no gradient, such as a sparse gate's W_n in evaluation mode:
    for those it multiplies by the number 0 where autograd wants a tensor. They are frozen in the
    copy that it gets; their rows of the Hessian are 0 and change no eigenvalue but 0.

    Args:
        model: images -> logits (n, c).
        images: the model's input, (n, ...).
        labels: (n,).
        batch: images in a batch of its data loader; None: a single batch, whose first backward pass
            it keeps.
    """

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, batch: int | None = 128):
        model, loss = copy.deepcopy(model).eval(), nn.CrossEntropyLoss()
        gradients = torch.autograd.grad(
            loss(model(images[:2]), labels[:2]), list(model.parameters()), allow_unused=True
        )
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
        if batch is None:
            source = {"data": (images, labels)}
        else:
            batches = list(zip(images.split(batch), labels.split(batch), strict=True))
            source = {"dataloader": batches}
        self.peer = PyHessian(model, loss, **source, cuda=images.is_cuda)
        self.products = 0
        inner = self.peer.dataloader_hv_product

        def counted(vector):
            self.products += 1
            return inner(vector)

        self.peer.dataloader_hv_product = counted

    @property
    def size(self) -> int:
        """Number of parameters that it sees."""
        return sum(parameter.numel() for parameter in self.peer.params)

    def _timed(self, work: Callable[[], list[float]]) -> Peer:
        self.products = 0
        start = time.perf_counter()
        values = work()
        return Peer(
            values=tuple(values), products=self.products, seconds=time.perf_counter() - start
        )

    def eigenvalues(self, count: int) -> Peer:
        """Its `eigenvalues(top_n=count)` with its defaults, in the order in which it returns them.

        Power iteration with deflation, at most 100 products each, until an eigenvalue moves by
        less than a thousandth; the last value but one is returned, and the list is not sorted.
        """
        return self._timed(lambda: self.peer.eigenvalues(top_n=count)[0])

    def trace(self) -> Peer:
        """Its `trace()` with its defaults: z^T H z of each Rademacher probe.

        It stops once their running mean moves by less than a thousandth.
        """
        return self._timed(self.peer.trace)

    def product(self, vector: Tensor) -> Tensor:
        """Its H v (p,), over its data loader."""
        shapes = [parameter.shape for parameter in self.peer.params]
        parts = vector.split([shape.numel() for shape in shapes])
        tensors = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
        return torch.cat([part.flatten() for part in self.peer.dataloader_hv_product(tensors)[1]])

    def density_error(self) -> str | None:
        """What its `density()` fails with; None if it works."""
        try:
            self.peer.density(iter=3, n_v=1)
        except Exception as error:  # whatever it is, it is what a user would see
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return None
