"""Frames of costs: bounds, models of whole models, ratios, published scores."""

import pytest
from cost_records import PEAKS, cell, mixture, record

from moelib.modalities.cost.report import published, tables, words
from moelib.modalities.cost.report.roofline import demand, least_ms
from moelib.study.shapes import MOE_LLAVA, OLMOE, VICUNA_7B, VISION


def test_a_cell_stands_beside_the_bound_of_what_it_met():
    table = tables.cells(record(mixture("top-8", 5.0, batch=4, slots=4.8, touched=20.0)))
    row = table.iloc[0]
    least = least_ms(demand(OLMOE, "decode", 4, 640, slots=4.8, met=20.0), PEAKS)
    assert row["bound_ms"] == pytest.approx(least)
    assert row["of_bound"] == pytest.approx(least / 5)
    assert (row["ms"], row["ms_high"], row["tokens"], row["modelled"]) == (5, 7.5, 4, False)


def test_a_block_is_as_many_times_a_layer():
    table = tables.cells(record(cell("Vicuna-7B", 2.0, part="block", layers=1)))
    assert table["modelled"].all()
    assert table["whole_ms"].iloc[0] == 64


def test_ratios_are_of_pairs_of_one_round():
    pair = [
        mixture("top-8, uniform", (1.0, 10.0, 2.0), panel="kinds"),
        mixture("top-8, zipf", (2.0, 10.0, 6.0), panel="kinds"),
        mixture("top-8, zipf", (2.0, 2.0, 2.0), panel="kinds", batch=8),  # without a reference
    ]
    table = tables.ratios(record(*pair), "kinds", "top-8, uniform")
    assert dict(zip(table["arm"], table["ratio"], strict=True)) == {
        "top-8, uniform": 1,
        "top-8, zipf": 2,
    }
    assert table["of_medians"].tolist() == [1, 3]


def test_a_size_that_is_timed_again_has_a_reference_of_its_own():
    early = [mixture(name, ms, panel="kinds") for name, ms in (("top-8", 1.0), ("zipf", 2.0))]
    between = mixture("top-8", 9.0, panel="kinds", batch=8)
    late = [mixture(name, ms, panel="kinds") for name, ms in (("top-8", 4.0), ("skewed", 4.0))]
    table = tables.ratios(record(*early, between, *late), "kinds", "top-8")
    assert table["arm"].tolist() == ["top-8", "zipf", "top-8", "top-8", "skewed"]
    assert table["ratio"].tolist() == [1, 2, 1, 1, 1]


def test_what_failed_is_told_and_has_no_time():
    measured = record(cell("Vicuna-7B", (), fault="no memory"), cell("Vicuna-13B", 3.0))
    assert list(tables.cells(measured)["arm"]) == ["Vicuna-13B"]
    assert "1 failed or fell back: Vicuna-7B (no memory)" in words.circumstances(measured).data
    assert tables.cells(record(measured.numbers.cells[0])).empty


def test_an_answer_is_the_sum_of_its_steps_where_all_were_timed():
    cells = [cell(VISION.name, 1.0, mode="prefill", context=577), cell("Vicuna-13B", 3.0)]
    for shape in (VICUNA_7B, *MOE_LLAVA):
        cells += [cell(shape.name, 20.0, mode="prefill"), cell(shape.name, 3.0)]
    table = published.front(record(*cells))
    assert len(table) == len(published.SCORES) - 1 and "LLaVA-1.5-13B" not in set(table["model"])
    assert set(table["ms"]) == {1 + 20 + 15 * 3}
    steps = [
        (VISION, "prefill", 577, 1),
        (VICUNA_7B, "prefill", 640, 1),
        (VICUNA_7B, "decode", 640, 15),
    ]
    bounds = [n * least_ms(demand(shape, mode, 1, size), PEAKS) for shape, mode, size, n in steps]
    assert table.set_index("model")["bound_ms"]["LLaVA-1.5-7B"] == pytest.approx(sum(bounds))


def test_a_record_whose_time_ran_out_can_be_read():
    nothing = record(cell("Vicuna-7B", ()))
    assert tables.decoding(nothing).empty
    assert {"ratio_low", "per_expert"} <= {*tables.ratios(nothing, "executors", "dense")}
