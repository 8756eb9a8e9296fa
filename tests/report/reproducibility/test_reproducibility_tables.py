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
from moelib.report.reproducibility.tables import efforts, energy, expenses
from moelib.study.run import Run, results_root

pytestmark = pytest.mark.usefixtures("results")


def test_origins_count_records_of_like_circumstances():
    synthetic.write_all(synthetic.study())
    records = [*loading.load("tiny", TrainNumbers), *loading.load("tiny", UtilizationNumbers)]
    (row,) = tables.origins(records).itertuples()
    assert (row.records, row.code) == (15, "changed since")
    inputs = {"code": training_code(records[0].study, records[0].head)}
    one = records[0].model_copy(update={"inputs": inputs})
    table = tables.origins([one, *records[1:]])
    assert list(table["records"]) == [1, 14]
    assert list(table["code"]) == ["as today", "changed since"]


def test_recipes_are_a_row_for_each_study():
    table = tables.recipes([synthetic.study(), synthetic.study("other", learning_rate=0.5)])
    assert list(table["study"]) == ["tiny", "other"]
    assert list(table["learning_rate"]) == [0.1, 0.5]


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


def test_efforts_are_the_median_minutes_of_each_notebook(records):
    (row,) = efforts(records).to_dict("records")
    assert row == {"study": "tiny", "train": 4.5 * 60, "utilization": 30}
    assert efforts([]).empty


def test_hours_are_summed_by_kind(records):
    (row,) = expenses(records).to_dict("records")
    assert (row["heads"], row["records"]) == (2, 6)
    assert row["training"] == pytest.approx(3 + 3 + 6 + 6)
    assert row["analyses"] == pytest.approx(1)


def test_a_gpu_is_a_device_of_its_own(records):
    with_gpu = [*records, with_duration(records[0], HOUR, device="a gpu", epoch_seconds=(HOUR,))]
    table = expenses(with_gpu).set_index("device")
    assert list(table["training"]) == pytest.approx([18, 1])
    assert np.isnan(table.loc["a gpu", "analyses"])
    assert expenses([]).empty


def test_one_seed_is_a_run_of_each_head(records):
    (row,) = expenses(records).to_dict("records")
    assert row["seconds_per_epoch"] == pytest.approx(1.5 * HOUR)
    assert row["seed_hours"] == pytest.approx(3 + 6)
    assert row["analysed_seed_hours"] == pytest.approx(9.5)  # one head has experts
    assert row["seeds_hours"] == pytest.approx(10 * 9.5)
    assert row["epochs_hours"] == pytest.approx(9 * 50 / 3 + 0.5)  # analyses do not grow


def test_an_epoch_beside_other_work_does_not_count_for_more(records):
    slow = (HOUR, HOUR, 50 * HOUR)
    uneven = [with_duration(records[0], sum(slow), epoch_seconds=slow), *records[1:]]
    one_seed = ["seconds_per_epoch", "seed_hours", "analysed_seed_hours"]
    assert expenses(uneven)[one_seed].equals(expenses(records)[one_seed])


def test_without_training_on_a_device_nothing_is_said_of_a_seed(records):
    (row,) = expenses([record for record in records if record.kind != "train"]).itertuples()
    assert row.analyses == pytest.approx(1)
    assert np.isnan([row.training, row.seed_hours, row.analysed_seed_hours]).all()


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
    elsewhere = sessions()["paper"][1]
    there = elsewhere.provenance.model_copy(update={"device": "a CPU"})
    write_record(
        results_root() / "paper/sessions/1.json",
        elsewhere.model_copy(update={"provenance": there}),
    )
    first, second = energy(sessions()).to_dict("records")
    assert (first["hours"], second["hours"]) == (1, 1) and second["device"] == "a CPU"
    assert first["kilowatt_hours"] == pytest.approx(2) and np.isnan(second["kilowatt_hours"])
    unread = {"paper": [r for r in sessions()["paper"] if r.numbers.energy_joules is None]}
    assert np.isnan(energy(unread)["kilowatt_hours"].iloc[0])
