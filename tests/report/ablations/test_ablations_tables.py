import numpy as np
import pytest
import synthetic
from scipy import stats

from moelib.records.kinds import TrainNumbers
from moelib.records.record import write_record
from moelib.report import loading
from moelib.report.ablations import tables, words
from moelib.report.accuracy import tables as accuracy_tables
from moelib.study.run import Run


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
    assert "hidden layer of dense adds 2.40 points" in claim
    write("soft", [500, 502, 499, 501, 500])
    write("soft-free", [500] * 5)
    assert next(words.answer([study.name])).data.startswith("**No part")


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
        and " for soft, which" in text
    )
