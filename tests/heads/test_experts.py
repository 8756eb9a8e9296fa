"""Stacked experts against a double loop over images and experts, values and all gradients."""

import pytest
import torch

from moelib.heads.experts import Experts
from moelib.heads.routing import soft_routing, switch_routing, top_k_routing, uniform_routing

IMAGES, FEATURES, HIDDEN, CLASSES = 7, 5, 3, 4
EXACT = {"rtol": 0, "atol": 1e-12}  # float64, sums of some dozens of terms of order 1


def naive(experts, features, weights, indices):
    """One image, one chosen expert at a time."""
    rows = []
    for x, choices, weight in zip(features, indices, weights, strict=True):
        y = torch.zeros(CLASSES, dtype=x.dtype)
        for e, w in zip(choices, weight, strict=True):
            hidden = (x @ experts.w_in[:, e] + experts.b_in[e]).relu()
            y = y + w * (hidden @ experts.w_out[e] + experts.b_out[e])
        rows.append(y)
    return torch.stack(rows)


ROUTES = {
    "soft": (6, lambda z: soft_routing(z, 0.7)),
    "top-2": (6, lambda z: top_k_routing(z, 2, 0.7)),
    "top-2 with ties kept": (6, lambda z: top_k_routing(z.round(), 2, keep_ties=True)),
    "k = E": (3, lambda z: top_k_routing(z, 3)),
    "switch": (6, lambda z: switch_routing(z)),
    "E = 1": (1, lambda z: top_k_routing(z, 1)),
    "idle experts": (6, lambda z: top_k_routing(z - 50 * (torch.arange(6) > 3), 2)),
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES.keys())
def test_outputs_and_all_gradients_equal_the_double_loop(route):
    count, make = route
    torch.manual_seed(0)
    experts = Experts(count, FEATURES, HIDDEN, CLASSES, dropout=0.5).double().eval()
    features = torch.randn(IMAGES, FEATURES, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(IMAGES, count, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(IMAGES, CLASSES, dtype=torch.float64)
    leaves = [features, logits, *experts.parameters()]

    def run(execute):
        output = execute()
        gradients = torch.autograd.grad(
            (output * direction).sum(), leaves, allow_unused=True, materialize_grads=True
        )
        return [output, *gradients]

    routing = make(logits)
    fast = run(lambda: experts(features, make(logits)))
    slow = run(lambda: naive(experts, features, make(logits).weights, routing.indices))
    for result, expected in zip(fast, slow, strict=True):
        torch.testing.assert_close(result, expected, **EXACT)


def test_an_expert_without_images_has_gradient_exactly_0():
    torch.manual_seed(0)
    experts = Experts(3, FEATURES, HIDDEN, CLASSES, dropout=0.0)
    logits = torch.tensor([[0.0, 1.0, -9.0]] * IMAGES)
    experts(torch.randn(IMAGES, FEATURES), top_k_routing(logits, 2)).sum().backward()
    for name, parameter in experts.named_parameters():
        gradient = parameter.grad.movedim(1, 0) if name == "w_in" else parameter.grad  # (e, ...)
        assert (gradient[2] == 0).all()
        assert gradient[0].abs().sum() > 0


def test_initial_values_are_those_of_linear_layers():
    torch.manual_seed(0)
    experts = Experts(8, features=100, hidden=25, classes=10, dropout=0.0)
    for parameter, inputs in zip(experts.parameters(), (100, 100, 25, 25), strict=True):
        bound = inputs**-0.5
        assert parameter.abs().max() <= bound
        # Uniform on +-bound: deviation bound / sqrt(3); 80 values or more, so within 25 %.
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.25)


def test_dropout_zeroes_and_rescales_hidden_units_in_training_only():
    torch.manual_seed(0)
    experts = Experts(1, FEATURES, 2000, 1, dropout=0.25)
    with torch.no_grad():
        experts.w_in.zero_()
        experts.b_in.fill_(1.0)
        experts.w_out.fill_(1 / 2000)
        experts.b_out.zero_()
    features = torch.zeros(1, FEATURES)
    routing = uniform_routing(features, 1)
    # A float32 sum of 2000 terms is off by less than 2000 roundings of 6e-8.
    assert experts.eval()(features, routing).item() == pytest.approx(1, abs=1.2e-4)
    output = experts.train()(features, routing).item()
    # A mean of 2000 values that are 0 or 4/3: standard error sqrt(1/3 / 2000) = 0.013; 5 of them.
    assert output != pytest.approx(1, abs=1.2e-4)
    assert output == pytest.approx(1, abs=0.065)
