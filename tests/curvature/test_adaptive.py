"""Adaptive sharpness: closed forms, and the invariance for which it was made."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from moelib.curvature.adaptive import average_rise, matching_temperature, worst_rise
from moelib.curvature.lanczos import spectrum
from moelib.curvature.objective import Objective

IMAGES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.arange(40) % 3


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


class Separable(nn.Module):
    """One output, sum_i a_i w_i^2 / 2, whatever the image."""

    def __init__(self, a: torch.Tensor, w: torch.Tensor):
        super().__init__()
        self.register_buffer("a", a)
        self.w = nn.Parameter(w)

    def forward(self, images):
        return (self.a * self.w.square()).sum().expand(len(images), 1) / 2


def separable() -> Objective:
    a, w = torch.tensor([1.0, 2.0, 5.0]).double(), torch.tensor([3.0, -1.0, 0.5]).double()
    return Objective(Separable(a, w), IMAGES[:4], LABELS[:4] * 0, loss=lambda z, _: z[:, 0])


def test_average_case_of_a_quadratic():
    # E of sum a_i rho^2 w_i^2 z_i^2 / 2 = rho^2 / 2 sum a_i w_i^2 = rho^2 / 2 (9 + 2 + 1.25).
    rise, error = average_rise(separable(), 0.3, 2000, generator())
    assert abs(rise - 0.045 * 12.25) < 4 * error
    # Its deviation is rho^2 / 2 sqrt(2 sum (a_i w_i^2)^2), over sqrt(2000).
    assert error == pytest.approx(0.045 * (2 * (81 + 4 + 1.5625)) ** 0.5 / 2000**0.5, rel=0.15)


def test_worst_case_of_a_quadratic():
    # All |w_i| grow by the share rho: (1 + rho)^2 - 1 of the loss, 12.25 / 2.
    rise = worst_rise(separable(), 0.1, steps=8)
    assert rise == pytest.approx((1.1**2 - 1) * 12.25 / 2, rel=1e-9)


def test_a_wider_radius_is_never_less():
    net = layers()
    objective = Objective(net, IMAGES, LABELS)
    rises = [worst_rise(objective, radius, steps=10) for radius in (0.001, 0.01, 0.1)]
    assert 0 < rises[0] < rises[1] < rises[2]


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def measures(net: nn.Module) -> dict[str, float]:
    objective = Objective(net, IMAGES, LABELS)
    scale = objective.weights.abs()
    start = torch.randn(objective.size, generator=generator()).double()
    limits = {"residual": 1e-9, "budget": objective.size}
    scaled = spectrum(lambda v: objective.hessian(v * scale) * scale, start, 1, **limits)
    return {
        "loss": objective.value(),
        "lambda_max": spectrum(objective.hessian, start, 1, **limits).eigenvalues.largest[0],
        "adaptive": scaled.eigenvalues.largest[0],
        "average": average_rise(objective, 0.05, 5, generator())[0],
        "worst": worst_rise(objective, 0.01, 5),
    }


def test_rescaled_layers_move_raw_curvature_and_nothing_else():
    net, other = layers(), layers()
    with torch.no_grad():  # w_1 -> a w_1, w_2 -> w_2 / a: the same function
        other[0].weight *= 5
        other[0].bias *= 5
        other[2].weight /= 5
    torch.testing.assert_close(net(IMAGES), other(IMAGES))
    before, after = measures(net), measures(other)
    assert after["lambda_max"] > 3 * before["lambda_max"]
    for name in ("loss", "adaptive", "average", "worst"):
        assert after[name] == pytest.approx(before[name], rel=1e-6), name


# -- matched loss ---------------------------------------------------------------------------------


def test_the_temperature_matches_the_loss():
    logits = F.one_hot(LABELS, 3).double() * 4 + torch.randn(40, 3, generator=generator()).double()
    for loss in (0.2, 0.4, 1.0):
        temperature = matching_temperature(logits, LABELS, loss)
        assert F.cross_entropy(logits / temperature, LABELS).item() == pytest.approx(loss)


def test_of_two_temperatures_it_is_the_less_confident():
    # One image of ten is wrong: the loss falls, then rises with confidence.
    logits = torch.tensor([[2.0, 0.0]]).repeat(10, 1)
    labels = torch.tensor([0] * 9 + [1])
    low = F.cross_entropy(logits * 0.3, labels).item()
    assert matching_temperature(logits, labels, low) == pytest.approx(1 / 0.3)


@pytest.mark.parametrize("loss", [math.log(3) + 0.01, 1e-5])
def test_no_temperature_gives_a_loss_out_of_reach(loss):
    noise = torch.randn(40, 3, generator=generator()).double()
    assert matching_temperature(noise, LABELS, loss) is None
