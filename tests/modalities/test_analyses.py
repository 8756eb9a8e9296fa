"""Utilization by hand, and the curvature of a small run against the full Hessian's trace."""

import pytest
import torch
from small import small_run

from moelib.modalities import batches, routing, splits, utilization
from moelib.modalities.model import build
from moelib.modalities.sharpness import OfItems, analyse_sharpness
from moelib.modalities.utilization import TOKENS, analyse_utilization
from moelib.study.base import ConfigError

CPU = torch.device("cpu")


def test_a_layer_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0]] * 2 + [[0.0, 1.0, 2.0]])
    slots = torch.tensor([2.0, 1.0, 1.0])
    plan = routing.slot_routing(logits, slots, most=2, experts=3, share=0.0)
    types = torch.tensor([TOKENS.index("value"), TOKENS.index("frame"), TOKENS.index("object")])
    usage = utilization.layer([plan], types, torch.tensor([0, 0, 1]))
    assert usage.real == {"value": 2, "frame": 1, "object": 1}
    assert usage.load == (pytest.approx((2 / 3, 1 / 3, 0)), pytest.approx((0, 0, 1)))
    assert usage.specialisation == pytest.approx(1)
    assert usage.dead == ()


def test_tokens_have_the_types_of_their_words_and_patches():
    run = small_run("top-2")
    items = splits.held_out(run.study, "validation")
    inputs, _ = batches.batch(items, CPU)
    types = utilization.token_types(inputs)
    assert (types >= 0).all()
    tokens = build(run.study, run.arm).eval().routed(inputs).tokens
    assert len(types) == len(tokens.modality)
    is_patch = types >= TOKENS.index("object")
    assert torch.equal(is_patch.long(), tokens.modality)
    objects = (items.scenes.objects > 0).sum()
    assert (types == TOKENS.index("object")).sum() == objects


@pytest.mark.parametrize("arm", ["top-2", "slots-learned"])
def test_utilization_of_a_run(results, arm):
    numbers = analyse_utilization(small_run(arm)).numbers
    assert len(numbers.layers) == 2
    for layer in numbers.layers:
        assert [sum(row) for row in layer.load] == pytest.approx([1, 1])
        assert set(layer.real) == {name for name, count in numbers.tokens.items() if count}
    assert analyse_utilization(small_run(arm)).numbers == numbers


def test_a_dense_arm_has_no_utilization(results):
    with pytest.raises(ConfigError, match="has no experts"):
        analyse_utilization(small_run("dense"))


def test_sharpness_of_a_run(results):
    numbers = analyse_sharpness(small_run("top-2")).numbers
    assert set(numbers.splits) == {"train", "iid", "compositions"}
    for curvature in numbers.splits.values():
        assert curvature.items == 8
        assert curvature.eigenvalues[0] > 0


def test_a_model_of_items_is_the_model():
    run = small_run("top-2")
    net = build(run.study, run.arm).eval()
    inputs, _ = batches.batch(splits.held_out(run.study, "validation"), CPU)
    of_items = OfItems(net, inputs)
    rows = torch.tensor([3, 1, 7])
    torch.testing.assert_close(of_items(rows), net(inputs)[rows], rtol=1e-4, atol=1e-5)
