import pytest
import synthetic

from moelib.records.kinds import TrainNumbers, UtilizationNumbers
from moelib.report import circumstances, loading

pytestmark = pytest.mark.usefixtures("results")


def test_origins_and_machines_count_records_of_like_circumstances():
    synthetic.write_all(synthetic.study())
    records = [*loading.load("tiny", TrainNumbers), *loading.load("tiny", UtilizationNumbers)]
    origins = circumstances.origins(records)
    assert list(origins["kind"]) == ["train", "utilization"]
    assert list(origins["records"]) == [9, 6]
    assert list(circumstances.machines(records)["records"]) == [15]


def test_durations_are_of_epochs_and_of_the_whole_training():
    synthetic.write_all(synthetic.study(seeds=(0,)))
    table = circumstances.durations(loading.load("tiny", TrainNumbers))
    assert list(table["epoch_seconds"]) == [2.0, 2.0, 2.0]  # of 1, 3 and 2 s
    assert list(table["epochs"]) == [3, 3, 3]


def test_recipes_are_a_row_for_each_study():
    found = circumstances.recipes([synthetic.study(), synthetic.study("other", learning_rate=0.5)])
    assert list(found["study"]) == ["tiny", "other"]
    assert list(found["learning_rate"]) == [0.1, 0.5]


def test_efforts_sum_the_time_of_each_notebook_of_a_study():
    synthetic.write_all(synthetic.study())
    records = loading.load("tiny", TrainNumbers)
    (row,) = circumstances.efforts(records).itertuples()
    minutes = [record.provenance.wall_time_s / 60 for record in records]
    assert (row.records, row.all) == (9, pytest.approx(sum(minutes)))
    assert min(minutes) <= row.one <= max(minutes)
    assert "notebooks/train.ipynb" in row.command and "-p study tiny" in row.command


def test_without_records_there_are_no_efforts():
    assert circumstances.efforts([]).empty
