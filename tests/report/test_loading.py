import pytest
import synthetic

from moelib.records.kinds import (
    EfficiencyNumbers,
    SharpnessNumbers,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.records.record import RecordError, write_record
from moelib.report import loading
from moelib.study.analyses import Efficiency
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
    loaded = loading.load("tiny", TrainNumbers)
    expected = [(head, seed) for head in ("dense", "soft", "sparse") for seed in (2, 10)]
    assert [(r.head, r.seed) for r in loaded] == expected
    assert {r.head for r in loading.load("tiny", UtilizationNumbers)} == {"soft", "sparse"}


def test_records_of_different_recipes_are_refused():
    synthetic.write_all(synthetic.study(seeds=(0,)))
    other = Run(synthetic.study(seeds=(0, 1), batch_size=64), "soft", 1)
    write_record(other.record_path("train"), synthetic.trained(other))
    with pytest.raises(RecordError, match="different settings.*soft, seed 1 differ in training"):
        loading.load("tiny", TrainNumbers)


def test_records_of_one_head_with_different_settings_are_refused():
    study = synthetic.study(seeds=(0, 1))
    synthetic.write_all(study)
    heads = study.heads | {"soft": study.heads["soft"].model_copy(update={"temperature": 2.0})}
    other = Run(study.model_copy(update={"heads": heads}), "soft", 1)
    write_record(other.record_path("train"), synthetic.trained(other))
    with pytest.raises(RecordError, match="soft, seed 0 and soft, seed 1"):
        loading.load("tiny", TrainNumbers)


def test_a_study_may_gain_heads_and_seeds():
    grown = synthetic.study(seeds=(0, 1))
    fewer = {"dense": grown.heads["dense"]}
    first = Run(grown.model_copy(update={"heads": fewer, "seeds": (0,)}), "dense", 0)
    synthetic.write_all(grown)
    write_record(first.record_path("train"), synthetic.trained(first))
    assert len(loading.load("tiny", TrainNumbers)) == 6


def test_records_of_sharpness_are_loaded_like_the_others():
    synthetic.write_landscapes(synthetic.study(seeds=(0, 1)))
    loaded = loading.load("tiny", SharpnessNumbers)
    assert [(r.head, r.seed) for r in loaded][:3] == [("dense", 0), ("dense", 1), ("soft", 0)]


def test_no_benchmarks_are_no_error():
    assert loading.benchmarks() == {}
    synthetic.write_benchmark()
    assert list(loading.benchmarks()) == ["step.some-cpu.json"]


def test_scales_are_found_by_the_names_of_their_files_and_nothing_else_is_one():
    assert loading.scales() == {}
    synthetic.write_costs(synthetic.study())
    synthetic.write_benchmark()
    found = loading.scales()
    assert list(found) == ["scale.some-cpu.json"]
    assert found["scale.some-cpu.json"].numbers == synthetic.scaled().numbers
    assert list(loading.benchmarks()) == ["step.some-cpu.json"]


def test_costs_of_inference_are_loaded_like_other_records_of_runs():
    synthetic.write_costs(synthetic.study(seeds=(3, 1)))
    loaded = loading.load("tiny", EfficiencyNumbers)
    # Of each head the first seed that the study names, whose cost stands for all.
    assert [(r.head, r.seed) for r in loaded] == [("dense", 3), ("soft", 3), ("sparse", 3)]


def test_costs_at_other_batches_are_of_other_settings():
    study = synthetic.study()
    synthetic.write_costs(study)
    sizes = study.analyses.model_copy(update={"efficiency": Efficiency(batches=(7,))})
    other = Run(study.model_copy(update={"analyses": sizes}), "soft", 0)
    write_record(other.record_path("efficiency"), synthetic.efficient(other))
    with pytest.raises(RecordError, match="efficiency records .* different settings"):
        loading.load("tiny", EfficiencyNumbers)


def elsewhere(record, **provenance):
    """The record as if it came from another machine."""
    return record.model_copy(update={"provenance": record.provenance.model_copy(update=provenance)})


@pytest.mark.parametrize("where", [{"device": "Another CPU"}, {"threads": 64}])
def test_times_of_several_devices_or_numbers_of_threads_are_refused(where):
    study = synthetic.study()
    synthetic.write_costs(study)
    other = Run(study, "soft", 0)
    write_record(other.record_path("efficiency"), elsewhere(synthetic.efficient(other), **where))
    match = f"different settings: dense, seed 0 and soft, seed 0 differ in {next(iter(where))}. Run"
    with pytest.raises(RecordError, match=match):
        loading.load("tiny", EfficiencyNumbers)


def test_times_that_are_all_of_another_device_are_of_one():
    study = synthetic.study()
    for head in study.heads:
        run = Run(study, head, 0)
        timed = elsewhere(synthetic.efficient(run), device="Another CPU", threads=64)
        write_record(run.record_path("efficiency"), timed)
    assert len(loading.load("tiny", EfficiencyNumbers)) == 3


def test_accuracies_may_come_from_several_devices():
    """Seeds are trained wherever there is room; only times depend on where."""
    study = synthetic.study()
    synthetic.write_all(study)
    other = Run(study, "soft", 1)
    trained = elsewhere(synthetic.trained(other), device="Another CPU", threads=64)
    write_record(other.record_path("train"), trained)
    assert len(loading.load("tiny", TrainNumbers)) == 9
