"""What the chapters on costs show, with records and without."""

import re

import prose
from cost_records import cell, decoding, mixture, record, traffic

from moelib.modalities.cost.grid import ACTIVE, TOTAL
from moelib.modalities.cost.report import answers, published, tables, words
from moelib.records.record import write_record
from moelib.study.shapes import MOE_LLAVA, VISION

BATCHES = {1: 2.0, 8: 6.0, 32: 9.0}


def full(device="Some GPU", **numbers):
    """A record with an arm for every table and figure."""
    tokens = {"panel": "executors", "part": "mlp", "mode": "prefill"}
    family = {"panel": "family", "part": "mlp"}
    return record(
        *decoding({"Vicuna-7B": {1: 4.0, 8: 5.0, 32: 7.0}, "DeepSeekMoE-16B": BATCHES}),
        cell(ACTIVE.name, 1.0, context=64, **tokens),
        mixture("grouped, uniform", 1.5, context=64, **tokens),
        cell(ACTIVE.name, 1.0, context=2048, **tokens),
        mixture("grouped, uniform", 1.5, context=2048, **tokens),
        mixture("top-8, uniform", 2.0, panel="kinds", batch=32),
        mixture("top-8, guided", 2.5, panel="kinds", batch=32),
        cell(TOTAL.name, 8.0, **family),
        mixture("8 of 64", 2.0, **family),
        device=device,
        **numbers,
    )


def test_without_records_there_is_nothing(results):
    assert (words.costs(), words.traffics()) == ([], [])


def test_gpus_come_first_and_miniatures_not_at_all(results):
    cpu = record().provenance.cpu
    for name, device in (("cost.a", cpu), ("cost.b", "Some GPU"), ("tiny.c", "Some GPU")):
        write_record(results / f"cost/{name}.json", full(device))
    write_record(results / "cost/traffic.a.json", traffic())
    assert [record.provenance.device for record in words.costs()] == ["Some GPU", cpu]
    assert len(words.traffics()) == 1


def test_devices_share_one_table_of_verdicts():
    text = answers.verdicts([full("Some GPU"), full("Some CPU")]).data
    lines = text.splitlines()
    assert lines[0].split(" | ")[-2:] == ["Some GPU", "Some CPU |"]
    assert len(lines) == 2 + 6
    verdicts = lines[7].split(" | ")[-2:]
    assert all("contradicted" in cell and "1.25" in cell for cell in verdicts)


def test_the_distance_from_the_bound_is_told_of_mixtures_and_dense_models(closed):
    times = {name: {1: 10.0, 8: 30.0} for name in words.DENSE} | {"OLMoE-1B-7B": {1: 20.0, 8: 30.0}}
    table = tables.cells(record(*decoding(times))).query("batch == 1").set_index("shape")
    text = claim(words.decoding_chart(record(*decoding(times))))
    mixture, seven, thirteen = (
        f"{1 / table['of_bound'][name]:.1f}" for name in ("OLMoE-1B-7B", *words.DENSE)
    )
    assert prose.numbers(text)[:6] == [mixture, mixture, "1", "7", thirteen, seven]
    assert prose.numbers(text)[8] == "8"  # the largest batch
    alone = record(*decoding({"OLMoE-1B-7B": {1: 20.0, 8: 30.0}}))
    assert "**" not in words.decoding_chart(alone).data


def test_the_answer_names_the_predictions_of_each_verdict():
    answer = answers.answer(full()).data
    assert "Of 6 predictions, the Some GPU" in answer
    for word, names in {"contradicts": "P2 P6", "leaves open": "P1 P3 P4 P5"}.items():
        count, listed = re.search(rf"{word} (\d) \(([^)]+)\)", answer).groups()
        assert listed.split(", ") == names.split() and int(count) == len(names.split())


def test_the_answer_says_what_a_mixture_costs_beside_a_dense_model():
    bounds = tables.cells(full()).set_index(["shape", "batch"])["bound_ms"]
    share = bounds["DeepSeekMoE-16B", 1] / bounds["Vicuna-7B", 1]
    bold, after = answers.answer(full()).data.split("**")[1:]
    assert "decodes faster" in bold
    assert prose.numbers(bold) == ["1", "16", "7", "2", "4", f"{share:.0%}"]  # of which ms are two
    assert "1.5 to 1.5 times" in after  # the experts
    slow = record(*decoding({"Vicuna-7B": {1: 4.0, 8: 5.0}, "DeepSeekMoE-16B": {1: 4.0, 8: 5.0}}))
    assert "no faster" in answers.answer(slow).data
    assert "decodes" not in answers.answer(record()).data


def test_a_prediction_that_a_trace_decided_is_remarked():
    took = {"uniform": 10.0, "zipf": 9.0, "skewed": 8.0}
    cells = [mixture(f"top-8, {name}", ms, panel="kinds", batch=32) for name, ms in took.items()]
    (text,) = answers.remarks(record(*cells))
    assert prose.numbers(text.data) == ["0.90", "0.80"]
    assert answers.remarks(record(*cells[:2])) == answers.remarks(record()) == []


