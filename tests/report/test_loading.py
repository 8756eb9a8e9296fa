import pytest
import synthetic
from prose import refusal

from moelib.records.benchmarks import BenchmarkNumbers, ScaleNumbers
from moelib.records.freshness import training_digest
from moelib.records.kinds import (
    EfficiencyNumbers,
    SharpnessNumbers,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.records.record import RecordError, read_record, write_record
from moelib.report import loading
from moelib.study.analyses import Efficiency
from moelib.study.reader import load_study, parse_study
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")


def test_studies_are_found_by_their_training_records():
    assert loading.studies() == []
    synthetic.write_all(synthetic.study("b"))
    synthetic.write_all(synthetic.study("a", seeds=(0,)))
    synthetic.write_benchmark()
    assert loading.studies() == ["a", "b"]


def test_records_are_loaded_in_the_order_of_heads_and_seeds():
    synthetic.write_all(synthetic.study(seeds=(10, 2)))
    records = loading.load("tiny", TrainNumbers)
    expected = [(head, seed) for head in ("dense", "soft", "sparse") for seed in (2, 10)]
    assert [(record.head, record.seed) for record in records] == expected
    assert {record.head for record in loading.load("tiny", UtilizationNumbers)} == {
        "soft",
        "sparse",
    }


def test_heads_come_as_the_file_of_the_study_lists_them_and_else_by_kind():
    published = load_study("ablations")  # lists a linear head last, which is the first kind
    heads = {name: published.heads[name].model_dump() for name in ("linear", "soft", "dense")}
    elsewhere = synthetic.study(seeds=(0,), heads=heads)
    assert [*published.heads].index("dense") < [*published.heads].index("linear")
    for study in (published, elsewhere):
        for head in heads:
            run = Run(study, head, 0)
            write_record(run.record_path("train"), synthetic.trained(run))
    orders = {
        name: [record.head for record in loading.load(name, TrainNumbers)]
        for name in ("ablations", "tiny")
    }
    assert orders == {
        "ablations": ["dense", "soft", "linear"],
        "tiny": ["linear", "dense", "soft"],
    }


def test_records_of_different_recipes_are_refused():
    synthetic.write_all(synthetic.study(seeds=(0,)))
    run = Run(synthetic.study(seeds=(0, 1), batch_size=64), "soft", 1)
    write_record(run.record_path("train"), synthetic.trained(run))
    with refusal(RecordError, "train", "'tiny'", "dense, seed 0", "soft, seed 1", "training"):
        loading.load("tiny", TrainNumbers)


def test_records_of_one_head_with_different_settings_are_refused():
    study = synthetic.study(seeds=(0, 1))
    synthetic.write_all(study)
    heads = study.heads | {"soft": study.heads["soft"].model_copy(update={"temperature": 2.0})}
    run = Run(study.model_copy(update={"heads": heads}), "soft", 1)
    write_record(run.record_path("train"), synthetic.trained(run))
    with refusal(RecordError, "train", "'tiny'", "soft, seed 0", "soft, seed 1", "heads.soft"):
        loading.load("tiny", TrainNumbers)


def test_an_analysis_of_other_weights_than_the_training_beside_it_is_refused():
    run = Run(synthetic.study(seeds=(0,)), "soft", 0)
    trained, analysed = synthetic.trained(run), synthetic.analysed(run)
    write_record(run.record_path("train"), trained)
    trained = read_record(run.record_path("train"), TrainNumbers)
    inputs = {"train": training_digest(trained)}
    path = run.record_path("utilization")
    write_record(path, analysed.model_copy(update={"inputs": inputs}))
    assert len(loading.load("tiny", UtilizationNumbers)) == 1
    again = trained.numbers.model_copy(update={"weights": {"last": 64 * "0"}})
    write_record(run.record_path("train"), trained.model_copy(update={"numbers": again}))
    with refusal(RecordError, str(path), "other weights", "train.json"):
        loading.load("tiny", UtilizationNumbers)


def test_seeds_may_be_of_different_devices():
    synthetic.write_all(synthetic.study(seeds=(0,), device="cuda"))
    run = Run(synthetic.study(seeds=(0, 1)), "soft", 1)
    write_record(run.record_path("train"), synthetic.trained(run))
    assert {r.study.training.device for r in loading.load("tiny", TrainNumbers)} == {"cpu", "cuda"}


def test_a_study_may_gain_heads_and_seeds():
    study = synthetic.study(seeds=(0, 1))
    heads = {"dense": study.heads["dense"]}
    run = Run(study.model_copy(update={"heads": heads, "seeds": (0,)}), "dense", 0)
    synthetic.write_all(study)
    write_record(run.record_path("train"), synthetic.trained(run))
    assert len(loading.load("tiny", TrainNumbers)) == 6


def test_records_of_sharpness_are_loaded_like_the_others():
    synthetic.write_landscapes(synthetic.study(seeds=(0, 1)))
    records = loading.load("tiny", SharpnessNumbers)
    assert [(record.head, record.seed) for record in records][:3] == [
        ("dense", 0),
        ("dense", 1),
        ("soft", 0),
    ]


def benchmarks():
    return loading.of_scripts("benchmarks", BenchmarkNumbers)


def scales():
    return loading.of_scripts("scale", ScaleNumbers)


def test_no_benchmarks_are_no_error():
    assert benchmarks() == {}
    synthetic.write_benchmark()
    assert list(benchmarks()) == ["step.some-cpu.json"]


def test_scales_are_found_by_the_names_of_their_files_and_nothing_else_is_one():
    assert scales() == {}
    synthetic.write_costs(synthetic.study())
    synthetic.write_benchmark()
    found = scales()
    assert list(found) == ["scale.some-cpu.json"]
    assert found["scale.some-cpu.json"].numbers == synthetic.recorded(synthetic.scaled().numbers)
    assert list(benchmarks()) == ["step.some-cpu.json"]


def test_costs_of_inference_are_loaded_like_other_records_of_runs():
    synthetic.write_costs(synthetic.study(seeds=(3, 1)))
    records = loading.load("tiny", EfficiencyNumbers)
    # Of each head the first seed that the study names, whose cost stands for all.
    assert [(record.head, record.seed) for record in records] == [
        ("dense", 3),
        ("soft", 3),
        ("sparse", 3),
    ]


def test_costs_at_other_batches_are_of_other_settings():
    study = synthetic.study()
    synthetic.write_costs(study)
    sizes = study.analyses.model_copy(update={"efficiency": Efficiency(batches=(7,))})
    run = Run(study.model_copy(update={"analyses": sizes}), "soft", 0)
    write_record(run.record_path("efficiency"), synthetic.efficient(run))
    with refusal(RecordError, "efficiency", "'tiny'", "dense, seed 0", "soft, seed 0", "analysis"):
        loading.load("tiny", EfficiencyNumbers)


def on_machine(record, **provenance):
    """The record as if it came from another machine."""
    return record.model_copy(update={"provenance": record.provenance.model_copy(update=provenance)})


@pytest.mark.parametrize("machine", [{"device": "Another CPU"}, {"threads": 64}])
def test_times_of_several_devices_or_numbers_of_threads_are_refused(machine):
    study = synthetic.study()
    synthetic.write_costs(study)
    run = Run(study, "soft", 0)
    write_record(run.record_path("efficiency"), on_machine(synthetic.efficient(run), **machine))
    names = ("dense, seed 0", "soft, seed 0", *machine)
    with refusal(RecordError, "efficiency", "'tiny'", *names):
        loading.load("tiny", EfficiencyNumbers)


def test_times_that_are_all_of_another_device_are_of_one():
    study = synthetic.study()
    for head in study.heads:
        run = Run(study, head, 0)
        record = on_machine(synthetic.efficient(run), device="Another CPU", threads=64)
        write_record(run.record_path("efficiency"), record)
    assert len(loading.load("tiny", EfficiencyNumbers)) == 3


def test_accuracies_may_come_from_several_devices():
    """Seeds are trained wherever there is room; only times depend on where."""
    study = synthetic.study()
    synthetic.write_all(study)
    run = Run(study, "soft", 1)
    record = on_machine(synthetic.trained(run), device="Another CPU", threads=64)
    write_record(run.record_path("train"), record)
    assert len(loading.load("tiny", TrainNumbers)) == 9


def test_a_study_of_the_papers_net_leads_once_it_has_seeds_enough():
    small = synthetic.study("small", seeds=tuple(range(6)))
    large = {**small.model_dump(mode="json"), "name": "large", "backbone": {"kind": "resnet18"}}
    synthetic.write_all(small)
    for seeds, first in ((3, "small"), (loading.SEEDS_TO_LEAD, "large")):
        study = parse_study({**large, "seeds": list(range(seeds))})
        for seed in study.seeds:
            run = Run(study, "soft", seed)
            write_record(run.record_path("train"), synthetic.trained(run))
        assert next(iter(loading.by_evidence(["small", "large"], TrainNumbers))) == first
