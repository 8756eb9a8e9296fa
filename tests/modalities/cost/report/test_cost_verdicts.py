"""Verdicts on the predictions, from records whose answer is known."""

import cost_records
import prose
import pytest
from cost_records import cell, decoding, mixture, record

from moelib.modalities.cost.report.verdicts import ACTIVE, crossings, judge
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED

FLAT = {batch: 10.0 for batch in (1, 4, 16, 64, 256)}


def verdict(name, *cells):
    row = judge(record(*cells)).set_index("name").loc[name]
    return row["verdict"], row["evidence"]


def executors(per_expert, **times):
    tokens = {"panel": "executors", "part": "mlp", "mode": "prefill", "context": 8 * per_expert}
    return [
        cell(ACTIVE, 1.0, **tokens),
        *(mixture(f"{name}, uniform", ms, **tokens) for name, ms in times.items()),
    ]


def kinds(part, mode, batch, **times):
    size = {"panel": "kinds", "part": part, "mode": mode, "batch": batch}
    return [mixture(f"top-8, {name}", ms, **size) for name, ms in times.items()]


def test_nothing_measured_decides_nothing():
    table = judge(record())
    assert list(table["name"]) == ["P1", "P2", "P3", "P4", "P5", "P6"]
    assert set(table["verdict"]) == {INCONCLUSIVE}
    assert set(table["evidence"]) == {"not measured"}


def test_a_crossing_is_interpolated_on_logarithmic_axes():
    # 10 times batch^(1/2) / 2^(1/2): equal at batch 2, between 1 and 4; back at 64 where it is 10.
    rising = {1: 10 / 2**0.5, 4: 10 * 2**0.5, 16: 20.0, 64: 10.0, 256: 5.0}
    costs = record(*decoding({"Vicuna-7B": FLAT, "Qwen3-30B-A3B": rising}))
    assert crossings(costs, "Qwen3-30B-A3B") == pytest.approx((2, 64, 256))
    assert crossings(costs, "DeepSeekMoE-16B") == (None, None, 0)


def test_crossings_hold_within_their_ranges_and_fail_outside():
    sixteen = {1: 4.0, 4: 8.0, 16: 15.0, 64: 12.0, 256: 8.0}
    thirty = {1: 5.0, 4: 10.0, 16: 20.0, 64: 30.0, 256: 40.0}
    arms = {"Vicuna-7B": FLAT, "DeepSeekMoE-16B": sixteen, "Qwen3-30B-A3B": thirty}
    word, reason = verdict("P1", *decoding(arms))
    assert word == SUPPORTED, reason
    assert "Qwen3-30B-A3B is slower from batch 4 on" in reason
    assert "again" not in reason.split("Qwen3")[1]
    back = arms | {"Qwen3-30B-A3B": thirty | {64: 10.0, 256: 5.0}}  # of which nothing was expected
    word, reason = verdict("P1", *decoding(back))
    assert word == SUPPORTED and "it is faster again from batch 64 on" in reason.split("Qwen3")[1]
    late = arms | {"Qwen3-30B-A3B": {1: 1.0, 4: 2.0, 16: 20.0, 64: 30.0, 256: 40.0}}
    assert verdict("P1", *decoding(late))[0] == CONTRADICTED
    never = arms | {"DeepSeekMoE-16B": {batch: 4.0 for batch in FLAT}}
    word, reason = verdict("P1", *decoding(never))
    assert (word, "slower at no batch up to 256" in reason) == (CONTRADICTED, True)
    assert "again" not in reason
    short = {arm: {b: ms for b, ms in row.items() if b < 100} for arm, row in arms.items()}
    assert verdict("P1", *decoding(short))[0] == INCONCLUSIVE  # it may pass again behind 64


def test_tracking_needs_both_sides_of_the_threshold():
    few, many = executors(80, grouped=1.5), executors(256, grouped=1.2)
    word, reason = verdict("P2", *few, *many)
    assert word == SUPPORTED
    assert prose.numbers(reason) == ["1.50", "80", "1.20", "256"]  # times dense, tokens per expert
    assert verdict("P2", *many)[0] == INCONCLUSIVE
    assert verdict("P2", *few, *executors(256, grouped=1.3))[0] == CONTRADICTED
    assert verdict("P2", *executors(80, grouped=1.1))[0] == CONTRADICTED


def test_masking_is_judged_where_experts_have_tokens_enough():
    assert verdict("P3", *executors(80, grouped=1.0, masked=1.0))[0] == INCONCLUSIVE
    assert verdict("P3", *executors(256, grouped=1.0, masked=9.9))[0] == SUPPORTED
    assert verdict("P3", *executors(256, grouped=1.0, masked=10.1))[0] == CONTRADICTED
    reason = verdict("P3", *executors(256, grouped=2.0, masked=16.0))[1]
    assert prose.numbers(reason) == ["8.00", "1"]  # times the grouped product, sizes


def test_savings_are_shares_of_uniform_routings_time():
    small = kinds("mlp", "decode", 1, uniform=10.0, variable=7.0)
    large = kinds("mlp", "decode", 32, uniform=10.0, variable=9.0)
    word, reason = verdict("P4", *small, *large)
    assert word == SUPPORTED
    assert prose.numbers(reason) == ["30%", "1", "10%", "32"]  # less, batch
    assert verdict("P4", *small)[0] == INCONCLUSIVE
    assert verdict("P4", *kinds("mlp", "decode", 1, uniform=10.0, variable=9.0))[0] == CONTRADICTED
    prefill = {variable: kinds("model", "prefill", 8, uniform=10.0, variable=variable)
               for variable in (7.2, 7.0, 10.5)}  # fmt: skip
    assert [verdict("P5", *cells)[0] for cells in prefill.values()] == [
        SUPPORTED,
        CONTRADICTED,
        CONTRADICTED,
    ]
    modes = kinds("model", "decode", 32, uniform=10.0, guided=9.6)
    assert verdict("P6", *modes)[0] == INCONCLUSIVE
    modes += kinds("model", "prefill", 8, uniform=10.0, guided=10.4)
    word, reason = verdict("P6", *modes)
    assert word == SUPPORTED
    assert reason.index("1.04") < reason.index("prefill") < reason.index("0.96")


def test_few_layers_stand_for_all_of_their_model():
    costs = record(
        cell("Vicuna-7B", 10.0, part="block", layers=1, batch=1),
        cell("DeepSeekMoE-16B", 10.0, part="block", layers=1, batch=1),
        cell("Vicuna-7B", 10.0, part="block", layers=1, batch=2),
        cell("DeepSeekMoE-16B", 20.0, part="block", layers=1, batch=2),
    )
    at, _, _ = crossings(costs, "DeepSeekMoE-16B")  # 28 layers by 32: 0.875 and 1.75 times
    assert at == pytest.approx(8 / 7)


def test_an_arm_that_did_not_run_has_no_verdict():
    failed = mixture("top-8, variable", (), panel="kinds", part="mlp", fault="no memory")
    assert verdict("P4", *kinds("mlp", "decode", 1, uniform=10.0), failed)[1] == "not measured"


def test_synthetic_records_are_whole():
    assert cost_records.record().content_digest()
