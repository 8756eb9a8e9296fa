import pytest
import synthetic

from moelib.records.kinds import TrainNumbers
from moelib.report import loading
from moelib.report.ablations import tables, words
from moelib.report.accuracy import tables as accuracy_tables
from moelib.study.run import Run


def arm(name: str, right: float, head: str = "sparse"):
    """A run of one head of a study; so many of its test images are right."""
    record = synthetic.trained(Run(synthetic.study(name, seeds=(0,)), head, 0))
    test = record.numbers.test.model_copy(update={"accuracy": right})
    return record.model_copy(update={"numbers": record.numbers.model_copy(update={"test": test})})


def test_a_departure_is_compared_with_the_run_that_lacks_it_alone():
    records = {
        "ablations": [arm("ablations", 0.8), arm("ablations", 0.5, "soft")],
        "protocol-load": [arm("protocol-load", 0.7)],
        "protocol-logit-dropout": [
            arm("protocol-logit-dropout", 0.6), arm("protocol-logit-dropout", 0.4, "soft")
        ],
    }  # fmt: skip
    table = tables.switches(records).set_index(["panel", "head"])["value"]
    # A sparse head has no smooth load under dropout on logits: it is compared with protocol-load.
    dropped = {("dropout on logits", head): -10 for head in ("sparse", "soft")}
    assert table.to_dict() == pytest.approx({("importance as load", "sparse"): -10, **dropped})


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


def test_the_price_of_balance_is_told_head_by_head(results):
    assert "No study" in words.price_of_balance([]).data
    soft = {"experts": 4}
    heads = {
        "dense": {"hidden": 8},
        "linear": {},
        "soft": soft,
        "soft-free": {"kind": "soft", **soft},
    }
    study = synthetic.study(heads=heads)
    synthetic.write_all(study)
    text = words.price_of_balance([study.name]).data
    runs = accuracy_tables.finals(loading.load(study.name, TrainNumbers)).pivot(
        index="seed", columns="head", values="test_accuracy"
    )
    lost = 100 * (runs["soft"] - runs["soft-free"]).mean()
    assert (
        f"{'gains' if lost < 0 else 'loses'} {abs(lost):.2f} points" in text
        and "soft shares images out" in text
    )
