import numpy as np
import pandas as pd
import pytest
import synthetic

from moelib.report import comparisons
from moelib.report.sharpness import tables as sharpness_tables
from moelib.report.statistics.intervals import kendall, t_interval
from moelib.study.run import Run


def curvature(by_head, seeds=(0, 1, 2)):
    """`by_head[head]`: the largest eigenvalue of each seed; 30 times as large on test images."""
    study = synthetic.study(seeds=seeds)
    return sharpness_tables.curvature(
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


def test_two_seeds_have_an_interval_and_are_not_judged():
    row = comparisons.ratios(
        curvature({"dense": (1.0, 2.0), "soft": (3.0, 6.01)}, (0, 1)), "trace"
    ).iloc[0]
    assert row["low"] > 1 and row["verdict"] is None


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
        rest = [run for run in range(9) if not start <= run < start + 3]
        taus.append(kendall(values[rest], [accuracy[run] for run in rest]).tau)
    row = comparisons.orders(frame, ["lambda_max"]).iloc[0]
    assert row["without"] == pytest.approx((min(taus), max(taus)))
    tied = frame.assign(test_accuracy=[0.5] * 12 + [0.6, 0.6, 0.7, 0.7, 0.8, 0.8])
    assert comparisons.orders(tied, ["lambda_max"])["without"][0] == ()  # no tau without sparse
    two_heads = frame[frame["head"] != "sparse"]
    assert comparisons.orders(two_heads, ["lambda_max"])["without"][0] == ()


def test_what_has_no_order_has_no_row():
    sharp = curvature({"dense": (1.0, 2.0, 3.0)})
    assert comparisons.orders(sharp.assign(test_accuracy=sharp["lambda_max"]), ["trace"]).empty
    two_heads = curvature({"dense": (1.0, 2.0, 3.0), "soft": (4.0, 5.0, 6.0)})
    assert comparisons.orders(two_heads.assign(test_accuracy=0.9), ["lambda_max"]).empty
    frame = two_heads.assign(test_accuracy=two_heads["lambda_max"])
    assert comparisons.orders(frame, ["adaptive_max"]).empty  # the same for all runs
