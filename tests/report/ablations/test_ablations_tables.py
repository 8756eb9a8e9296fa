import pytest
import synthetic

from moelib.records.kinds import TrainNumbers
from moelib.report import loading
from moelib.report.ablations import tables
from moelib.report.accuracy import tables as accuracy_tables
from moelib.study.run import Run


def arm(name: str, switches: dict, right: float, head: str = "sparse"):
    """A run of one head whose study has this protocol; so many of its test images are right."""
    study = synthetic.study(name, seeds=(0,))
    protocol = study.protocol.model_copy(update=switches)
    record = synthetic.trained(Run(study.model_copy(update={"protocol": protocol}), head, 0))
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
    table = tables.switches(records).set_index(["panel", "head"])["value"]
    # A soft head has no load: for it the second study switches logit dropout alone.
    assert table.to_dict() == pytest.approx(
        {("load", "sparse"): -10, ("logit_dropout", "sparse"): -10, ("logit_dropout", "soft"): -10}
    )


def test_a_part_is_what_a_head_has_beyond_the_one_without_it(results):
    heads = {"dense": {"hidden": 8}, "linear": {}, "soft": {"experts": 4}}
    study = synthetic.study(heads=heads)
    synthetic.write_all(study)
    records = {study.name: loading.load(study.name, TrainNumbers)}
    table = tables.parts(records)
    runs = accuracy_tables.finals(records[study.name]).pivot(
        index="seed", columns="head", values="test_accuracy"
    )
    (row,) = table.itertuples()
    assert row.head == "dense-layer"
    assert row.by_seed == pytest.approx(tuple(100 * (runs["dense"] - runs["linear"])))
