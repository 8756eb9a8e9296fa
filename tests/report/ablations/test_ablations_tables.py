import numpy as np
import prose
import pytest
import synthetic
from scipy import stats

from moelib.records.kinds import TrainNumbers
from moelib.records.record import write_record
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


def test_a_part_is_called_only_after_correction_for_all_parts(results):
    """Of dense over linear p = 0.04; with soft's losses, of which nothing is seen, 0.08."""
    heads = {"dense": {"hidden": 8}, "linear": {}, "soft": {"experts": 4}}
    heads["soft-free"] = {"kind": "soft", "experts": 4}
    study = synthetic.study(heads=heads, seeds=(0, 1, 2, 3, 4))
    gains = np.array([20, 30, 50, 20, 0])

    def write(head, right):
        for seed, count in zip(study.seeds, right, strict=True):
            run = Run(study, head, seed)
            images = np.arange(1000) < count
            write_record(run.record_path("train"), synthetic.trained(run, images))

    write("linear", [500] * 5)
    write("dense", 500 + gains)
    p = stats.ttest_1samp(gains, 0).pvalue
    assert 0.05 < 2 * p < 0.1
    claim = next(words.answer([study.name])).data
    assert "hidden layer of dense brings 2.40 points" in claim
    write("soft", [500, 502, 499, 501, 500])
    write("soft-free", [500] * 5)
    assert next(words.answer([study.name])).data.startswith("**Not one part")


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


def test_departures_on_a_small_net_are_told_beside_the_nets_of_the_paper(results):
    """Of one net nothing is said; of both, how many are right: ours, and the authors' 86.44%."""
    small, large = arm("ablations", 0.8, "dense"), arm("paper", 0.95, "dense")
    assert words._on_large_nets({"ablations": [small]}) == ""
    told = words._on_large_nets({"ablations": [small], "paper": [large]})
    assert prose.numbers(told)[-2:] == ["95.0%", "86.44%"]
