"""PyHessian and this project on the same models: both against the full Hessian."""

import pytest
import torch
from test_objective import HEADS, classifier, naive_loss

from moelib.curvature.crosscheck import Peered
from moelib.curvature.lanczos import spectrum
from moelib.curvature.objective import Objective
from moelib.curvature.trace import trace

# It differentiates twice by `backward(create_graph=True)`, of which torch warns.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:Using backward\(\) with create_graph"),
]


@pytest.mark.parametrize("head", HEADS)
def test_products_agree_on_every_head(head):
    model, images, labels = classifier(head)
    model, images = model.float(), images.float()
    objective, peer = Objective(model, images, labels), Peered(model, images, labels, batch=11)
    smooth = torch.cat(
        [torch.full((p.numel(),), p.requires_grad) for p in peer.peer.model.parameters()]
    )
    assert peer.size == smooth.sum()
    vector = torch.randn(objective.size, generator=torch.Generator().manual_seed(0)) * smooth
    products = objective.hessian(vector[None])[0]
    assert not products[~smooth].any()
    torch.testing.assert_close(peer.product(vector[smooth]), products[smooth], rtol=1e-3, atol=1e-4)
    assert peer.products == 1


@pytest.mark.parametrize(("head", "batch"), [*((head, 11) for head in HEADS), ("sparse", None)])
def test_both_agree_with_the_full_hessian(head, batch):
    model, images, labels = classifier(head)
    loss, weights = naive_loss(model, images, labels)
    hessian = torch.func.jacrev(torch.func.grad(loss))(weights)  # (p, p), in float64
    exact = torch.linalg.eigvalsh(hessian)
    model, images = model.float(), images.float()
    objective, peer = Objective(model, images, labels), Peered(model, images, labels, batch)
    start = torch.randn(objective.size, generator=torch.Generator().manual_seed(0))
    pair = spectrum(objective.hessian, start, 2, residual=1e-4, budget=100)
    assert pair.eigenvalues.largest == pytest.approx(exact.flip(0)[:2].tolist(), rel=1e-3)
    estimate, _ = trace(
        objective.hessian,
        objective.size,
        error=0.02,
        budget=200,
        generator=torch.Generator().manual_seed(1),
        krylov=pair.krylov,
    )
    total = hessian.trace().item()
    assert abs(estimate.value - total) <= 4 * estimate.standard_error
    torch.manual_seed(0)
    # It stops at a change of 1e-3, which bounds no error: 5 % is what one sees.
    largest = exact[exact.abs().argmax()].item()
    assert peer.eigenvalues(1).values[0] == pytest.approx(largest, rel=0.05)
    samples = torch.tensor([value for _ in range(3) for value in peer.trace().values])
    assert len(samples) >= 6  # each call takes two at least, and by chance no more
    assert abs(samples.mean() - total) <= 5 * samples.std() / len(samples) ** 0.5


def test_its_density_fails():
    model, images, labels = classifier("dense")
    error = Peered(model.float(), images.float(), labels, batch=11).density_error()
    assert error is not None and "eig" in error  # torch.eig was removed
