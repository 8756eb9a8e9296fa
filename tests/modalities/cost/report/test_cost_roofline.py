"""Bounds: closed forms, and the tables that were computed before this code."""

import pytest

from moelib.modalities.cost.report.roofline import demand, least_ms, touched
from moelib.records.cost import Peaks
from moelib.study.shapes import DEEPSEEK, OLMOE, QWEN3, SHAPES, VICUNA_7B, VICUNA_13B

H100 = Peaks(teraflops=989.0, gigabytes=3350.0)  # of its data sheet
BATCHES = (1, 4, 8, 16, 32, 64, 128)
DECODE = {  # ms a step at context 640
    VICUNA_7B: (4.04, 4.35, 4.75, 5.55, 7.15, 10.4, 16.8),
    OLMOE: (0.73, 1.91, 2.95, 4.01, 4.82, 5.67, 7.27),
    DEEPSEEK: (1.61, 3.80, 5.94, 8.50, 10.7, 12.4, 15.3),
    QWEN3: (1.83, 4.74, 7.86, 12.2, 16.4, 19.0, 20.4),
}
PREFILL = {VICUNA_7B: 68, VICUNA_13B: 133, OLMOE: 11, DEEPSEEK: 25, QWEN3: 29}
BILLIONS = {
    "TinyLlama-1.1B": (1.10, 1.10),
    "Vicuna-7B": (6.74, 6.74),
    "Vicuna-13B": (13.02, 13.02),
    "OLMoE-1B-7B": (6.92, 1.28),
    "DeepSeekMoE-16B": (16.38, 2.83),
    "Qwen3-30B-A3B": (30.5, 3.35),
    "MoE-LLaVA-1.6Bx4": (2.9, 2.0),
    "MoE-LLaVA-2.7Bx4": (5.3, 3.6),
}


@pytest.mark.parametrize("shape", DECODE, ids=lambda shape: shape.name)
def test_decoding_bounds_are_those_computed_by_hand_from_the_data_sheet(shape):
    bounds = [least_ms(demand(shape, "decode", batch, 640), H100) for batch in BATCHES]
    assert bounds == pytest.approx(DECODE[shape], rel=0.01)


@pytest.mark.parametrize("shape", PREFILL, ids=lambda shape: shape.name)
def test_prefill_bounds_are_those_computed_by_hand_from_the_data_sheet(shape):
    bound = least_ms(demand(shape, "prefill", 8, 640), H100)
    assert bound == pytest.approx(PREFILL[shape], rel=0.05)


@pytest.mark.parametrize("name", BILLIONS)
def test_shapes_have_the_published_numbers_of_parameters(name):
    shape, (total, active) = SHAPES[name], BILLIONS[name]
    assert shape.parameters / 1e9 == pytest.approx(total, rel=0.004)
    assert shape.active_parameters / 1e9 == pytest.approx(active, rel=0.04)


def test_layers_add_up():
    part = {"part": "block", "slots": 4.8, "met": 40.0}
    whole = demand(OLMOE, "decode", 4, 640, **part)
    layer = demand(OLMOE, "decode", 4, 640, layers=1, **part)
    assert whole == pytest.approx((16 * layer.operations, 16 * layer.bytes))


def test_experts_alone_are_what_is_left_without_attention_cache_and_unembedding():
    alone = demand(OLMOE, "prefill", 1, 10, part="mlp", met=64)
    weights = 16 * (64 * 3 * 2048 * 1024 + 2048 * 64)
    assert alone.bytes == 2 * weights
    assert alone.operations == 2 * 10 * 16 * (8 * 3 * 2048 * 1024 + 2048 * 64)


def test_touched_experts_lie_between_k_and_all():
    assert touched(64, 8, 1) == pytest.approx(8)
    assert touched(64, 8, 10_000) == pytest.approx(64)
    assert touched(64, 4.8, 32) == pytest.approx(58.7, abs=0.05)
    assert touched(1, 1, 5) == 1
