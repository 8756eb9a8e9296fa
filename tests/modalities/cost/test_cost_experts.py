"""Executors of SwiGLU experts beside a loop over tokens in float64."""

import pytest
import torch
import torch.nn.functional as F

from moelib.modalities.cost import model
from moelib.modalities.cost.experts import EXECUTORS, Weights
from moelib.modalities.cost.traces import TRACES, trace

N, E, K, D, H = 21, 6, 3, 16, 8


def plan_and_weights(name, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    draw = model.draw(trace(name, torch.arange(N) % 2, E, K, generator), K)
    weights = Weights(
        torch.randn(E, 2 * H, D, generator=generator).to(dtype),
        torch.randn(E, D, H, generator=generator).to(dtype),
    )
    features = torch.randn(N, D, generator=generator).to(dtype)
    return features, model.plan(draw.trace.scores.to(dtype), K, draw), weights


def token_by_token(features, plan, weights):
    """The formula, written with loops."""
    outputs = torch.zeros_like(features)
    for n in range(N):
        for j in range(K):
            if plan.kept is None or plan.kept[n, j]:
                up, down = (stacked[plan.indices[n, j]] for stacked in weights)
                gate, value = (up @ features[n])[:H], (up @ features[n])[H:]
                outputs[n] += plan.weights[n, j] * (down @ (F.silu(gate) * value))
    return outputs


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("executor", ["padded", "loop", "masked"])
def test_an_executor_computes_the_formula(name, executor):
    features, plan, weights = plan_and_weights(name)
    torch.testing.assert_close(
        EXECUTORS[executor](features, plan, weights), token_by_token(features, plan, weights)
    )


@pytest.mark.parametrize("name", TRACES)
def test_the_grouped_product_computes_the_formula_in_its_precision(name):
    features, plan, weights = plan_and_weights(name, torch.float32)  # it has no float64
    expected = token_by_token(features, plan, weights)
    torch.testing.assert_close(
        EXECUTORS["grouped"](features, plan, weights), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_expert_without_tokens_adds_nothing_whatever_it_holds(executor):
    features, plan, weights = plan_and_weights("adversarial", torch.float32)
    before = EXECUTORS[executor](features, plan, weights)
    weights.up[K:] = 7.0
    torch.testing.assert_close(EXECUTORS[executor](features, plan, weights), before)


def test_slots_and_the_largest_load_are_those_of_the_plan():
    _, plan, _ = plan_and_weights("variable")
    loads = torch.bincount(plan.indices[plan.kept], minlength=E)
    assert plan.slots == loads.sum() < N * K
    assert plan.largest == loads.max()
