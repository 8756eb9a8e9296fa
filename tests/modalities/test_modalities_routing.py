"""Each rule against a naive oracle that looks at one token at a time."""

import math

import pytest
import torch

from moelib.modalities import routing
from moelib.modalities.routing import TEXT, VISION


@pytest.fixture
def logits():
    return torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def softmax(values):
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("k", [1, 2, 6])
def test_top_k(logits, k):
    plan = routing.top_k(logits, k)
    for row, choices, weights in zip(
        logits.tolist(), plan.routing.indices.tolist(), plan.routing.weights.tolist(), strict=True
    ):
        best = sorted(range(6), key=lambda e: -row[e])[:k]
        assert choices == best
        expected = softmax([row[e] for e in best]) if k > 1 else [max(softmax(row))]
        assert weights == pytest.approx(expected)


@pytest.mark.parametrize("vision_experts", [2, 4])
def test_hard_split(logits, vision_experts):
    modality = torch.arange(40) % 2
    plan = routing.hard_split(logits, modality, 2, vision_experts)
    for row, m, choices, weights in zip(
        logits.tolist(),
        modality.tolist(),
        plan.routing.indices.tolist(),
        plan.routing.weights.tolist(),
        strict=True,
    ):
        first = 6 - vision_experts
        own = range(first, 6) if m == VISION else range(first)
        best = sorted(own, key=lambda e: -row[e])[:2]
        assert choices == best
        assert weights == pytest.approx(softmax([row[e] for e in best]))


# -- scores ----------------------------------------------------------------------------------------


def test_accumulated_scores_by_hand():
    # Norms 3 and 1: (3 * 0.2 + 1 * 1.0) / 4 = 0.4.
    scores, mixed = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.2, 0.8]])
    moved, stream = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    sums = routing.accumulated_scores(scores, mixed, moved, stream)
    torch.testing.assert_close(sums, torch.tensor([[0.4, 0.6]]))


def test_accumulated_scores_stay_a_distribution():
    scores = torch.rand(9, 2, dtype=torch.float64).softmax(dim=1)
    mixed = torch.rand(9, 2, dtype=torch.float64).softmax(dim=1)
    moved, stream = torch.randn(2, 9, 4, dtype=torch.float64)
    sums = routing.accumulated_scores(scores, mixed, moved, stream)
    torch.testing.assert_close(sums.sum(dim=1), torch.ones(9, dtype=torch.float64))


def test_gaussian_scores_against_torch_distributions():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    mean = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    variance = torch.rand(2, 5, generator=generator, dtype=torch.float64) + 0.1
    normal = torch.distributions.Normal(mean, variance.sqrt())
    # The constant -1/2 log 2 pi is the same for both modalities.
    likelihood = normal.log_prob(features[:, None]).sum(dim=2)
    expected = (likelihood / 2.5).softmax(dim=1)
    torch.testing.assert_close(routing.gaussian_scores(features, mean, variance), expected)


def test_the_moving_gaussian_has_the_moments_of_the_mixture():
    past = torch.tensor([[0.0], [4.0]], dtype=torch.float64)
    fresh = torch.tensor([[10.0], [12.0], [14.0]], dtype=torch.float64)
    mean, variance = routing.updated_gaussian(
        past.mean(0), past.var(0, correction=0), fresh, memory=0.25
    )
    points = torch.cat([past, fresh]).squeeze()
    shares = torch.tensor([0.125, 0.125, 0.25, 0.25, 0.25], dtype=torch.float64)
    expected = (shares * points).sum()
    torch.testing.assert_close(mean.squeeze(), expected)
    torch.testing.assert_close(variance.squeeze(), (shares * (points - expected) ** 2).sum())


def test_loads_by_hand():
    indices = torch.tensor([[0, 1], [0, 2], [2, 1]])
    modality = torch.tensor([TEXT, TEXT, VISION])
    expected = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
    torch.testing.assert_close(routing.loads(indices, modality, 3), expected)


def test_bins_are_equal_and_sorted_by_their_share_of_text():
    load = torch.rand(2, 12, generator=torch.Generator().manual_seed(0))
    bins = routing.bins_by_specialisation(load, 3)
    assert bins.bincount().tolist() == [4, 4, 4]
    share = load[TEXT] / load.sum(dim=0)
    for low, high in ((0, 1), (1, 2)):
        assert share[bins == low].max() <= share[bins == high].min()


# -- slots -----------------------------------------------------------------------------------------


def filled(row, slots, experts, share):
    """Slots of one token, filled one by one."""
    count = round(slots)
    indices, virtual = [], 0
    for e in sorted(range(len(row)), key=lambda e: -row[e]):
        if sum(1 for _ in indices) + virtual == count:
            break
        if e >= experts:
            if virtual < math.floor(share * count + 1e-6):
                virtual += 1
        else:
            indices.append(e)
    return indices


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("experts", [4, 6])
def test_slot_routing(logits, experts, share):
    slots = torch.linspace(1, 4, 40, dtype=torch.float64)
    plan = routing.slot_routing(logits, slots, most=4, experts=experts, share=share)
    for t, row in enumerate(logits.tolist()):
        expected = filled(row, slots[t].item(), experts, share)
        used = plan.used[t]
        assert plan.routing.indices[t][used].tolist() == expected
        assert len(set(plan.routing.indices[t].tolist())) == 4
        assert plan.routing.indices[t].max() < experts
        weights = softmax([row[e] for e in expected])
        assert plan.routing.weights[t][used].tolist() == pytest.approx(weights)
        assert plan.routing.weights[t][~used].abs().sum() == 0
        assert plan.real[t] == len(expected)
        gates = plan.routing.gates[t]
        assert gates.sum().item() == pytest.approx(1)


def test_the_slots_have_straight_through_gradients(logits):
    slots = torch.full((40,), 2.3, dtype=torch.float64, requires_grad=True)
    plan = routing.slot_routing(logits, slots, most=4, experts=6, share=0.0)
    (gradient,) = torch.autograd.grad(plan.real.sum(), slots, retain_graph=True)
    assert (gradient == 1).all()
    (gradient,) = torch.autograd.grad(plan.routing.weights.sum(), slots)
    torch.testing.assert_close(gradient, plan.routing.weights[:, 1].detach())  # the last slot's


def test_learned_slots_span_their_range():
    slots = routing.learned_slots(torch.tensor([0.0, 0.5, 1.0]), 1, 4)
    assert slots.tolist() == [1, 2.5, 4]


def test_entropy_slots_by_hand():
    logits = torch.tensor([[0.0, 0.0], [50.0, 0.0]], dtype=torch.float64)  # ln 2 and 0 nats
    moments = torch.tensor([math.log(2) / 2, math.log(2) / 2], dtype=torch.float64)
    slots = routing.entropy_slots(logits, moments, 2.0, 0.75, 1, 4)
    assert slots.tolist() == pytest.approx([2.75, 1.25])


def test_top_p_slots(logits):
    slots = routing.top_p_slots(logits, 0.7, 1, 4)
    for row, count in zip(logits.tolist(), slots.tolist(), strict=True):
        gates, mass, expected = sorted(softmax(row), reverse=True), 0.0, 0
        while mass < 0.7:
            mass += gates[expected]
            expected += 1
        assert count == min(max(expected, 1), 4)
