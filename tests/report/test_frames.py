import numpy as np
import pytest
import synthetic

from moelib.records.kinds import (
    EfficiencyNumbers,
    SharpnessNumbers,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.records.record import RecordError, write_record
from moelib.report import frames, loading, spectra
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


def test_test_bits_come_back_as_they_were_written():
    right = np.random.default_rng(0).random(21) < 0.5
    record = synthetic.trained(Run(synthetic.study(), "dense", 0), right)
    assert np.array_equal(frames.test_correct(record), right)


def test_epochs_have_one_row_per_run_epoch_and_split():
    synthetic.write_all(synthetic.study())
    table = frames.epochs(loading.load("tiny", TrainNumbers))
    assert len(table) == 3 * 3 * 3 * 2
    row = table.query("head == 'soft' and seed == 1 and epoch == 2 and split == 'validation'")
    assert row["accuracy"].item() == 0.5
    assert table.query("head == 'dense'")["entropy"].isna().all()


def test_usage_is_in_shares_that_sum_to_1():
    synthetic.write_all(synthetic.study())
    trained = loading.load("tiny", TrainNumbers)
    analysed = loading.load("tiny", UtilizationNumbers)
    for table in (frames.usage_per_epoch(trained), frames.expert_usage(analysed)):
        keys = [name for name in table.columns if name not in ("expert", "gate_mass", "selections")]
        sums = table.groupby(keys)[["gate_mass", "selections"]].sum()
        assert np.allclose(sums, 1)
        assert set(table["head"]) == {"soft", "sparse"}


def test_a_class_without_images_has_no_row():
    record = synthetic.analysed(Run(synthetic.study(), "soft", 0), (0.7, 0.1, 0.1, 0.1))
    table = frames.class_expert([record]).pivot(index="class", columns="expert", values="share")
    assert list(table.index) == [0, 2]
    assert list(table.loc[0]) == pytest.approx([0.7, 0.1, 0.1, 0.1])
    assert list(table.loc[2]) == pytest.approx([0.25] * 4)  # as shares


def test_records_of_sharpness_are_loaded_like_the_others():
    synthetic.write_landscapes(synthetic.study(seeds=(0, 1)))
    loaded = loading.load("tiny", SharpnessNumbers)
    assert [(r.head, r.seed) for r in loaded][:3] == [("dense", 0), ("dense", 1), ("soft", 0)]


def test_curvature_has_one_row_per_run_and_split():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 1), train=2.0, test=60.0, trace=10.0)
    table = frames.curvature([record])
    assert list(table["split"]) == ["train", "test"]
    row = table.iloc[1]
    assert (row["study"], row["head"], row["seed"], row["epoch"]) == ("tiny", "soft", 1, 3)
    assert (row["lambda_max"], row["lambda_min"]) == (60.0, -3.0)
    assert row["top"] == (60.0, 30.0, 20.0, 15.0, 12.0)
    assert (row["trace"], row["trace_error"], row["trace_per_parameter"]) == (600.0, 6.0, 0.6)
    assert (row["matched_temperature"], row["matched_max"]) == (2.5, 20.0)
    assert row["adaptive_trace_error"] == pytest.approx(0.03)


def test_a_loss_that_no_temperature_gives_has_no_matched_curvature():
    record = synthetic.sharp(Run(synthetic.study(), "dense", 0))
    unmatched = record.numbers.train.model_copy(update={"matched": None})
    record = record.model_copy(
        update={"numbers": record.numbers.model_copy(update={"train": unmatched})}
    )
    table = frames.curvature([record])
    matched = table[["matched_temperature", "matched_max", "matched_trace"]]
    assert matched.isna().all(axis=1).tolist() == [True, False]


