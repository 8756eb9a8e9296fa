"""What was expected beside accuracy, judged by made-up records."""

import numpy as np
import pandas as pd
import prose
import pytest
import synthetic

from moelib.records.kinds import TrainNumbers
from moelib.records.record import read_record, write_record
from moelib.report.ablations import expectations
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from moelib.study.reader import load_study
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")

EVEN, TWO_DEAD = (0.25,) * 4, (0.5, 0.5, 0.0, 0.0)


def rows(tables) -> dict[str, str]:
    """The verdict of each row, by what was expected."""
    lines = [line for table in tables for line in table.data.splitlines()[2:]]
    words = (SUPPORTED, CONTRADICTED, INCONCLUSIVE)
    return {
        line.strip("| ").split(" | ")[0]: next(word for word in words if word in line)
        for line in lines
    }


def use(study, head, *gates):
    """Records of the use of experts, a seed for each tuple of gates."""
    for seed, mass in zip(load_study(study).seeds, gates, strict=False):
        run = Run(load_study(study), head, seed)
        write_record(run.record_path("utilization"), synthetic.analysed(run, mass))


def right(study, head, shares):
    """Records of training, with these shares of 10,000 test images right."""
    for seed, share in zip(load_study(study).seeds, shares, strict=False):
        run = Run(load_study(study), head, seed)
        images = np.arange(10_000) < round(10_000 * share)
        write_record(run.record_path("train"), synthetic.trained(run, images))


def test_without_records_nothing_is_told_of_the_studies():
    assert expectations.of_departures() == expectations.of_main_study() == []
    (text,) = expectations.of_parts()
    assert "make study STUDY=ablations" in text.data


def test_dead_experts_are_counted():
    use("ablations", "switch-free", TWO_DEAD, TWO_DEAD, EVEN)
    use("ablations", "sparse-free", EVEN, TWO_DEAD, EVEN)
    assert expectations._dead_without_losses() == []  # not all three are there
    use("ablations", "soft-free", EVEN, EVEN, TWO_DEAD)
    verdicts = rows(expectations._dead_without_losses())
    assert list(verdicts.values()) == [SUPPORTED, SUPPORTED, CONTRADICTED]


def test_more_dead_experts_contradict():
    use("ablations", "sparse", EVEN, EVEN)
    use("protocol-load", "sparse", EVEN, TWO_DEAD)
    verdicts = rows(expectations.of_departures())
    assert verdicts["importance as load, sparse: no additional dead experts"] == CONTRADICTED


@pytest.mark.parametrize(("spread", "verdict"), [(0.02, CONTRADICTED), (0.0, INCONCLUSIVE)])
def test_heads_that_lose_unlike_contradict(spread, verdict):
    base = np.array([0.80, 0.81, 0.82, 0.80, 0.81])
    noise = 0.0003 * np.array([[0, 1, 2, 0, 1], [1, 2, 0, 1, 0], [2, 0, 1, 2, 2], [1, 0, 2, 1, 0]])
    for rank, head in enumerate(("dense", "soft", "sparse", "switch")):
        right("ablations", head, base)
        right("protocol-augment", head, base - 0.02 - spread * rank - noise[rank])
    assert rows(expectations.of_departures())["no augmentation: all four lose alike"] == verdict


def test_a_gate_that_never_learned_is_judged_in_the_main_study():
    sparse = np.array([0.90, 0.91, 0.92, 0.90, 0.91])
    right("cifar10-main", "sparse", sparse)
    right("cifar10-main", "frozen", sparse + 0.0002 * np.arange(5))
    first, *_, last = rows(expectations.of_main_study()).values()
    assert (first, last) == (SUPPORTED, INCONCLUSIVE)


@pytest.mark.parametrize(("holm", "tau", "verdict"), [
    (0.01, 0.8, CONTRADICTED), (0.01, 0.2, INCONCLUSIVE), (0.2, 0.8, INCONCLUSIVE),
])  # fmt: skip
def test_sharpness_that_orders_runs_contradicts_and_few_runs_support_nothing(holm, tau, verdict):
    rows = [
        {"outcome": "corruption_error", "holm": holm, "tau": tau, "runs": 12},
        {"outcome": "corruption_error", "holm": 1.0, "tau": -0.1, "runs": 12},
        {"outcome": "brier", "holm": 0.001, "tau": 0.9, "runs": 12},
    ]
    _, seen, judged = expectations._ordered(pd.DataFrame(rows))
    assert judged == verdict
    assert prose.numbers(seen)[:2] == ["\N{MINUS SIGN}0.10", f"+{tau:.2f}"]


def test_what_parts_were_expected_to_bring_is_judged():
    dense = np.array([0.800, 0.801, 0.802, 0.800, 0.801])
    right("ablations", "dense", dense)
    right("ablations", "linear", dense - [0.030, 0.031, 0.029, 0.030, 0.030])
    answer, table = expectations.of_parts()  # and nothing of devices, which are the same
    assert prose.numbers(answer.data) == ["0", "1", "0"]
    cells = "| dense against linear | +3.00 (+2.91 to +3.09) points |"
    assert cells in table.data.replace("\xa0", " ")
    assert list(rows([table]).values()) == [CONTRADICTED]


def test_pairs_of_two_devices_are_counted():
    right("ablations", "dense", [0.7, 0.7, 0.7])
    right("ablations", "linear", [0.6, 0.6])
    path = Run(load_study("ablations"), "linear", 0).record_path("train")
    record = read_record(path, TrainNumbers)
    elsewhere = record.provenance.model_copy(update={"device": "another CPU"})
    write_record(path, record.model_copy(update={"provenance": elsewhere}))
    answer, _ = expectations.of_parts()
    assert prose.numbers(answer.data)[-2:] == ["1", "2"]


def test_each_measure_is_told_in_its_own_unit():
    judged = pd.DataFrame(
        {"question": "Why?", "head": "soft", "against": "dense", "measure": measure, "seeds": 3,
         "difference": 0.01, "low": 0.0, "high": 0.02, "hypothesis": "above 0", "adjusted": 0.1,
         "verdict": INCONCLUSIVE, "detectable": 0.05}
        for measure in ("test_accuracy", "information", "log_trace")
    )  # fmt: skip
    points, nats, times = expectations.table(judged).data.splitlines()[2:]
    assert "| +1.00 (" in points and "+2.00) points | rises |" in points and "| 5.00 |" in points
    assert "| +0.01 (" in nats and "nats" in nats and "5.00" not in nats
    assert "| 1.01 (" in times and "times the trace" in times
