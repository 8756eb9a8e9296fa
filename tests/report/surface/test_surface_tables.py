import pytest
import synthetic

from moelib.report.surface import tables
from moelib.study.run import Run


def test_sweeps_have_the_rise_where_the_radius_is_positive():
    record = synthetic.surfaced(Run(synthetic.study(), "sparse", 0), bend=4.0)
    table = tables.sweeps([record]).query("direction == 'random 1' and split == 'test'")
    assert list(table["radius"]) == [-0.5, -0.25, 0, 0.25, 0.5]
    assert table["rise"].isna().tolist() == [True, True, True, False, False]
    assert list(table["rise"])[3:] == [0.25, 1.0]
    assert list(table["loss"])[-1] == 0.1 + 1.0 + 0.125
    assert list(table["rerouted"]) == [0.5, 0.25, 0, 0.25, 0.5]


def test_a_larger_sample_stands_beside_the_smaller_one():
    study = synthetic.study()
    sharp = [synthetic.sharp(Run(study, head, 0), train=2.0) for head in ("dense", "soft")]
    equal, larger = (synthetic.surfaced(Run(study, head, 0)) for head in ("dense", "soft"))
    numbers = larger.numbers.model_copy(update={"images": sharp[1].numbers.train.images + 1})
    table = tables.larger_sample(sharp, [equal, larger.model_copy(update={"numbers": numbers})])
    row = table.iloc[0]
    assert len(table) == 1
    assert (row["head"], row["lambda_max"], row["more_images"]) == ("soft", 2.0, numbers.images)
    assert row["ratio"] == numbers.eigenvalue / 2.0


def test_the_farthest_points_are_means_over_signs_and_directions():
    record = synthetic.surfaced(Run(synthetic.study(), "sparse", 0), bend=4.0)
    table = tables.farthest(tables.sweeps([record]))
    assert list(table["kind"]) == [tables.EIGENVECTOR] * 2 + [tables.RANDOM] * 2
    assert list(table["split"]) == ["train", "test"] * 2
    for row in table.itertuples():
        assert (row.radius, row.rise, row.rerouted) == (0.5, 1.0, 0.5)
        assert row.accuracy == pytest.approx(0.4)


def test_rises_are_those_of_the_farthest_points_of_each_run():
    study = synthetic.study()
    bends = {"soft": 4.0, "dense": 5.0}
    records = [synthetic.surfaced(Run(study, head, 0), bend) for head, bend in bends.items()]
    table = tables.rises(tables.sweeps(records))
    assert list(table["split"]) == ["train", "test"] * 2
    table = table.set_index(["head", "split"])
    for kind in (tables.EIGENVECTOR, tables.RANDOM):
        assert list(table.loc["soft", kind]) == [1.0, 1.0]  # bend r^2 at r = 0.5
        assert list(table.loc["dense", kind]) == [1.25, 1.25]


def test_heads_that_select_no_experts_reroute_nothing():
    table = tables.sweeps([synthetic.surfaced(Run(synthetic.study(), "soft", 0))])
    assert table["rerouted"].isna().all()


def test_planes_have_one_row_per_point():
    record = synthetic.surfaced(Run(synthetic.study(), "dense", 0), bend=4.0)
    table = tables.planes([record])
    assert len(table) == 2 * 5 * 5
    point = table.query("split == 'train' and first == 0.5 and second == -0.25").iloc[0]
    assert point["loss"] == 0.1 + 4 * (0.25 + 0.0625)
