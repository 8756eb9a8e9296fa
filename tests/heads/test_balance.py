"""Balance losses: arithmetic on a 4 x 3 gate matrix, values at uniform, an oracle by sampling."""

import math

import pytest
import torch

from moelib.heads.balance import (
    balance_losses,
    importance_loss,
    kl_from_uniform_over_experts,
    kl_to_uniform,
    load_loss,
    router_z_loss,
    smooth_load,
    switch_loss,
    updated_bias,
)
from moelib.heads.routing import Routing, soft_routing, top_k_routing
from moelib.study.heads import Balance
from moelib.study.protocol import PROTOCOLS

CORRECTED, AS_RUN = PROTOCOLS["corrected"], PROTOCOLS["as-run"]

# Column sums 2, 1, 1; mean gate p = (1/2, 1/4, 1/4).
GATES = torch.tensor(
    [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]], dtype=torch.float64
)


def route(gates, indices=None, logits=None):
    """A routing of which only the tested parts matter."""
    logits = gates if logits is None else logits
    indices = gates.topk(2, dim=1).indices if indices is None else indices
    return Routing(gates.gather(1, indices), indices, gates, logits, logits, None)


SKEWED = route(GATES)
UNIFORM = route(torch.full((4, 3), 1 / 3, dtype=torch.float64))


def test_kl_to_uniform():
    # 1/2 ln(3/2) + 2 (1/4) ln(3/4) = 0.5 ln(9/8) = 0.05889
    assert kl_to_uniform(SKEWED).item() == pytest.approx(0.5 * math.log(9 / 8), abs=1e-12)
    assert kl_to_uniform(UNIFORM).item() == pytest.approx(0, abs=1e-12)


def test_kl_from_uniform_over_experts():
    # 1/3 [1/3 ln(2/3) + 2/3 ln(4/3)] = 1/9 ln(2/3 * 16/9) = 1/9 ln(32/27) = 0.01888
    expected = math.log(32 / 27) / 9
    assert kl_from_uniform_over_experts(SKEWED).item() == pytest.approx(expected, abs=1e-12)
    assert kl_from_uniform_over_experts(UNIFORM).item() == pytest.approx(0, abs=1e-12)


def test_kl_from_uniform_is_what_a_batchmean_of_a_vector_gives():
    p = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    uniform = torch.full_like(p, 0.25)
    as_run = torch.nn.functional.kl_div(p.log(), uniform, reduction="batchmean")
    loss = kl_from_uniform_over_experts(route(p[None]))
    torch.testing.assert_close(loss, as_run, rtol=0, atol=1e-12)
    # KL(u||p) = 1/4 ln(1 / (4^4 * 0.0024)) = 0.12177, over 4: 0.03044; KL(p||u) = 0.10644.
    assert loss.item() == pytest.approx(0.03044, abs=1e-5)
    assert kl_to_uniform(route(p[None])).item() == pytest.approx(0.10644, abs=1e-5)


@pytest.mark.parametrize("loss", [kl_to_uniform, kl_from_uniform_over_experts])
def test_kl_and_its_gradient_stay_finite_when_an_expert_has_no_mass(loss):
    logits = torch.tensor([[1.0, 0.0, -1.0]] * 4, requires_grad=True)
    value = loss(top_k_routing(logits, 2))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", [kl_to_uniform, kl_from_uniform_over_experts])
def test_kl_of_gates_that_sum_to_less_than_1_is_0_when_they_are_balanced(loss):
    assert loss(route(0.4 * torch.eye(3).double())).item() == pytest.approx(0, abs=1e-12)


def test_importance():
    # Sums 2, 1, 1: mean 4/3, population variance (4/9 + 1/9 + 1/9) / 3 = 2/9, CV^2 = 1/8.
    assert importance_loss(SKEWED).item() == pytest.approx(1 / 8, abs=1e-12)
    assert importance_loss(UNIFORM).item() == pytest.approx(0, abs=1e-12)


def test_switch():
    # Selections 4, 2, 2 of 8: f = (1/2, 1/4, 1/4). Logits ln(2), 0, 0: P the same.
    logits = torch.tensor([[2.0, 1.0, 1.0]] * 4, dtype=torch.float64).log()
    loss = switch_loss(route(GATES, logits=logits))
    assert loss.item() == pytest.approx(3 * (1 / 4 + 1 / 16 + 1 / 16), abs=1e-12)  # 9/8
    flat = torch.zeros(4, 3, dtype=torch.float64)
    even = torch.tensor([[0, 1], [2, 0], [1, 2]])  # each expert twice
    assert switch_loss(route(GATES[:3], even, logits[:3])).item() == pytest.approx(1, abs=1e-12)
    assert switch_loss(route(GATES, logits=flat)).item() == pytest.approx(1, abs=1e-12)


