import numpy as np
import pytest
import synthetic

from moelib.records.kinds import TrainNumbers, UtilizationNumbers
from moelib.report import loading
from moelib.report.utilization import tables
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")


def test_usage_is_in_shares_that_sum_to_1():
    synthetic.write_all(synthetic.study())
    trained = loading.load("tiny", TrainNumbers)
    analysed = loading.load("tiny", UtilizationNumbers)
    for table in (tables.expert_shares_by_epoch(trained), tables.expert_shares(analysed)):
        keys = [name for name in table.columns if name not in ("expert", "gate_mass", "selections")]
        sums = table.groupby(keys)[["gate_mass", "selections"]].sum()
        assert np.allclose(sums, 1)
        assert set(table["head"]) == {"soft", "sparse"}


def test_a_class_without_images_has_no_row():
    record = synthetic.analysed(Run(synthetic.study(), "soft", 0), (0.7, 0.1, 0.1, 0.1))
    table = tables.class_shares([record]).pivot(index="class", columns="expert", values="share")
    assert list(table.index) == [0, 2]
    assert list(table.loc[0]) == pytest.approx([0.7, 0.1, 0.1, 0.1])
    assert list(table.loc[2]) == pytest.approx([0.25] * 4)  # as shares


def runs_with(study, right):
    """Records of training, one for each (head, seed), from `right[head][seed]`."""
    return [
        synthetic.trained(Run(study, head, seed), np.array(bits))
        for head, by_seed in right.items()
        for seed, bits in enumerate(by_seed)
    ]


def test_only_heads_with_like_experts_and_a_gate_that_learns_are_compared_with_a_frozen_one():
    study = synthetic.study(
        seeds=(0, 1),
        heads={
            name: {"kind": kind, "experts": 4, "hidden": 8, **settings}
            for name, kind, settings in (
                ("soft", "soft", {}),
                ("frozen", "frozen", {"k": 2}),
                ("sparse", "sparse", {"k": 2}),
                ("sparse-wide", "sparse", {"k": 2, "hidden": 16}),
                ("sparse-k1", "sparse", {"k": 1}),
                ("sparse-cold", "sparse", {"k": 2, "temperature": 0.5}),
                ("frozen-too", "frozen", {"k": 2}),
            )
        },
    )
    right = {
        head: [[True, True, True, True], [True, True, False, False]] if head == "sparse" else base
        for base in [[[True, True, False, False]] * 2]
        for head in study.heads
    }
    runs = [Run(study, head, seed) for head in study.heads for seed in study.seeds]
    usage = [synthetic.analysed(run) for run in runs]
    usage = [with_information(record, 0.5 if record.head == "sparse" else 0.2) for record in usage]
    accuracy = tables.accuracy_beyond_frozen(runs_with(study, right))
    information = tables.information_beyond_frozen(usage)
    assert list(accuracy["head"]) == list(information["head"]) == ["sparse"]
    assert accuracy["by_seed"].item() == (0.5, 0.0)
    assert information["difference"].item() == pytest.approx(0.3)
    learned = [record for record in usage if record.head != "frozen"]
    assert tables.information_beyond_frozen(learned).empty


def with_information(record, nats: float):
    """The record with so much information between class and expert on test images."""
    usage = record.numbers.test
    usage = usage.model_copy(
        update={"information": usage.information.model_copy(update={"value": nats})}
    )
    return record.model_copy(update={"numbers": record.numbers.model_copy(update={"test": usage})})
