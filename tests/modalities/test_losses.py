"""Each loss by hand arithmetic."""

import math

import pytest
import torch

from moelib.heads.balance import switch_loss
from moelib.modalities import losses, routing


def test_balance_over_all_experts_is_the_switch_loss():
    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    plan = routing.top_k(logits, 2)
    torch.testing.assert_close(losses.balance(plan), switch_loss(plan.routing))


def test_balance_within_groups_by_hand():
    # Tokens choose 0, 0, 1, 2: within {0, 1} f = (2/3, 1/3); within {2, 3} f = (1, 0).
    logits = torch.tensor(
        [[9.0, 0, 0, 0], [9.0, 0, 0, 0], [0, 9.0, 0, 0], [0, 0, 9.0, 0]], dtype=torch.float64
    )
    plan = routing.top_k(logits, 1)
    p = logits.softmax(dim=1).mean(dim=0)
    first = 2 * (2 / 3 * p[0] + 1 / 3 * p[1]) / (p[0] + p[1])
    second = 2 * p[2] / (p[2] + p[3])
    loss = losses.balance(plan, torch.tensor([0, 0, 1, 1]))
    assert loss.item() == pytest.approx(((first + second) / 2).item())


def test_balance_counts_used_choices_alone():
    logits = torch.tensor([[2.0, 1.0, 0.0]] * 3, dtype=torch.float64)
    slots = torch.ones(3, dtype=torch.float64)
    plan = routing.slot_routing(logits, slots, most=2, experts=3, share=0.0)
    p = logits[0].softmax(dim=0)
    assert losses.balance(plan).item() == pytest.approx(3 * p[0].item())


def test_joint_bins_by_hand():
    # One item, two text tokens and one patch, three experts in bins of two and one.
    scores = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    gates = torch.tensor([[0.6, 0.2, 0.2], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]])
    bins = torch.tensor([0, 0, 1])
    joint = losses.joint_bins(scores, gates, torch.zeros(3, dtype=torch.int64), bins, 1)
    # Text: bin 0 (0.8 + 0.4) / (2 * 2) = 0.3, bin 1 (0.2 + 0.6) / 2 = 0.4; vision 0.1 and 0.8.
    expected = torch.tensor([[[0.3, 0.4], [0.1, 0.8]]]) / 1.6
    torch.testing.assert_close(joint, expected)


def test_items_do_not_mix():
    scores, gates = torch.rand(6, 2), torch.rand(6, 4).softmax(dim=1)
    item, bins = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 0, 1, 1])
    joint = losses.joint_bins(scores, gates, item, bins, 2)
    alone = losses.joint_bins(scores[3:], gates[3:], item[:3], bins, 1)
    torch.testing.assert_close(joint[1:], alone)


def test_information_by_hand():
    joint = torch.tensor([[[0.4, 0.1], [0.1, 0.4]]], dtype=torch.float64)
    expected = 2 * 0.4 * math.log(0.4 / 0.25) + 2 * 0.1 * math.log(0.1 / 0.25)
    assert losses.information(joint).item() == pytest.approx(-expected)
    even = torch.full((3, 2, 4), 1 / 8, dtype=torch.float64)
    assert losses.information(even).item() == pytest.approx(0, abs=1e-12)


def test_divergence_by_hand():
    joint = torch.tensor([[[0.4, 0.1], [0.1, 0.4]]], dtype=torch.float64)  # p (.8, .2), q (.2, .8)
    expected = 0.5 * 2 * 0.6 * math.log(4)
    assert losses.divergence(joint).item() == pytest.approx(-expected)


def test_budget_by_hand():
    logits = torch.zeros(2, 4, dtype=torch.float64)
    plan = routing.slot_routing(
        logits, torch.tensor([1.0, 4.0], dtype=torch.float64), most=4, experts=4, share=0.0
    )
    assert losses.budget(plan, 2).item() == pytest.approx(0.25)
