"""How records came about, and what studies took: counts and sums against closed forms."""

import numpy as np
import pytest
import synthetic

from moelib.records.benchmarks import SessionNumbers, Task
from moelib.records.freshness import training_code
from moelib.records.kinds import TrainNumbers, UtilizationNumbers
from moelib.records.record import Record, write_record
from moelib.report import loading
from moelib.report.loading import sessions
from moelib.report.reproducibility import tables
from moelib.report.reproducibility.tables import energy, expenses, projections
from moelib.study.run import Run, results_root

pytestmark = pytest.mark.usefixtures("results")


def test_origins_and_machines_count_records_of_like_circumstances():
    synthetic.write_all(synthetic.study())
    records = [*loading.load("tiny", TrainNumbers), *loading.load("tiny", UtilizationNumbers)]
    origins = tables.origins(records)
    assert list(origins["kind"]) == ["train", "utilization"]
    assert list(origins["records"]) == [9, 6]
    assert list(origins["code"]) == ["changed since"] * 2
    inputs = {"code": training_code(records[0].study, records[0].head)}
    (row,) = tables.origins([records[0].model_copy(update={"inputs": inputs})]).itertuples()
    assert row.code == "as today"
    assert list(tables.machines(records)["records"]) == [15]


def test_recipes_are_a_row_for_each_study():
    table = tables.recipes([synthetic.study(), synthetic.study("other", learning_rate=0.5)])
    assert list(table["study"]) == ["tiny", "other"]
    assert list(table["learning_rate"]) == [0.1, 0.5]


def test_efforts_sum_the_time_of_each_notebook_of_a_study():
    synthetic.write_all(synthetic.study())
    records = loading.load("tiny", TrainNumbers)
    (row,) = tables.efforts(records).itertuples()
    minutes = [record.provenance.wall_time_s / 60 for record in records]
    assert (row.records, row.all) == (9, pytest.approx(sum(minutes)))
    assert min(minutes) <= row.one <= max(minutes)
    assert "notebooks/train.ipynb" in row.command and "-p study tiny" in row.command


def test_without_records_there_are_no_efforts():
    assert tables.efforts([]).empty


HOUR = 3600.0


def with_duration(record, seconds, **provenance):
    """The same record as if it had taken so long."""
    update = {"wall_time_s": seconds, "cpu": "a cpu", "device": "a cpu", "threads": 1, **provenance}
    return record.model_copy(update={"provenance": record.provenance.model_copy(update=update)})


@pytest.fixture
def records():
    """Two heads and two seeds; each epoch of three lasts an hour of dense, two of soft."""
    study = synthetic.study(seeds=(0, 1), heads={"dense": {"hidden": 8}, "soft": {"experts": 4}})
    records = []
    for head, hours in {"dense": 1, "soft": 2}.items():
        for seed in study.seeds:
            run = Run(study, head, seed)
            epochs = (hours * HOUR,) * 3
            records.append(
                with_duration(synthetic.trained(run), 3 * hours * HOUR, epoch_seconds=epochs)
            )
            if head == "soft":
                records.append(with_duration(synthetic.analysed(run), HOUR / 2))
    return records


def test_hours_are_summed_by_kind_and_times_the_threads(records):
    (row,) = expenses(records).to_dict("records")
    assert (row["runs"], row["records"]) == (4, 6)
    assert row["training"] == pytest.approx(3 + 3 + 6 + 6)
    assert row["analyses"] == pytest.approx(1) and row["core_hours"] == pytest.approx(19)
    assert np.isnan(row["gpu_hours"])
    two_threads = [
        with_duration(record, record.provenance.wall_time_s, threads=2) for record in records
    ]
    assert expenses(two_threads)["core_hours"].tolist() == pytest.approx([38])


def test_a_gpu_is_a_device_of_its_own(records):
    with_gpu = [*records, with_duration(records[0], HOUR, device="a gpu")]
    table = expenses(with_gpu).set_index("device")
    assert table.loc["a gpu", "gpu_hours"] == pytest.approx(1)
    assert np.isnan(table.loc["a gpu", "core_hours"])
    assert expenses([]).empty


def test_other_sizes_follow_from_one_seed(records):
    (row,) = projections(records, seeds=5, epochs=30).to_dict("records")
    assert row["seconds_per_epoch"] == pytest.approx(1.5 * HOUR)
    assert row["seed_hours"] == pytest.approx(3 + 6)
    assert row["analysed_seed_hours"] == pytest.approx(9.5)  # one head has experts
    assert row["seeds_hours"] == pytest.approx(47.5)
    assert row["epochs_hours"] == pytest.approx(90.5)


def test_an_epoch_beside_other_work_does_not_count_for_more(records):
    slow = (HOUR, HOUR, 50 * HOUR)
    uneven = [with_duration(records[0], sum(slow), epoch_seconds=slow), *records[1:]]
    assert projections(uneven, 5, 30).equals(projections(records, 5, 30))


def test_a_study_without_training_on_a_device_has_no_row(records):
    assert projections([], 5, 30).empty
    assert projections([record for record in records if record.kind != "train"], 5, 30).empty


def test_energy_is_summed_where_it_could_be_read(results):
    study = synthetic.study("paper")
    write_record(
        Run(study, "dense", 0).record_path("train"), synthetic.trained(Run(study, "dense", 0))
    )
    assert sessions() == {}
    task = Task(head="dense", seed=0, kinds=("train",), start_s=0, end_s=5, succeeded=True)
    for number, joules in enumerate((7.2e6, None)):
        session = SessionNumbers(workers=1, seconds=HOUR, energy_joules=joules, tasks=(task,))
        provenance = synthetic.trained(Run(study, "dense", 0)).provenance
        record = Record[SessionNumbers](
            kind="session", study=study, inputs={}, numbers=session, provenance=provenance
        )
        write_record(results_root() / f"paper/sessions/{number}.json", record)
    (row,) = energy(sessions()).to_dict("records")
    assert row["sessions"] == 2 and row["hours"] == 2 and row["tasks"] == 2
    assert row["task_hours"] == pytest.approx(2 * 5 / HOUR)
    assert row["kilowatt_hours"] == pytest.approx(2)
    unread = {"paper": [r for r in sessions()["paper"] if r.numbers.energy_joules is None]}
    assert np.isnan(energy(unread)["kilowatt_hours"].iloc[0])
