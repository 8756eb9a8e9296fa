"""Accuracy as frames: epochs, intervals, differences by seed and by image."""

import numpy as np
import pytest
import synthetic

from moelib.records.kinds import TrainNumbers
from moelib.report import loading, paper
from moelib.report.accuracy import tables
from moelib.report.statistics.intervals import t_interval
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")


def test_epochs_have_one_row_per_run_epoch_and_split():
    synthetic.write_all(synthetic.study())
    table = tables.epochs(loading.load("tiny", TrainNumbers))
    assert len(table) == 3 * 3 * 3 * 2
    row = table.query("head == 'soft' and seed == 1 and epoch == 2 and split == 'validation'")
    assert row["accuracy"].item() == 0.5
    assert table.query("head == 'dense'")["entropy"].isna().all()


def runs_with(study, right):
    """Records of training, one for each (head, seed), from `right[head][seed]`."""
    return [
        synthetic.trained(Run(study, head, seed), np.array(bits))
        for head, by_seed in right.items()
        for seed, bits in enumerate(by_seed)
    ]


def test_accuracy_is_over_seeds_where_there_are_several_and_over_images_else():
    study = synthetic.study(seeds=(0, 1))
    bits = [[True, True, False, True], [True, False, False, True]]
    two_seeds = tables.means(runs_with(study, {"dense": bits})).iloc[0]
    assert (two_seeds["seeds"], two_seeds["interval_over"]) == (2, "seeds")
    assert (two_seeds["mean"], two_seeds["low"]) == pytest.approx(t_interval([0.75, 0.5])[:2])
    one_seed = tables.means(runs_with(study, {"dense": bits[:1]})).iloc[0]
    assert (one_seed["mean"], one_seed["interval_over"]) == (0.75, "test images")
    assert np.isnan(one_seed["deviation"])
    assert 0 < one_seed["low"] < 0.75 < one_seed["high"] < 1


def test_differences_pair_runs_of_the_same_seed():
    right = {
        "dense": [[True, True, False, False], [True, True, True, False]],  # 0.5, 0.75
        "soft": [[True, True, True, False], [True, True, True, True]],  # 0.75, 1.0
    }
    records = runs_with(synthetic.study(seeds=(0, 1)), right)
    by_seed = tables.seed_differences(records)
    assert list(by_seed["difference"]) == [0.25, 0.25]
    row = tables.effects({"tiny": records}).iloc[0]
    # Unpaired, the spread of seeds would hide it; paired, both seeds agree to the last digit.
    assert (row["value"], row["low"], row["high"]) == (25, 25, 25)


def test_without_a_dense_head_nothing_is_compared():
    soft = runs_with(synthetic.study(seeds=(0,)), {"soft": [[True, False]]})
    assert tables.effects({"tiny": soft}).empty
    assert tables.image_comparisons(soft).empty


def test_image_comparison_counts_where_one_net_is_right():
    right = {"dense": [[True, False, True, False]], "sparse": [[True, True, False, True]]}
    row = tables.image_comparisons(runs_with(synthetic.study(), right)).iloc[0]
    assert (row["only_head_right"], row["only_reference_right"]) == (2, 1)
    assert row["difference"] == 0.25
    assert row["p_value"] == 1.0


def test_images_are_compared_with_the_net_of_the_reference_and_of_the_same_seed():
    right = {
        "dense": [[True, False, True, False], [True, True, True, True]],
        "soft": [[True, True, True, True], [False, False, True, True]],
        "sparse": [[False, False, True, True], [True, True, False, False]],
    }
    records = runs_with(synthetic.study(seeds=(0, 1)), right)
    table = tables.image_comparisons(records, reference="sparse")
    runs = list(zip(table["head"], table["seed"], strict=True))
    assert runs == [("dense", 0), ("dense", 1), ("soft", 0), ("soft", 1)]
    assert table["only_head_right"].tolist() == [1, 2, 2, 2]
    assert table["only_reference_right"].tolist() == [1, 0, 0, 2]
    assert table["difference"].tolist() == [0.0, 0.5, 0.5, 0.0]
    # Turned around, what one head alone has right is what the other alone has right.
    reverse = tables.image_comparisons(records, reference="dense").query("head == 'sparse'")
    dense_rows = table[table["head"] == "dense"]
    assert reverse["only_head_right"].tolist() == dense_rows["only_reference_right"].tolist()
    assert reverse["p_value"].tolist() == dense_rows["p_value"].tolist()


def test_a_reference_that_was_not_trained_leaves_nothing_to_compare():
    records = runs_with(synthetic.study(seeds=(0,)), {"dense": [[True]], "soft": [[True]]})
    assert tables.image_comparisons(records, reference="sparse").empty


@pytest.fixture
def trained(results):
    """Two studies: one with three seeds, one with a single one."""
    for study in (synthetic.study("quick"), synthetic.study("single", seeds=(0,))):
        synthetic.write_all(study)
    return {study: loading.load(study, TrainNumbers) for study in ("quick", "single")}


def test_accuracy_is_that_of_the_paired_differences_in_points(trained):
    by_seed = tables.seed_differences(trained["quick"]).groupby("head")["difference"]
    for row in tables.effects(trained).query("study == 'quick'").itertuples():
        differences = by_seed.get_group(row.head)
        interval = [100 * value for value in t_interval(differences)]
        assert (row.value, row.low, row.high) == pytest.approx(interval)
        assert row.by_seed == pytest.approx(100 * differences)
        assert row.seeds == 3


def test_one_seed_has_no_interval(trained):
    rows = tables.effects(trained).query("study == 'single'")
    assert len(rows) and rows[["low", "high"]].isna().all(axis=None)


def test_the_papers_numbers_stand_beside_its_heads_alone(trained):
    table = tables.effects(trained).set_index(["study", "head"])["paper"]
    assert table["quick", "soft"] == pytest.approx(87.23 - 86.44)
    unpublished = [head not in paper.TEST_ACCURACY for _, head in table.index]
    assert table[unpublished].isna().all()
    rises = {"soft": 7.95 / 1.88, "sparse": 7.47 / 1.88}
    assert paper.over_dense(paper.RISE) == pytest.approx(rises)