def test_the_price_of_routing_is_of_the_largest_batch():
    one, many = ({"panel": "kinds", "batch": batch} for batch in (1, 32))
    cells = [
        *(mixture(f"top-8, {name}", ms, part="mlp", **one)
          for name, ms in {"uniform": 1.0, "partitioned": 1.1, "guided": 1.2}.items()),
        *(mixture(f"top-8, {name}", ms, **many)
          for name, ms in {"uniform": 1.0, "partitioned": 0.5, "guided": 0.75}.items()),
        mixture("soft", 3.0, **many),
    ]  # fmt: skip
    text = answers.routing(record(*cells))
    assert prose.numbers(text.data) == ["32", "0.50", "0.75", "3.00", "1", "1.10", "1.20"]
    assert answers.routing(record()).data == words.NOT_MEASURED


def test_fewer_experts_stand_beside_their_ideal_share():
    tokens = {"panel": "family", "part": "mlp"}
    cells = [
        cell(TOTAL.name, 8.0, **tokens),
        mixture("8 of 64", 2.0, **tokens),
        mixture("64 of 64", 12.0, **tokens),
        cell(TOTAL.name, 8.0, batch=32, **tokens),
        mixture("8 of 64", 4.0, batch=32, **tokens),
    ]
    (text,) = words.beside_ideal(record(*cells))
    assert prose.numbers(text.data)[:6] == ["2.0", "2.0", "1", "1", "4.0", "4.0"]
    assert "1.5 to 1.5 times its time" in text.data
    assert words.beside_ideal(record()) == []


def test_what_variable_slots_read_stands_beside_a_trace_that_differs_by_chance():
    size = {"panel": "kinds", "part": "mlp", "batch": 32}
    uniform = mixture("top-8, uniform", 10.0, touched=63.0, **size)
    first = mixture("top-8, variable", 8.0, touched=53.0, **size)
    second = mixture("top-8, variable-by-modality", 9.0, touched=59.0, **size)
    assert answers.drawn([record(uniform, first)]) == []
    (text,) = answers.drawn([record(uniform, first, second)])
    assert "53 (0.80 times) and 59 (0.90 times)" in text.data


def test_circumstances_tell_what_is_modelled_missing_and_cut_short():
    whole = words.circumstances(full()).data
    assert "700 TFLOP/s and 4,000 GB/s" in whole
    assert "modelled" not in whole and "failed" not in whole and "ran out" not in whole
    broken = record(
        cell("Vicuna-7B", 1.0, part="block", layers=1),
        cell("Vicuna-13B", (), fault="no memory"),
        whole=False,
        beside="a training",
    )
    text = words.circumstances(broken).data
    assert "modelled" in text and "ran out" in text and "a training" in text
    assert "1 failed" in text and "Vicuna-13B (no memory)" in text and "Vicuna-7B" not in text


def test_a_model_is_compared_with_the_sum_of_its_layers():
    depths = [
        cell("TinyLlama-1.1B", ms, panel="additivity", layers=layers)
        for layers, ms in ((1, 1.0), (2, 2.5), (22, 33.0))
    ]
    text = words.additivity(tables.cells(record(*depths)))
    assert "TinyLlama-1.1B" in text and "(decode)" in text
    assert prose.numbers(text) == ["1.50", "22"]
    assert text in words.circumstances(record(*depths)).data
    assert words.additivity(tables.cells(full())) == ""


def test_without_trained_routers_the_page_says_so(results):
    assert "No trained router" in words.trained([]).data


def test_tables_have_a_column_for_each_size():
    assert "| top-8, guided | 1.25 |" in words.kinds(full()).data
    assert "| 8 of 64 | 0.125 | 0.25 |" in words.family(full()).data
    assert words.kinds(record()).data == words.family(record()).data == words.NOT_MEASURED
    alone = record(cell(ACTIVE.name, 1.0, panel="executors", part="mlp", mode="prefill"))
    for cost in (record(), alone):
        assert words.executor_chart(cost).data == words.NOT_MEASURED


def test_traffic_is_shown_with_modelled_times():
    (row,) = words.between_devices(traffic()).data.splitlines()[2:]
    assert row.startswith("| 2 | trace, uniform | sequences | 90.0% | 50.0% | 0.737 | 1.50 |")


def claim(chart) -> str:
    """The sentence in bold with which a caption begins."""
    return chart.data.split("**")[1]


def test_a_chart_names_executors_from_the_fastest_on(closed):
    text = claim(words.executor_chart(full()))
    assert prose.numbers(text) == ["256", "1.5"] and "grouped" in text


def test_a_chart_says_whether_the_tasks_agree(closed, monkeypatch):
    assert [part.data for part in words.front(full())] == [words.NOT_MEASURED]
    cells = [cell(VISION.name, 1.0, mode="prefill", context=577)]
    for shape in MOE_LLAVA:
        cells += [cell(shape.name, 20.0, mode="prefill"), cell(shape.name, 3.0)]
    chart, table, bound = words.front(record(*cells))
    assert "do not agree" in claim(chart) and len(table.data.splitlines()) == 2 + len(MOE_LLAVA)
    assert "700 TFLOP/s and 4,000 GB/s" in bound.data
    monkeypatch.setattr(published, "TASKS", ("GQA",))
    assert "tasks agree" in claim(words.front(record(*cells))[0])