def test_router_z():
    # logsumexp(ln 2, 0, 0) = ln 4 and logsumexp(0, 0, 0) = ln 3.
    logits = torch.tensor([[2.0, 1.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64).log()
    expected = (math.log(4) ** 2 + math.log(3) ** 2) / 2
    loss = router_z_loss(route(GATES[:2], logits=logits))
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def noisy(logits, noise_std, k, temperature=1.0):
    ranked = logits + noise_std * torch.randn_like(logits)
    return top_k_routing(logits, k, temperature, ranked=ranked, noise_std=noise_std)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_smooth_load_is_the_share_of_redrawn_noise_that_keeps_the_expert(k, temperature):
    torch.manual_seed(k)
    logits = torch.randn(3, 5, dtype=torch.float64)
    noise_std = 0.3 + torch.rand(3, 5, dtype=torch.float64)
    routing = noisy(logits, noise_std, k, temperature)
    ranked = routing.ranked * temperature
    draws = 20_000
    estimate = torch.zeros(5, dtype=torch.float64)
    for e in range(5):  # only the noise of e is drawn anew (Shazeer 2017, appendix A)
        others = ranked[:, [i for i in range(5) if i != e]]
        threshold = others.sort(dim=1, descending=True).values[:, k - 1]
        redrawn = logits[:, e] + noise_std[:, e] * torch.randn(draws, 3, dtype=torch.float64)
        estimate[e] = (redrawn > threshold).double().mean(0).sum()
    # A sum of 3 shares has a standard error of at most sqrt(3 / 4 / draws); 4.5 of them.
    torch.testing.assert_close(
        smooth_load(routing), estimate, rtol=0, atol=4.5 * math.sqrt(0.75 / draws)
    )


def test_load_loss():
    logits = torch.zeros(1, 3, dtype=torch.float64)
    ranked = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64)
    routing = top_k_routing(logits, 1, ranked=ranked, noise_std=torch.ones_like(ranked))
    # k = 1: the first must beat 0, the others must beat 1.
    low = 0.5 * (1 - math.erf(1 / math.sqrt(2)))  # Phi(-1)
    torch.testing.assert_close(
        smooth_load(routing), torch.tensor([0.5, low, low]).double(), rtol=0, atol=1e-7
    )
    mean = (0.5 + 2 * low) / 3
    variance = ((0.5 - mean) ** 2 + 2 * (low - mean) ** 2) / 3
    assert load_loss(routing).item() == pytest.approx(variance / mean**2, abs=1e-6)


def test_smooth_load_of_all_experts_is_the_number_of_images():
    logits = torch.randn(6, 3)
    assert smooth_load(noisy(logits, torch.ones_like(logits), k=3)).tolist() == [6.0, 6.0, 6.0]


def test_smooth_load_has_a_gradient_for_clean_logits_and_noise():
    torch.manual_seed(0)
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    noise_std = (0.5 + torch.rand(6, 4, dtype=torch.float64)).requires_grad_()
    load_loss(noisy(logits, noise_std, 2)).backward()
    assert logits.grad.norm() > 0 and noise_std.grad.norm() > 0


def test_smooth_load_without_noise_is_refused():
    with pytest.raises(ValueError, match="needs gate noise"):
        smooth_load(top_k_routing(torch.randn(4, 3), 2))


def test_parts_are_weighted_and_zero_coefficients_are_not_computed():
    logits = torch.randn(4, 3, dtype=torch.float64)
    routing = soft_routing(logits)  # no noise: a smooth load would raise
    parts = balance_losses(routing, Balance(kl=0.5, z=0.25), CORRECTED)
    assert list(parts) == ["kl", "z"]
    torch.testing.assert_close(parts["kl"], 0.5 * kl_to_uniform(routing))
    torch.testing.assert_close(parts["z"], 0.25 * router_z_loss(routing))
    assert balance_losses(routing, Balance(), CORRECTED) == {}
    assert balance_losses(None, Balance(kl=1.0), CORRECTED) == {}


def test_protocol_kl_picks_the_direction():
    protocol = CORRECTED.model_copy(update={"kl": AS_RUN.kl})
    assert balance_losses(SKEWED, Balance(kl=1.0), CORRECTED)["kl"] == kl_to_uniform(SKEWED)
    as_run = balance_losses(SKEWED, Balance(kl=1.0), protocol)["kl"]
    assert as_run == kl_from_uniform_over_experts(SKEWED)


def test_protocol_load_picks_the_estimator():
    torch.manual_seed(0)
    routing = noisy(torch.randn(9, 4), torch.ones(9, 4), k=2)
    protocol = CORRECTED.model_copy(update={"load": AS_RUN.load})
    assert balance_losses(routing, Balance(load=1.0), CORRECTED)["load"] == load_loss(routing)
    # The authors' "load" is importance a second time.
    parts = balance_losses(routing, Balance(load=1.0, importance=1.0), protocol)
    assert parts["load"] == parts["importance"] == importance_loss(routing)


def test_selection_bias_rises_for_idle_experts_and_falls_for_busy_ones():
    bias = torch.tensor([0.0, 1.0, 0.5])
    routing = route(GATES, torch.tensor([[0, 1], [0, 1], [0, 2], [0, 1]]))  # loads 4, 3, 1
    moved = updated_bias(bias, routing, rate=0.125) - bias
    assert moved.tolist() == [-0.125, -0.125, 0.125]  # mean load 8/3
    even = route(GATES[:3], torch.tensor([[0, 1], [1, 2], [2, 0]]))
    assert torch.equal(updated_bias(bias, even, rate=0.125), bias)
