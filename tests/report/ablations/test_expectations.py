"""What was expected beside accuracy, judged by made-up records."""

import numpy as np
import pandas as pd
import prose
import pytest
import synthetic

from moelib.records.record import write_record
from moelib.report.ablations import departures, expectations
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from moelib.study.reader import load_study
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")

EVEN, TWO_DEAD = (0.25,) * 4, (0.5, 0.5, 0.0, 0.0)


def rows(tables) -> dict[str, str]:
    """The verdict of each row, by what was expected."""
    (table,) = tables
    cells = [line.strip("| ").split(" | ") for line in table.data.splitlines()[2:]]
    words = (SUPPORTED, CONTRADICTED, INCONCLUSIVE)
    return {cell[0]: next(word for word in words if word in cell[-1]) for cell in cells}


def of_departures():
    """What was expected of departures, judged by the records that there are."""
    return expectations.of_departures(departures.judge_expected())


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
    assert expectations.of_parts() == expectations.of_main_study() == []
    assert set(rows(of_departures()).values()) == {INCONCLUSIVE}


def test_dead_experts_are_counted():
    use("ablations", "switch-free", TWO_DEAD, TWO_DEAD, EVEN)
    use("ablations", "sparse-free", EVEN, TWO_DEAD, EVEN)
    assert expectations.of_parts() == []  # not all three are there
    use("ablations", "soft-free", EVEN, EVEN, TWO_DEAD)
    assert list(rows(expectations.of_parts()).values()) == [SUPPORTED, SUPPORTED, CONTRADICTED]


def test_more_dead_experts_contradict():
    use("ablations", "sparse", EVEN, EVEN)
    use("protocol-load", "sparse", EVEN, TWO_DEAD)
    verdicts = rows(of_departures())
    assert verdicts["importance as load, sparse: no dead experts more"] == CONTRADICTED


@pytest.mark.parametrize(("spread", "verdict"), [(0.02, CONTRADICTED), (0.0, INCONCLUSIVE)])
def test_heads_that_lose_unlike_contradict(spread, verdict):
    base = np.array([0.80, 0.81, 0.82, 0.80, 0.81])
    noise = 0.0003 * np.array([[0, 1, 2, 0, 1], [1, 2, 0, 1, 0], [2, 0, 1, 2, 2], [1, 0, 2, 1, 0]])
    for rank, head in enumerate(("dense", "soft", "sparse", "switch")):
        right("ablations", head, base)
        right("protocol-augment", head, base - 0.02 - spread * rank - noise[rank])
    assert rows(of_departures())["no augmentation: all four lose alike"] == verdict


def test_a_gate_that_never_learned_is_judged_in_the_main_study():
    sparse = np.array([0.90, 0.91, 0.92, 0.90, 0.91])
    right("cifar10-main", "sparse", sparse)
    right("cifar10-main", "frozen", sparse + 0.0002 * np.arange(5))
    first, *_, last = rows(expectations.of_main_study()).values()
    assert (first, last) == (SUPPORTED, INCONCLUSIVE)


@pytest.mark.parametrize(("holm", "within", "verdict"), [
    (0.01, 0.8, CONTRADICTED), (0.01, 0.2, INCONCLUSIVE), (0.2, 0.8, INCONCLUSIVE),
])  # fmt: skip
def test_sharpness_that_orders_runs_contradicts_and_few_runs_support_nothing(holm, within, verdict):
    rows = [
        {"outcome": "corruption_error", "holm": holm, "within": within, "runs": 12},
        {"outcome": "corruption_error", "holm": 1.0, "within": -0.1, "runs": 12},
        {"outcome": "brier", "holm": 0.001, "within": 0.9, "runs": 12},
    ]
    _, seen, judged = expectations._ordered(pd.DataFrame(rows))
    assert judged == verdict
    assert prose.numbers(seen)[:2] == ["\N{MINUS SIGN}0.10", f"+{within:.2f}"]
