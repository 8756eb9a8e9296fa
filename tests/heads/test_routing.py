"""Routing: closed forms, ties, and what each kind of head keeps."""

from functools import partial

import pytest
import torch

from moelib.heads.routing import (
    balanced_choices,
    combine_matrix,
    fixed_routing,
    skewed_choices,
    soft_routing,
    standardised,
    switch_routing,
    top_k_routing,
    uniform_routing,
)

LOGITS = torch.tensor([[0.0, 2.0, 1.0], [3.0, -1.0, 3.5]], dtype=torch.float64)  # (n=2, e=3)
EXACT = {"rtol": 0, "atol": 1e-12}  # float64, a handful of operations


def test_soft_routing_is_a_softmax_with_temperature():
    routing = soft_routing(LOGITS, temperature=2.0)
    expected = (LOGITS / 2).exp() / (LOGITS / 2).exp().sum(1, keepdim=True)
    torch.testing.assert_close(routing.gates, expected, **EXACT)
    assert routing.indices.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert routing.noise_std is None
    torch.testing.assert_close(combine_matrix(routing), expected, **EXACT)


def test_top_k_keeps_the_largest_and_renormalises_over_them():
    routing = top_k_routing(LOGITS, k=2, temperature=0.5)
    assert routing.indices.tolist() == [[1, 2], [2, 0]]
    # Of two logits that differ by x, the larger has 1 / (1 + exp(-x / T)): x = 1 and x = 0.5.
    larger = 1 / (1 + torch.exp(-torch.tensor([1.0, 0.5], dtype=torch.float64) / 0.5))
    torch.testing.assert_close(routing.weights[:, 0], larger, **EXACT)
    torch.testing.assert_close(routing.weights.sum(1), torch.ones_like(larger), **EXACT)
    assert (routing.gates == 0).tolist() == [[True, False, False], [False, True, False]]
    torch.testing.assert_close(combine_matrix(routing), routing.gates, rtol=0, atol=0)


def test_top_k_of_all_experts_is_the_soft_mixture():
    top, soft = top_k_routing(LOGITS, k=3, temperature=1.5), soft_routing(LOGITS, 1.5)
    torch.testing.assert_close(top.gates, soft.gates, **EXACT)


