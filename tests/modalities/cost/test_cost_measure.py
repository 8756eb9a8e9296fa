"""The grid and the session: what is timed, in bounded time, with a record at any moment."""

import time

import pytest
import torch
from cost_records import cell
from prose import lacking, refusal

from moelib.modalities.cost import grid, measure, session
from moelib.modalities.cost.grid import Panel, dense, shrunk
from moelib.records.cost import CostNumbers
from moelib.records.record import read_record, write_record
from moelib.study.base import ConfigError
from moelib.study.shapes import OLMOE, SHAPES


@pytest.fixture(scope="module")
def steps():
    return list(measure.measure("cpu", 300.0, small=True, beside="tests"))


def test_every_arm_of_the_miniature_is_timed(steps):
    numbers = steps[-1][1]
    planned = [arm.name for panel in grid.tiny() for arm in panel.arms]
    assert [cell.arm for cell in numbers.cells] == planned
    assert {cell.fault for cell in numbers.cells} == {None}
    assert all(len(cell.milliseconds) >= 3 for cell in numbers.cells)
    assert numbers.whole and numbers.tiny
    assert {cell.shape for cell in numbers.cells} == {shape.name for shape in numbers.shapes}


def test_executors_agree_before_anything_is_timed(steps):
    checks = steps[0][1].checks
    assert steps[0][1].cells == ()
    assert len(checks) == 16
    assert all(check.error < 0.02 for check in checks)  # three digits are what bfloat16 has


def test_what_is_known_grows_panel_by_panel(steps):
    counts = [len(numbers.cells) for _, numbers in steps]
    assert counts == sorted(counts)
    assert [numbers.whole for _, numbers in steps] == [False] * (len(steps) - 1) + [True]


def test_without_time_nothing_is_tried():
    steps = list(measure.measure("cpu", 1e-9, small=True))
    assert len(steps) == 1
    assert not steps[0][1].whole


@pytest.mark.parametrize("plan", [grid.gpu, grid.cpu])
def test_a_plan_has_every_size_that_the_predictions_need(plan):
    panels = list(plan())
    assert len({(p.name, p.part, p.mode, p.batch, p.context) for p in panels}) >= len(panels) - 1
    sizes = {(p.name, p.part, p.mode, p.batch * (1 if p.mode == "decode" else p.context))
             for p in panels}  # fmt: skip
    assert {("kinds", "mlp", "decode", 1), ("kinds", "mlp", "decode", 32)} < sizes
    assert {("kinds", "model", "prefill", 8 * 640), ("kinds", "model", "decode", 32)} < sizes
    assert {("executors", "mlp", "prefill", 640), ("executors", "mlp", "prefill", 2048)} < sizes


def test_on_a_gpu_the_verdicts_sizes_come_first():
    panels = list(grid.gpu())
    batches = [p.batch for p in panels if p.name == "published" and p.mode == "decode"]
    assert batches[:4] == [1, 8, 32, 128]
    assert {p.name for p in panels[:10]} == {"published", "executors", "kinds"}


def test_all_of_a_panel_with_a_loop_is_beside_what_it_is_compared_with():
    for panel in (*grid.gpu(), *grid.cpu()):
        names = [arm.name for arm in panel.arms]
        assert len(names) == len(set(names))
        if panel.name == "kinds":
            assert "top-8, uniform" in names
        if panel.name == "executors":
            assert names[0] == "OLMoE, dense, equal active"


@pytest.mark.parametrize("name", SHAPES)
def test_a_shrunk_shape_keeps_the_structure(name):
    small, whole = shrunk(SHAPES[name]), SHAPES[name]
    assert (small.name, small.experts, small.k) == (name, whole.experts, whole.k)
    assert (small.dense_layers > 0) == (whole.dense_layers > 0)
    assert (small.cached_heads < small.heads) == (whole.cached_heads < whole.heads)
    assert small.parameters < 2e6


def test_the_pool_is_as_large_as_the_largest_arm_needs():
    panels = [measure._small(panel) for panel in grid.tiny()]
    machine = measure.prepare("cpu", panels)
    machine.layers = None  # all of them, as on a GPU
    for panel in panels:
        for arm in panel.arms:
            work = measure.prepare_candidate(arm, panel, machine)
            assert work.fault is None or "numbers" in work.fault


def test_an_arm_without_room_or_with_too_many_tokens_says_so():
    generator = torch.Generator().manual_seed(0)
    machine = measure.Machine("cpu", measure.Pool(1000, "cpu"), 1, generator)
    panel = Panel("published", "model", "prefill", 1, 8, (dense(shrunk(SHAPES["Vicuna-7B"])),))
    (cell,) = measure.measure_panel(panel, machine, time.monotonic() + 60)
    assert cell.milliseconds == ()
    assert not lacking(cell.fault, ("ConfigError", "1,000"))
    many = Panel("published", "model", "prefill", 128, 640, (dense(OLMOE),))
    work = measure.prepare_candidate(many.arms[0], many, machine)
    assert work.fault == "more than 65,536 tokens"


def test_a_session_writes_a_record_that_says_what_computed_it(results, capsys):
    path = session.record_costs("cpu", 0.01, tiny=True, beside="tests")
    record = read_record(path, CostNumbers)
    assert path.parent == results / "cost" and path.name.startswith("tiny.")
    assert set(record.inputs) == {"code"}
    assert record.numbers.beside == "tests"
    assert "peaks and checks" in capsys.readouterr().out


def test_a_record_with_more_timings_stands(results, monkeypatch, capsys):
    path = session.record_costs("cpu", 0.01, tiny=True)
    record = read_record(path, CostNumbers)
    timed = record.numbers.model_copy(update={"cells": (cell("Vicuna-7B", 1.0),)})
    write_record(path, record.model_copy(update={"numbers": timed}))
    before = path.read_bytes()
    panels = [("peaks", record.numbers), ("a panel", timed)]
    monkeypatch.setattr(session, "measure", lambda *_, **__: iter(panels[:1]))
    assert session.record_costs("cpu", 1.0, tiny=True) == path
    assert path.read_bytes() == before and "stands" in capsys.readouterr().out
    monkeypatch.setattr(session, "measure", lambda *_, **__: iter(panels))
    session.record_costs("cpu", 1.0, tiny=True)
    assert path.read_bytes() != before


def test_impossible_sessions_are_refused(results):
    with refusal(ConfigError, "more than 0 seconds", "not 0"):
        session.record_costs("cpu", 0.0, tiny=True)
    with refusal(ConfigError, "'tpu'"):
        session.record_costs("tpu", 1.0, tiny=True)
    if not torch.cuda.is_available():
        with refusal(ConfigError, "no CUDA device"):
            session.record_costs("cuda", 1.0, tiny=True)
    assert not results.exists()
