import numpy as np
import pandas as pd
import pytest
import synthetic

from moelib.report import comparisons, frames, loading
from moelib.report.statistics import kendall, t_interval
from moelib.study.run import Run


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
    several = comparisons.accuracy(runs_with(study, {"dense": bits})).iloc[0]
    assert (several["seeds"], several["interval_over"]) == (2, "seeds")
    assert (several["mean"], several["low"]) == pytest.approx(t_interval([0.75, 0.5])[:2])
    single = comparisons.accuracy(runs_with(study, {"dense": bits[:1]})).iloc[0]
    assert (single["mean"], single["interval_over"]) == (0.75, "test images")
    assert np.isnan(single["deviation"])
    assert 0 < single["low"] < 0.75 < single["high"] < 1


def test_differences_pair_runs_of_the_same_seed():
    right = {
        "dense": [[True, True, False, False], [True, True, True, False]],  # 0.5, 0.75
        "soft": [[True, True, True, False], [True, True, True, True]],  # 0.75, 1.0
    }
    records = runs_with(synthetic.study(seeds=(0, 1)), right)
    by_seed = comparisons.seed_differences(records)
    assert list(by_seed["difference"]) == [0.25, 0.25]
    compared = comparisons.differences(records).iloc[0]
    # Unpaired, the spread of seeds would hide it; paired, both seeds agree to the last digit.
    assert (compared["difference"], compared["low"], compared["high"]) == (0.25, 0.25, 0.25)
    assert compared["verdict"] == "not distinguishable"


def test_without_a_dense_head_or_a_second_seed_nothing_is_compared():
    study = synthetic.study(seeds=(0,))
    soft = runs_with(study, {"soft": [[True, False]]})
    assert comparisons.differences(soft).empty
    assert comparisons.image_comparisons(soft).empty
    assert comparisons.differences(runs_with(study, {"dense": [[True]], "soft": [[True]]})).empty