def test_traces_of_groups_have_one_row_per_group():
    run = Run(synthetic.study(), "soft", 0)
    table = spectra.group_traces([synthetic.sharp(run, train=2.0)]).query("split == 'train'")
    assert list(table["group"]) == ["all", "backbone", "head", "gate", "experts", "expert 0"]
    gate = table.query("group == 'gate'").iloc[0]
    assert (gate["trace"], gate["trace_error"], gate["parameters"]) == (2.0, 0.02, 200)
    assert gate["trace_per_parameter"] == 0.01


def test_a_density_integrates_to_1_and_has_the_weight_of_its_nodes():
    table = spectra.densities([synthetic.sharp(Run(synthetic.study(), "soft", 0), train=2.0)])
    curve = table.query("split == 'train'")
    at, height = curve["eigenvalue"].to_numpy(), curve["density"].to_numpy()
    # The grid ends four deviations beyond the last node: 6e-5 of its weight lie outside.
    assert np.trapezoid(height, at) == pytest.approx(1, abs=1e-5)
    top = at > 1.5  # the node at 2 alone, of weight 0.01; the next is at 1
    assert np.trapezoid(height[top], at[top]) == pytest.approx(0.01, rel=1e-3)
    peak = 0.96 / (0.021 * np.sqrt(2 * np.pi))  # of the node at 0; the one at -0.1 adds nothing
    assert height.max() == pytest.approx(peak, rel=0.01)  # a grid point lies within bandwidth / 8


def test_sweeps_have_the_rise_where_the_radius_is_positive():
    record = synthetic.surfaced(Run(synthetic.study(), "sparse", 0), bend=4.0)
    table = frames.sweeps([record]).query("direction == 'random 1' and split == 'test'")
    assert list(table["radius"]) == [-0.5, -0.25, 0, 0.25, 0.5]
    assert table["rise"].isna().tolist() == [True, True, True, False, False]
    assert list(table["rise"])[3:] == [0.25, 1.0]
    assert list(table["loss"])[-1] == 0.1 + 1.0 + 0.125
    assert list(table["rerouted"]) == [0.5, 0.25, 0, 0.25, 0.5]


def with_train(record, **changes):
    """The same record of sharpness with other curvature on training images."""
    train = record.numbers.train.model_copy(update=changes)
    return record.model_copy(update={"numbers": record.numbers.model_copy(update={"train": train})})


def test_eigenvalues_converge_by_the_residual_that_the_study_asks_for():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0), train=2.0)
    found = record.numbers.train.eigenvalues  # 2 down to 0.4, residuals of 0.002; lowest -0.1
    assert record.study.analyses.sharpness.residual == 0.01
    table = frames.curvature([record])
    assert table["lambda_max_converged"].all()
    assert not table["lambda_min_converged"].any()  # 0.002 is 2 % of -0.1, 0.06 of -3
    loose = found.model_copy(update={"residuals": (0.002, 0.002, 0.002, 0.002, 0.005)})
    near = found.model_copy(update={"lowest_residual": 0.0009})
    assert not frames.curvature([with_train(record, eigenvalues=loose)])["lambda_max_converged"][0]
    assert frames.curvature([with_train(record, eigenvalues=near)])["lambda_min_converged"][0]


def test_small_eigenvalues_converge_by_a_share_of_the_largest():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0), train=2.0)
    found = record.numbers.train.eigenvalues
    tiny = {"largest": (2.0, 1e-6), "lowest": -1e-6, "lowest_residual": 1e-4}
    for residual, converged in ((1e-4, True), (3e-4, False)):  # allowed: 0.01 of 0.01 of 2
        given = found.model_copy(update={**tiny, "residuals": (0.001, residual)})
        row = frames.curvature([with_train(record, eigenvalues=given)]).iloc[0]
        assert row["lambda_max_converged"] == converged
        assert row["lambda_min_converged"]


def test_a_loss_that_no_temperature_matches_leaves_its_columns_empty():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0))
    known = frames.curvature([record])
    train, test = (
        part.model_copy(update={"matched": None})
        for part in (record.numbers.train, record.numbers.test)
    )
    numbers = record.numbers.model_copy(update={"train": train, "test": test})
    table = frames.curvature([record.model_copy(update={"numbers": numbers})])
    assert list(table) == list(known)
    empty = [name for name in table if table[name].isna().all()]
    assert empty == [name for name in table if name.startswith("matched_")] == [*frames.MATCHED]


