"""Usage metrics: closed forms."""

import math

import pytest
import torch

from moelib.heads.usage import class_expert, coefficient_of_variation, entropy, gate_mass, load

ONE_HOT = torch.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]  # (n=8, e=4), each expert twice


def test_uniform_gates():
    gates = torch.full((5, 8), 1 / 8)
    assert coefficient_of_variation(gate_mass(gates)) == 0
    assert entropy(gates).item() == pytest.approx(math.log(8), abs=1e-6)  # float32


def test_one_hot_gates_have_entropy_0_whatever_the_weight():
    assert entropy(ONE_HOT) == 0
    assert entropy(0.3 * ONE_HOT) == 0  # a switch head's gates sum to less than 1
    assert gate_mass(ONE_HOT).tolist() == [0.25] * 4


def test_entropy_of_two_experts():
    gates = torch.tensor([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])
    # Image 1: -(1/4 ln 1/4 + 3/4 ln 3/4) = 0.5623; image 2: 0; mean 0.2812.
    assert entropy(gates).item() == pytest.approx(0.28117, abs=1e-5)


def test_load_counts_images_and_sums_to_k():
    indices = torch.tensor([[0, 1], [1, 0], [1, 3], [3, 1]])
    shares = load(indices, experts=4)
    assert shares.tolist() == [0.5, 1.0, 0.0, 0.5]
    assert shares.sum() == 2


def test_coefficient_of_variation():
    # Mean 2, deviations -1, 0, 0, 1: population variance 1/2, CV = sqrt(1/2) / 2.
    values = torch.tensor([1.0, 2.0, 2.0, 3.0])
    assert coefficient_of_variation(values).item() == pytest.approx(math.sqrt(0.5) / 2, abs=1e-6)


def test_class_expert_is_the_mean_gate_of_each_class():
    gates = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    table = class_expert(gates, torch.tensor([0, 0, 2]), classes=3)
    expected = torch.tensor([[0.75, 0.25], [torch.nan, torch.nan], [0.2, 0.8]])
    torch.testing.assert_close(table, expected, equal_nan=True)
