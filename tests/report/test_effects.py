import pytest
import series
import synthetic

from moelib.records.kinds import TrainNumbers
from moelib.report import comparisons, effects, frames, loading, paper
from moelib.study.reader import parse_study
from moelib.study.run import Run


@pytest.fixture
def trained(results):
    """Two studies: one with three seeds, one with a single one."""
    for study in (synthetic.study("quick"), synthetic.study("single", seeds=(0,))):
        synthetic.write_all(study)
    return {study: loading.load(study, TrainNumbers) for study in ("quick", "single")}


def test_accuracy_is_that_of_the_paired_differences_in_points(trained):
    table = effects.accuracy(trained)
    paired = comparisons.differences(trained["quick"]).set_index("head")
    for row in table[table["study"] == "quick"].itertuples():
        assert row.value == pytest.approx(100 * paired.loc[row.head, "difference"])
        assert (row.low, row.high) == pytest.approx(
            (100 * paired.loc[row.head, "low"], 100 * paired.loc[row.head, "high"])
        )
        assert len(row.by_seed) == row.seeds == 3


def test_one_seed_has_no_interval(trained):
    alone = effects.accuracy(trained).query("study == 'single'")
    assert len(alone) and alone[["low", "high"]].isna().all(axis=None)


def test_the_papers_numbers_stand_beside_its_heads_alone(trained):
    table = effects.accuracy(trained).set_index(["study", "head"])["paper"]
    assert table["quick", "soft"] == pytest.approx(87.23 - 86.44)
    others = [head not in paper.TEST_ACCURACY for _, head in table.index]
    assert table[others].isna().all()
    rises = {"soft": 7.95 / 1.88, "sparse": 7.47 / 1.88}
    assert paper.over_dense(paper.RISE) == pytest.approx(rises)


def test_sharpness_has_a_panel_for_each_split():
    records = series.sharp(synthetic.study(seeds=(0, 1)), {"dense": (1, 2), "soft": (2, 8)})
    table = effects.sharpness({"quick": records}, "lambda_max").query("head == 'soft'")
    assert len(table["panel"].unique()) == 2
    expected = comparisons.ratios(frames.curvature(records), "lambda_max")
    assert list(table["value"]) == list(expected.query("head == 'soft'")["ratio"])


def test_a_study_of_many_heads_is_not_compared_head_by_head():
    few = [synthetic.trained(Run(synthetic.study(), "soft", seed)) for seed in (0, 1)]
    heads = {f"soft-h{size}": {"kind": "soft"} for size in range(9)}
    many = [synthetic.trained(Run(synthetic.study(heads=heads), "soft-h0", 0))]
    assert list(effects.few_heads({"few": few, "many": many, "none": []})) == ["few"]


def test_a_figure_holds_few_studies_the_first_and_those_of_the_papers_net_among_them():
    def of(name: str, backbone: dict) -> list:
        record = synthetic.trained(Run(synthetic.study(name), "soft", 0))
        kind = parse_study({**record.study.model_dump(mode="json"), "backbone": backbone}).backbone
        study = record.study.model_copy(update={"backbone": kind})
        return [record.model_copy(update={"study": study})]

    small, large = {"kind": "small_resnet", "widths": [4]}, {"kind": "resnet18"}
    records = {name: of(name, small) for name in "abcde"} | {"paper": of("paper", large)}
    assert list(effects.few_heads(records)) == ["a", "b", "c", "paper"]


def arm(name: str, protocol: dict, right: float, head: str = "sparse"):
    """A run of one head whose study has this protocol; so many of its test images are right."""
    study = synthetic.study(name, seeds=(0,))
    changed = study.protocol.model_copy(update=protocol)
    record = synthetic.trained(Run(study.model_copy(update={"protocol": changed}), head, 0))
    test = record.numbers.test.model_copy(update={"accuracy": right})
    return record.model_copy(update={"numbers": record.numbers.model_copy(update={"test": test})})


def test_a_switch_is_compared_with_the_run_that_differs_in_it_alone():
    records = {
        "base": [arm("base", {}, 0.8), arm("base", {}, 0.5, "soft")],
        "protocol-load": [arm("protocol-load", {"load": "importance"}, 0.7)],
        "protocol-both": [
            arm("protocol-both", {"load": "importance", "logit_dropout": True}, 0.6),
            arm("protocol-both", {"load": "importance", "logit_dropout": True}, 0.4, "soft"),
        ],
    }
    table = effects.switches(records).set_index(["panel", "head"])["value"]
    # A soft head has no load: for it the second study switches logit dropout alone.
    assert table.to_dict() == pytest.approx(
        {("load", "sparse"): -10, ("logit_dropout", "sparse"): -10, ("logit_dropout", "soft"): -10}
    )


def test_a_part_is_what_a_head_has_beyond_the_one_without_it(results):
    heads = {"dense": {"hidden": 8}, "linear": {}, "soft": {"experts": 4}}
    study = synthetic.study(heads=heads)
    synthetic.write_all(study)
    records = {study.name: loading.load(study.name, TrainNumbers)}
    table = effects.parts(records)
    runs = frames.finals(records[study.name]).pivot(
        index="seed", columns="head", values="test_accuracy"
    )
    (row,) = table.itertuples()
    assert row.head == "dense-layer"
    assert row.by_seed == pytest.approx(tuple(100 * (runs["dense"] - runs["linear"])))