def test_negative_mass_is_below_one_threshold_for_all_runs_of_a_split():
    study = synthetic.study()
    flat, steep = (synthetic.sharp(Run(study, "soft", seed), train=2.0) for seed in (0, 1))
    wide = steep.numbers.train.density.model_copy(
        update={
            "bandwidth": 0.5,
            "nodes": (-1.0, 1.0, -0.4, 2.0),
            "weights": (0.1, 0.4, 0.2, 0.3),
            "probes": 2,
        }
    )
    table = spectra.negative_mass([flat, with_train(steep, density=wide)])
    train = table[table["split"] == "train"]
    assert train["threshold"].tolist() == [-0.5, -0.5]
    assert train["negative_mass"].tolist() == pytest.approx([0.0, 0.1])
    assert train["by_probe"].iloc[1] == pytest.approx((0.2, 0.0))
    test = table[table["split"] == "test"]  # each sees its node at -0.05 of the largest
    assert test["threshold"].tolist() == pytest.approx([-0.0105 * 60] * 2)
    assert test["negative_mass"].tolist() == pytest.approx([0.01, 0.01])


def test_a_larger_sample_stands_beside_the_smaller_one():
    study = synthetic.study()
    sharp = [synthetic.sharp(Run(study, head, 0), train=2.0) for head in ("dense", "soft")]
    same, swept = (synthetic.surfaced(Run(study, head, 0)) for head in ("dense", "soft"))
    numbers = swept.numbers.model_copy(update={"images": sharp[1].numbers.train.images + 1})
    table = frames.larger_sample(sharp, [same, swept.model_copy(update={"numbers": numbers})])
    row = table.iloc[0]
    assert len(table) == 1
    assert (row["head"], row["lambda_max"], row["more_images"]) == ("soft", 2.0, numbers.images)
    assert row["ratio"] == numbers.eigenvalue / 2.0


def test_the_farthest_points_are_means_over_signs_and_directions():
    record = synthetic.surfaced(Run(synthetic.study(), "sparse", 0), bend=4.0)
    table = frames.farthest(frames.sweeps([record]))
    assert list(table["kind"]) == [frames.EIGENVECTOR] * 2 + [frames.RANDOM] * 2
    assert list(table["split"]) == ["train", "test"] * 2
    for row in table.itertuples():
        assert (row.radius, row.rise, row.rerouted) == (0.5, 1.0, 0.5)
        assert row.accuracy == pytest.approx(0.4)


def test_rises_are_those_of_the_farthest_points_of_each_run():
    study = synthetic.study()
    bends = {"soft": 4.0, "dense": 5.0}
    records = [synthetic.surfaced(Run(study, head, 0), bend) for head, bend in bends.items()]
    table = frames.rises(frames.sweeps(records))
    assert list(table["split"]) == ["train", "test"] * 2
    table = table.set_index(["head", "split"])
    for kind in (frames.EIGENVECTOR, frames.RANDOM):
        assert list(table.loc["soft", kind]) == [1.0, 1.0]  # bend r^2 at r = 0.5
        assert list(table.loc["dense", kind]) == [1.25, 1.25]


def test_heads_that_select_no_experts_reroute_nothing():
    table = frames.sweeps([synthetic.surfaced(Run(synthetic.study(), "soft", 0))])
    assert table["rerouted"].isna().all()


def test_planes_have_one_row_per_point():
    record = synthetic.surfaced(Run(synthetic.study(), "dense", 0), bend=4.0)
    table = frames.planes([record])
    assert len(table) == 2 * 5 * 5
    point = table.query("split == 'train' and first == 0.5 and second == -0.25").iloc[0]
    assert point["loss"] == 0.1 + 4 * (0.25 + 0.0625)


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
