"""Values, differences and verdicts of made-up records; chapters with and without records."""

import pytest
from prose import refusal
from synthetic_modalities import records, trained

from moelib.modalities.report import tables
from moelib.modalities.report.tables import POINT, Comparison, gap
from moelib.records.record import RecordError, write_record
from moelib.report.statistics.hypotheses import (
    ABOVE,
    BELOW,
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    WITHIN,
)
from moelib.study.modalities import ModalityRun, load_modality_study


def test_the_gap_weighs_statements_and_connected_ones_alike():
    (record,) = records("top-2", [0.0])
    tests = record.numbers.tests
    tests["iid"] = tests["iid"].model_copy(update={"forms": {"statement": 0.9, "connected": 0.7}})
    tests["compositions"] = tests["iid"].model_copy(
        update={"forms": {"statement": 0.6, "connected": 0.8, "count": 0.1}}
    )
    assert gap(record) == pytest.approx(0.8 - 0.7)


SMALL, LARGE = [0.010, 0.012, 0.009, 0.011], [0.030, 0.031, 0.029, 0.030]


def family(kind: str = WITHIN, threshold: float = POINT):
    return (Comparison("H", "top-2", "dense", "top-2", "dense", "gap", kind, threshold),)


@pytest.mark.parametrize(
    ("arm", "zero", "expected", "verdict"),
    [
        (LARGE, SMALL, (WITHIN, POINT), CONTRADICTED),
        ([0.0101, 0.0120, 0.0089, 0.0110], SMALL, (WITHIN, POINT), SUPPORTED),
        ([0.00, 0.08, 0.01, 0.05], [0.04, 0.01, 0.06, 0.02], (WITHIN, POINT), INCONCLUSIVE),
        (LARGE, SMALL, (ABOVE, POINT), SUPPORTED),  # two points, where one was expected
        (LARGE, SMALL, (ABOVE, 0.03), CONTRADICTED),  # sure, and less than expected
        (SMALL, LARGE, (BELOW, -POINT), SUPPORTED),
        (LARGE[:3], SMALL[:3], (WITHIN, POINT), INCONCLUSIVE),  # of three seeds nothing is called
        ([0.03], [0.01], (WITHIN, POINT), INCONCLUSIVE),
    ],
)
def test_verdicts(arm, zero, expected, verdict):
    arms = records("top-2", arm) + records("dense", zero)
    (found,) = tables.judged(arms, family(*expected)).itertuples()
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(sum(arm) / len(arm) - sum(zero) / len(zero))


def test_seeds_are_paired_and_a_family_counts_whole():
    arms = records("top-2", [0.03, 0.031, 0.029]) + records("dense", [0.01, 0.012])
    (alone,) = tables.judged(arms, family(ABOVE, 0.0)).itertuples()
    assert alone.seeds == 2
    questions = (
        *family(ABOVE, 0.0),
        Comparison("I", "a hard split", "dense", "hard", "dense", "iid", BELOW, -POINT),
    )
    (first,) = tables.judged(arms, questions).itertuples()  # the second has no records, and counts
    assert first.adjusted == pytest.approx(2 * alone.adjusted)


def test_arms_stand_beside_a_baseline_over_the_seeds_that_they_share():
    runs = (
        records("dense", [0.01, 0.03]) + records("hard", [0.04, 0.05, 0.9]) + records("top-1", [])
    )
    (row,) = tables.beside(runs, "dense", "gap").itertuples()
    assert (row.head, row.seeds) == ("hard", 2)
    assert row.difference == pytest.approx(0.025) and row.low < 0.025 < row.high
    (row,) = tables.beside(runs, "dense", "iid").itertuples()
    assert row.difference == 0
    assert tables.beside(runs, "top-1", "gap").empty


def test_gaps_are_in_points_by_arm():
    row, _ = tables.gaps(records("top-2", [0.03, 0.05]) + records("dense", [0.01])).itertuples()
    assert row.by_seed == pytest.approx((3, 5)) and row.value == pytest.approx(4)


def test_records_of_other_settings_are_refused(results):
    study = load_modality_study("quick")
    other = study.model_copy(update={"data_seed": 5})
    for arm, settings in (("dense", study), ("top-2", other)):
        run = ModalityRun(settings, arm, 0)
        write_record(run.record_path("vlm-train"), trained(run, 0.8, 0.7))
    with refusal(RecordError, "top-2, seed 0", "data_seed"):
        tables.load("quick")
