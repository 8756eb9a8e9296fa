import numpy as np
import pytest
import synthetic

from moelib import frames
from moelib.kinds import TrainNumbers, UtilizationNumbers
from moelib.record import RecordError, write_record
from moelib.run import Run
from moelib.statistics import t_interval

pytestmark = pytest.mark.usefixtures("results")


def runs_with(study, right):
    """Records of training, one for each (head, seed), from `right[head][seed]`."""
    return [
        synthetic.trained(Run(study, head, seed), np.array(bits))
        for head, by_seed in right.items()
        for seed, bits in enumerate(by_seed)
    ]


def test_studies_are_found_by_their_training_records():
    assert frames.studies() == []
    synthetic.write_all(synthetic.study("b"))
    synthetic.write_all(synthetic.study("a", seeds=(0,)))
    synthetic.write_benchmark()
    assert frames.studies() == ["a", "b"]


def test_records_are_loaded_in_the_order_of_heads_and_seeds():
    synthetic.write_all(synthetic.study(seeds=(10, 2)))
    loaded = frames.load("tiny", TrainNumbers)
    expected = [(head, seed) for head in ("dense", "soft", "sparse") for seed in (2, 10)]
    assert [(r.head, r.seed) for r in loaded] == expected
    assert {r.head for r in frames.load("tiny", UtilizationNumbers)} == {"soft", "sparse"}


def test_records_of_different_recipes_are_refused():
    synthetic.write_all(synthetic.study(seeds=(0,)))
    other = Run(synthetic.study(seeds=(0, 1), batch_size=64), "soft", 1)
    write_record(other.record_path("train"), synthetic.trained(other))
    with pytest.raises(RecordError, match="different settings.*soft, seed 1"):
        frames.load("tiny", TrainNumbers)


def test_records_of_one_head_with_different_settings_are_refused():
    study = synthetic.study(seeds=(0, 1))
    synthetic.write_all(study)
    heads = study.heads | {"soft": study.heads["soft"].model_copy(update={"temperature": 2.0})}
    other = Run(study.model_copy(update={"heads": heads}), "soft", 1)
    write_record(other.record_path("train"), synthetic.trained(other))
    with pytest.raises(RecordError, match="soft, seed 0 and soft, seed 1"):
        frames.load("tiny", TrainNumbers)


def test_a_study_may_gain_heads_and_seeds():
    grown = synthetic.study(seeds=(0, 1))
    fewer = {"dense": grown.heads["dense"]}
    first = Run(grown.model_copy(update={"heads": fewer, "seeds": (0,)}), "dense", 0)
    synthetic.write_all(grown)
    write_record(first.record_path("train"), synthetic.trained(first))
    assert len(frames.load("tiny", TrainNumbers)) == 6


def test_test_bits_come_back_as_they_were_written():
    right = np.random.default_rng(0).random(21) < 0.5
    record = synthetic.trained(Run(synthetic.study(), "dense", 0), right)
    assert np.array_equal(frames.test_correct(record), right)


def test_epochs_have_one_row_per_run_epoch_and_split():
    synthetic.write_all(synthetic.study())
    table = frames.epochs(frames.load("tiny", TrainNumbers))
    assert len(table) == 3 * 3 * 3 * 2
    row = table.query("head == 'soft' and seed == 1 and epoch == 2 and split == 'validation'")
    assert row["accuracy"].item() == 0.5
    assert table.query("head == 'dense'")["entropy"].isna().all()


def test_accuracy_is_over_seeds_where_there_are_several_and_over_images_else():
    study = synthetic.study(seeds=(0, 1))
    bits = [[True, True, False, True], [True, False, False, True]]
    several = frames.accuracy(runs_with(study, {"dense": bits})).iloc[0]
    assert (several["seeds"], several["interval_over"]) == (2, "seeds")
    assert (several["mean"], several["low"]) == pytest.approx(t_interval([0.75, 0.5])[:2])
    single = frames.accuracy(runs_with(study, {"dense": bits[:1]})).iloc[0]
    assert (single["mean"], single["interval_over"]) == (0.75, "test images")
    assert np.isnan(single["deviation"])
    assert 0 < single["low"] < 0.75 < single["high"] < 1


def test_differences_pair_runs_of_the_same_seed():
    right = {
        "dense": [[True, True, False, False], [True, True, True, False]],  # 0.5, 0.75
        "soft": [[True, True, True, False], [True, True, True, True]],  # 0.75, 1.0
    }
    records = runs_with(synthetic.study(seeds=(0, 1)), right)
    by_seed = frames.seed_differences(records)
    assert list(by_seed["difference"]) == [0.25, 0.25]
    compared = frames.differences(records).iloc[0]
    # Unpaired, the spread of seeds would hide it; paired, both seeds agree to the last digit.
    assert (compared["difference"], compared["low"], compared["high"]) == (0.25, 0.25, 0.25)
    assert compared["verdict"] == "not distinguishable"


def test_without_a_dense_head_or_a_second_seed_nothing_is_compared():
    study = synthetic.study(seeds=(0,))
    soft = runs_with(study, {"soft": [[True, False]]})
    assert frames.differences(soft).empty
    assert frames.image_comparisons(soft).empty
    assert frames.differences(runs_with(study, {"dense": [[True]], "soft": [[True]]})).empty


def test_image_comparison_counts_where_one_net_is_right():
    right = {"dense": [[True, False, True, False]], "sparse": [[True, True, False, True]]}
    row = frames.image_comparisons(runs_with(synthetic.study(), right)).iloc[0]
    assert (row["only_head_right"], row["only_dense_right"]) == (2, 1)
    assert row["difference"] == 0.25
    assert row["p_value"] == 1.0


def test_usage_is_in_shares_that_sum_to_1():
    synthetic.write_all(synthetic.study())
    trained = frames.load("tiny", TrainNumbers)
    analysed = frames.load("tiny", UtilizationNumbers)
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


def test_speed_takes_quartiles_of_paired_ratios():
    table = frames.speed(synthetic.benchmark().numbers)
    assert list(table["ratio"]) == [3.0, 1.0]
    assert (table["low"][0], table["high"][0]) == (2.5, 3.5)
    assert table["case"][0] == "batch 8"


def test_no_benchmarks_are_no_error():
    assert frames.benchmarks() == {}
    synthetic.write_benchmark()
    assert list(frames.benchmarks()) == ["step.some-cpu.json"]


def test_origins_and_machines_count_records_of_like_circumstances():
    synthetic.write_all(synthetic.study())
    records = [*frames.load("tiny", TrainNumbers), *frames.load("tiny", UtilizationNumbers)]
    origins = frames.origins(records)
    assert list(origins["kind"]) == ["train", "utilization"]
    assert list(origins["records"]) == [9, 6]
    assert list(frames.machines(records)["records"]) == [15]
