import numpy as np
import pytest
import series
import synthetic

from moelib.records.kinds import CrosscheckNumbers
from moelib.report import comparisons, loading
from moelib.report.sharpness import tables
from moelib.study.run import Run


def test_curvature_has_one_row_per_run_and_split():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 1), train=2.0, test=60.0, trace=10.0)
    table = tables.curvature([record])
    assert list(table["split"]) == ["train", "test"]
    row = table.iloc[1]
    assert (row["study"], row["head"], row["seed"], row["epoch"]) == ("tiny", "soft", 1, 3)
    assert (row["lambda_max"], row["lambda_min"]) == (60.0, -3.0)
    assert row["top"] == (60.0, 30.0, 20.0, 15.0, 12.0)
    assert (row["trace"], row["trace_error"]) == (600.0, 6.0)
    assert (row["matched_temperature"], row["matched_max"]) == (2.5, 20.0)
    assert row["adaptive_trace_error"] == pytest.approx(0.03)


def test_a_loss_that_no_temperature_gives_has_no_matched_curvature():
    record = synthetic.sharp(Run(synthetic.study(), "dense", 0))
    unmatched = record.numbers.train.model_copy(update={"matched": None})
    record = record.model_copy(
        update={"numbers": record.numbers.model_copy(update={"train": unmatched})}
    )
    table = tables.curvature([record])
    matched = table[["matched_temperature", "matched_max", "matched_trace"]]
    assert matched.isna().all(axis=1).tolist() == [True, False]


def test_traces_of_groups_have_one_row_per_group():
    run = Run(synthetic.study(), "soft", 0)
    table = tables.group_traces([synthetic.sharp(run, train=2.0)]).query("split == 'train'")
    assert list(table["group"]) == ["all", "backbone", "head", "gate", "experts", "expert 0"]
    gate = table.query("group == 'gate'").iloc[0]
    assert (gate["trace"], gate["trace_error"]) == (2.0, 0.02)


def test_a_density_integrates_to_1_and_has_the_weight_of_its_nodes():
    table = tables.densities([synthetic.sharp(Run(synthetic.study(), "soft", 0), train=2.0)])
    curve = table.query("split == 'train'")
    eigenvalue, density = curve["eigenvalue"].to_numpy(), curve["density"].to_numpy()
    # The grid ends four deviations beyond the last node: 6e-5 of its weight lie outside.
    assert np.trapezoid(density, eigenvalue) == pytest.approx(1, abs=1e-5)
    top = eigenvalue > 1.5  # the node at 2 alone, of weight 0.01; the next is at 1
    assert np.trapezoid(density[top], eigenvalue[top]) == pytest.approx(0.01, rel=1e-3)
    peak = 0.96 / (0.021 * np.sqrt(2 * np.pi))  # of the node at 0; the one at -0.1 adds nothing
    assert density.max() == pytest.approx(peak, rel=0.01)  # a grid point lies within bandwidth / 8


def with_train(record, **changes):
    """The same record of sharpness with other curvature on training images."""
    train = record.numbers.train.model_copy(update=changes)
    return record.model_copy(update={"numbers": record.numbers.model_copy(update={"train": train})})


def test_eigenvalues_converge_by_the_residual_that_the_study_asks_for():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0), train=2.0)
    eigenvalues = record.numbers.train.eigenvalues  # 2 down to 0.4, residuals of 0.002; lowest -0.1
    assert record.study.analyses.sharpness.residual == 0.01
    table = tables.curvature([record])
    assert table["lambda_max_converged"].all()
    assert not table["lambda_min_converged"].any()  # 0.002 is 2 % of -0.1, 0.06 of -3
    loose = eigenvalues.model_copy(update={"residuals": (0.002, 0.002, 0.002, 0.002, 0.005)})
    near = eigenvalues.model_copy(update={"lowest_residual": 0.0009})
    assert not tables.curvature([with_train(record, eigenvalues=loose)])["lambda_max_converged"][0]
    assert tables.curvature([with_train(record, eigenvalues=near)])["lambda_min_converged"][0]


def test_small_eigenvalues_converge_by_a_share_of_the_largest():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0), train=2.0)
    eigenvalues = record.numbers.train.eigenvalues
    tiny = {"largest": (2.0, 1e-6), "lowest": -1e-6, "lowest_residual": 1e-4}
    for residual, converged in ((1e-4, True), (3e-4, False)):  # allowed: 0.01 of 0.01 of 2
        small = eigenvalues.model_copy(update={**tiny, "residuals": (0.001, residual)})
        row = tables.curvature([with_train(record, eigenvalues=small)]).iloc[0]
        assert row["lambda_max_converged"] == converged
        assert row["lambda_min_converged"]


def test_a_loss_that_no_temperature_matches_leaves_its_columns_empty():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0))
    complete = tables.curvature([record])
    train, test = (
        part.model_copy(update={"matched": None})
        for part in (record.numbers.train, record.numbers.test)
    )
    numbers = record.numbers.model_copy(update={"train": train, "test": test})
    table = tables.curvature([record.model_copy(update={"numbers": numbers})])
    assert list(table) == list(complete)
    empty = [name for name in table if table[name].isna().all()]
    assert empty == [name for name in table if name.startswith("matched_")]
    assert len(empty) == 7


def test_sharpness_has_a_panel_for_each_split():
    records = series.sharp(synthetic.study(seeds=(0, 1)), {"dense": (1, 2), "soft": (2, 8)})
    table = tables.effects({"quick": records}, "lambda_max").query("head == 'soft'")
    assert len(table["panel"].unique()) == 2
    expected = comparisons.ratios(tables.curvature(records), "lambda_max")
    assert list(table["value"]) == list(expected.query("head == 'soft'")["ratio"])


def test_crosscheck_judges_each_list_as_it_was_returned(results):
    synthetic.write_crosscheck()
    records = loading.of_scripts("crosscheck", CrosscheckNumbers)
    assert list(records) == ["dense.some-cpu.json"]
    table = tables.crosscheck(records.values()).set_index("way")
    assert list(table.index) == [
        "reference, float64",
        "this project",
        "PyHessian, seed 0",
        "PyHessian, seed 1",
    ]
    # 6.03 of 6, 9.9 of 10, and 10 where 8 belongs.
    assert table["worst_error"].tolist() == pytest.approx([0, 0.005, 0.01, 0.25])
    assert table["trace_error"].tolist() == pytest.approx([0, 0.01, -0.25, 0])
    assert table["probes"].tolist() == [20, 20, 2, 3]