def test_only_heads_with_like_experts_and_a_gate_that_learns_are_compared_with_a_frozen_one():
    study = synthetic.study(
        seeds=(0, 1),
        heads={
            name: {"kind": kind, "experts": 4, "hidden": 8, **more}
            for name, kind, more in (
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
    usage = [_informed(record, 0.5 if record.head == "sparse" else 0.2) for record in usage]
    accuracy = comparisons.accuracy_beyond_frozen(runs_with(study, right))
    information = comparisons.information_beyond_frozen(usage)
    assert list(accuracy["head"]) == list(information["head"]) == ["sparse"]
    assert accuracy["by_seed"].item() == (0.5, 0.0)
    assert information["difference"].item() == pytest.approx(0.3)
    without = [record for record in usage if record.head != "frozen"]
    assert comparisons.information_beyond_frozen(without).empty


def _informed(record, nats: float):
    """The record with so much information between class and expert on test images."""
    usage = record.numbers.test
    usage = usage.model_copy(
        update={"information": usage.information.model_copy(update={"value": nats})}
    )
    return record.model_copy(update={"numbers": record.numbers.model_copy(update={"test": usage})})


def test_image_comparison_counts_where_one_net_is_right():
    right = {"dense": [[True, False, True, False]], "sparse": [[True, True, False, True]]}
    row = comparisons.image_comparisons(runs_with(synthetic.study(), right)).iloc[0]
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
    table = comparisons.image_comparisons(records, reference="sparse")
    runs = list(zip(table["head"], table["seed"], strict=True))
    assert runs == [("dense", 0), ("dense", 1), ("soft", 0), ("soft", 1)]
    assert table["only_head_right"].tolist() == [1, 2, 2, 2]
    assert table["only_reference_right"].tolist() == [1, 0, 0, 2]
    assert table["difference"].tolist() == [0.0, 0.5, 0.5, 0.0]
    # Turned around, what one head alone has right is what the other alone has right.
    back = comparisons.image_comparisons(records, reference="dense").query("head == 'sparse'")
    of_dense = table[table["head"] == "dense"]
    assert back["only_head_right"].tolist() == of_dense["only_reference_right"].tolist()
    assert back["p_value"].tolist() == of_dense["p_value"].tolist()


def test_a_reference_that_was_not_trained_leaves_nothing_to_compare():
    records = runs_with(synthetic.study(seeds=(0,)), {"dense": [[True]], "soft": [[True]]})
    assert comparisons.image_comparisons(records, reference="sparse").empty


# -- curvature ------------------------------------------------------------------------------------


def curvature(by_head, seeds=(0, 1, 2)):
    """`by_head[head]`: the largest eigenvalue of each seed; 30 times as large on test images."""
    study = synthetic.study(seeds=seeds)
    return frames.curvature(
        synthetic.sharp(Run(study, head, seed), value, 30 * value)
        for head, values in by_head.items()
        for seed, value in zip(seeds, values, strict=True)
    )


def test_ratios_are_paired_by_seed_and_averaged_as_factors():
    table = comparisons.ratios(
        curvature({"dense": (1.0, 10.0, 100.0), "soft": (2.0, 10.0, 400.0)}), "lambda_max"
    )
    assert list(table["split"]) == ["train", "test"]
    row = table.iloc[0]
    assert row["by_seed"] == pytest.approx((2.0, 1.0, 4.0))
    assert row["ratio"] == pytest.approx(2.0)  # the geometric mean of 2, 1 and 4
    expected = np.exp(t_interval(np.log([2.0, 1.0, 4.0])))
    assert (row["ratio"], row["low"], row["high"]) == pytest.approx(tuple(expected))
    assert row["verdict"] == "not distinguishable"


def test_ratios_do_not_depend_on_the_scale_of_a_measure():
    frame = curvature({"dense": (1.0, 2.0, 3.0), "sparse": (2.0, 5.0, 7.0)})
    first = comparisons.ratios(frame, "lambda_max")
    second = comparisons.ratios(frame.assign(lambda_max=100 * frame["lambda_max"]), "lambda_max")
    numbers = ["ratio", "low", "high"]
    assert np.allclose(first[numbers], second[numbers])
    assert list(first["verdict"]) == ["higher", "higher"]


def test_a_ratio_can_be_to_another_head():
    frame = curvature({"soft": (2.0, 2.0, 2.0), "sparse": (1.0, 1.0, 1.0)})
    table = comparisons.ratios(frame, "trace", reference="sparse")
    assert list(table["head"]) == ["soft", "soft"]
    assert table["ratio"].tolist() == pytest.approx([2.0, 2.0])
    assert comparisons.ratios(frame, "trace").empty  # there is no dense head


def test_one_seed_has_a_ratio_and_no_interval():
    row = comparisons.ratios(curvature({"dense": (1.0,), "soft": (3.0,)}, (0,)), "trace").iloc[0]
    assert (row["seeds"], row["ratio"]) == (1, pytest.approx(3.0))
    assert pd.isna(row[["low", "high", "verdict"]]).all()


def test_a_value_that_is_not_above_0_has_no_ratio():
    frame = curvature({"dense": (1.0, 1.0, 1.0), "soft": (2.0, 2.0, 3.0)})
    frame.loc[frame["head"] == "soft", "trace"] = [-1.0, 5.0, 1.0, 5.0, 1.0, 5.0]
    table = comparisons.ratios(frame, "trace")
    assert table["ratio"].isna().tolist() == [True, False]
    assert pd.isna(table["verdict"][0])


def test_orders_are_kendalls_tau_over_all_runs_of_a_split():
    sharp = curvature({"dense": (1.0, 2.0, 3.0), "soft": (4.0, 5.0, 6.0)})
    frame = sharp.assign(test_accuracy=[0.9, 0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.6, 0.4, 0.4, 0.5, 0.5])
    table = comparisons.orders(frame, ["lambda_max", "trace"])
    assert list(table["measure"]) == ["lambda_max", "trace"] * 2
    assert list(table["runs"]) == [6] * 4
    expected = kendall([1, 2, 3, 4, 5, 6], [0.9, 0.8, 0.7, 0.6, 0.4, 0.5])
    assert tuple(table.iloc[0][["tau", "low", "high", "p_value"]]) == pytest.approx(expected)
    assert table["tau"][0] == pytest.approx(-13 / 15)  # one of 15 pairs agrees


def test_an_order_is_also_judged_without_each_family_of_heads():
    sharp = curvature({"dense": (1.0, 2.0, 3.0), "soft": (4.0, 5.0, 6.0), "sparse": (0.5, 7, 8)})
    accuracy = [0.1, 0.2, 0.3, 0.6, 0.5, 0.4, 0.7, 0.8, 0.9]  # soft alone is in no such order
    frame = sharp.assign(test_accuracy=[value for value in accuracy for _ in range(2)])
    values, taus = sharp["lambda_max"][::2].to_numpy(), []
    for start in (0, 3, 6):
        kept = [i for i in range(9) if not start <= i < start + 3]
        taus.append(kendall(values[kept], [accuracy[i] for i in kept]).tau)
    found = comparisons.orders(frame, ["lambda_max"]).iloc[0]
    assert found["without"] == pytest.approx((min(taus), max(taus)))
    alike = frame.assign(test_accuracy=[0.5] * 12 + [0.6, 0.6, 0.7, 0.7, 0.8, 0.8])
    assert comparisons.orders(alike, ["lambda_max"])["without"][0] == ()  # no tau without sparse
    two = frame[frame["head"] != "sparse"]
    assert comparisons.orders(two, ["lambda_max"])["without"][0] == ()


def test_what_has_no_order_has_no_row():
    sharp = curvature({"dense": (1.0, 2.0, 3.0)})
    assert comparisons.orders(sharp.assign(test_accuracy=sharp["lambda_max"]), ["trace"]).empty
    more = curvature({"dense": (1.0, 2.0, 3.0), "soft": (4.0, 5.0, 6.0)})
    assert comparisons.orders(more.assign(test_accuracy=0.9), ["lambda_max"]).empty
    varied = more.assign(test_accuracy=more["lambda_max"])
    assert comparisons.orders(varied, ["adaptive_max"]).empty  # the same for all runs


# -- another implementation -----------------------------------------------------------------------


def test_crosscheck_judges_each_list_as_it_was_returned(results):
    synthetic.write_crosscheck()
    records = loading.crosschecks()
    assert list(records) == ["dense.some-cpu.json"]
    table = comparisons.crosscheck(records.values()).set_index("way")
    assert list(table.index) == [
        "reference, float64",
        "this project",
        "PyHessian, seed 0",
        "PyHessian, seed 1",
    ]
    assert table["sorted"].tolist() == [True, True, True, False]
    # 6.03 of 6, 9.9 of 10, and 10 where 8 belongs.
    assert table["worst_error"].tolist() == pytest.approx([0, 0.005, 0.01, 0.25])
    assert table["trace_error"].tolist() == pytest.approx([0, 0.01, -0.25, 0])
    assert table["probes"].tolist() == [20, 20, 2, 3]