def test_top_k_weights_come_from_ranked_logits():
    ranked = torch.tensor([[5.0, 4.0, 0.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    routing = top_k_routing(LOGITS, k=2, ranked=ranked)
    assert routing.indices.tolist() == [[0, 1], [2, 1]]
    larger = torch.tensor(1.0, dtype=torch.float64).sigmoid().expand(2)
    torch.testing.assert_close(routing.weights[:, 0], larger, **EXACT)
    torch.testing.assert_close(routing.logits, LOGITS, rtol=0, atol=0)


def test_ties_are_broken_or_share_the_mass_while_k_are_executed():
    tied = torch.tensor([[1.0, 1.0, 1.0, -5.0]], dtype=torch.float64)
    broken = top_k_routing(tied, k=2)
    assert (broken.gates > 0).sum() == 2
    torch.testing.assert_close(broken.weights.sum(), torch.tensor(1.0).double(), **EXACT)
    kept = top_k_routing(tied, k=2, keep_ties=True)
    third = torch.full((1, 3), 1 / 3, dtype=torch.float64)
    torch.testing.assert_close(kept.gates[:, :3], third, **EXACT)  # three reach the 2nd
    assert kept.gates[0, 3] == 0
    assert kept.indices.shape == (1, 2)
    torch.testing.assert_close(
        kept.weights.sum(), torch.tensor(2 / 3, dtype=torch.float64), **EXACT
    )
    assert (combine_matrix(kept) > 0).sum() == 2  # the third has mass, but is not executed


def test_keeping_ties_changes_nothing_without_ties():
    broken, kept = top_k_routing(LOGITS, 2), top_k_routing(LOGITS, 2, keep_ties=True)
    torch.testing.assert_close(kept.gates, broken.gates, **EXACT)
    torch.testing.assert_close(kept.weights, broken.weights, **EXACT)


def test_switch_weighs_by_the_full_probability():
    routing = switch_routing(LOGITS, temperature=2.0)
    assert routing.indices.tolist() == [[1], [2]]
    probability = (LOGITS / 2).softmax(1).amax(1, keepdim=True)
    torch.testing.assert_close(routing.weights, probability, **EXACT)
    torch.testing.assert_close(routing.gates.amax(1, keepdim=True), probability, **EXACT)
    assert (routing.gates > 0).sum() == 2


@pytest.mark.parametrize(
    ("route", "weights"),
    [
        (partial(top_k_routing, k=1), torch.ones(2, 1, dtype=torch.float64)),
        (switch_routing, LOGITS.softmax(1)[:, :1]),
    ],
    ids=["renormalised", "probability"],
)
def test_selection_bias_moves_the_choice_but_not_the_weight(route, weights):
    bias = torch.tensor([10.0, 0.0, 0.0], dtype=torch.float64)
    routing = route(LOGITS, bias=bias)
    assert routing.indices.tolist() == [[0], [0]]
    torch.testing.assert_close(routing.weights, weights, **EXACT)
    torch.testing.assert_close(routing.ranked, LOGITS + bias, **EXACT)


def test_biased_top_2_weighs_by_unbiased_logits():
    bias = torch.tensor([10.0, 0.0, 0.0], dtype=torch.float64)
    routing = top_k_routing(LOGITS, 2, bias=bias)
    assert routing.indices[0].tolist() == [0, 1]
    torch.testing.assert_close(routing.weights[0], LOGITS[0, :2].softmax(0), **EXACT)


def test_uniform_routing():
    routing = uniform_routing(torch.zeros(3, 7), experts=5)
    assert routing.gates.shape == (3, 5)
    torch.testing.assert_close(routing.weights, torch.full((3, 5), 0.2), rtol=0, atol=0)


def test_standardised_has_mean_0_and_unbiased_deviation_1():
    z = standardised(LOGITS)
    torch.testing.assert_close(z.mean(1), torch.zeros(2).double(), **EXACT)
    # std / (std + 1e-5) with std of about 1 and 2.4
    torch.testing.assert_close(z.std(1), torch.ones(2).double(), rtol=0, atol=2e-5)
    torch.testing.assert_close(standardised(7 * LOGITS - 3), z, rtol=0, atol=2e-5)


def test_one_expert_standardises_to_0_with_gradient_0():
    logits = torch.tensor([[3.0], [-2.0]], requires_grad=True)
    z = standardised(logits)
    assert z.tolist() == [[0.0], [0.0]]
    z.sum().backward()
    assert logits.grad.tolist() == [[0.0], [0.0]]


def test_temperature_scales_all_logits_alike():
    noise_std = torch.full_like(LOGITS, 0.4)
    routing = top_k_routing(LOGITS, 1, 2.0, ranked=LOGITS + 1, noise_std=noise_std)
    torch.testing.assert_close(routing.logits, LOGITS / 2, **EXACT)
    torch.testing.assert_close(routing.ranked, (LOGITS + 1) / 2, **EXACT)
    torch.testing.assert_close(routing.noise_std, noise_std / 2, **EXACT)


# -- plans that no gate made ----------------------------------------------------------------------


def test_fixed_routing_weighs_the_given_experts_alike():
    routing = fixed_routing(torch.tensor([[2, 0], [3, 2], [0, 1]]), experts=4)
    half = [[0.5, 0, 0.5, 0], [0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0]]
    assert routing.gates.tolist() == combine_matrix(routing).tolist() == half
    assert routing.weights.tolist() == [[0.5, 0.5]] * 3
    assert routing.indices.tolist() == [[2, 0], [3, 2], [0, 1]]
    assert routing.noise_std is None
    assert not routing.logits.any() and not routing.ranked.any()


@pytest.mark.parametrize("experts", [1, 3, 8])
@pytest.mark.parametrize("images", [1, 7, 24])
def test_balanced_choices_load_all_experts_alike_up_to_one_image(images, experts):
    for k in range(1, experts + 1):
        choices = balanced_choices(images, k, experts)
        assert choices.shape == (images, k) and choices.dtype == torch.int64
        loads = choices.flatten().bincount(minlength=experts)
        assert len(loads) == experts and loads.sum() == images * k
        assert loads.max() - loads.min() <= (images * k % experts > 0)
        assert all(len(set(row)) == k for row in choices.tolist())  # no expert twice


@pytest.mark.parametrize("k", [1, 3])
def test_skewed_choices_send_all_images_to_the_same_experts(k):
    choices = skewed_choices(5, k)
    assert choices.tolist() == [list(range(k))] * 5
    assert choices.flatten().bincount(minlength=8).tolist() == [5] * k + [0] * (8 - k)
    gates = fixed_routing(choices, experts=8).gates  # also from one row that stands for all
    torch.testing.assert_close(gates[:, :k], torch.full((5, k), 1 / k), rtol=0, atol=0)
    assert not gates[:, k:].any()
