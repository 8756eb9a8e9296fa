"""The title page: few findings, each with its chapter, the paper's own size among them."""

import prose
import pytest
import synthetic

from moelib.records.record import write_record
from moelib.report import answers, front
from moelib.report.claims.claims import CLAIMS
from moelib.study.reader import load_study
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results", "closed")


def lines(*studies: str) -> list[str]:
    """The findings alone, without what they are of."""
    return [line for line in front.findings(studies).data.splitlines() if line.startswith("1.")]


def test_each_finding_leads_to_its_chapter():
    study = synthetic.study()
    synthetic.write_all(study)
    synthetic.write_landscapes(study)
    pages = [line.rpartition("(")[2].partition(".")[0] for line in lines("tiny")]
    assert pages == ["accuracy", "utilization", "sharpness"]


def test_a_finding_is_the_first_claim_of_its_chapter():
    synthetic.write_all(synthetic.study())
    accuracy, *_ = lines("tiny")
    answer = next(front.CHAPTERS["accuracy"][1](["tiny"])).data
    assert accuracy.startswith(f"1. {answer.partition(chr(10))[0]} [More]")


def test_above_the_findings_stands_what_net_they_are_of():
    study = synthetic.study()
    synthetic.write_all(study)
    first = front.findings(["tiny"]).data.partition("\n")[0]
    assert "`tiny`" in first and f"{study.training.epochs} epochs" in first


def test_without_a_dense_head_the_title_page_can_be_read():
    synthetic.write_all(synthetic.study("paper", heads={"soft": {"experts": 4}}))
    first = front.findings(["paper"]).data.partition("\n")[0]
    assert "`paper`" in first and "dense" not in first


def test_where_the_head_alone_is_trained_has_a_finding_of_its_own():
    for seed in (0, 1):
        for head in ("linear", "dense", "soft"):
            run = Run(load_study("weak-backbone"), head, seed)
            write_record(run.record_path("train"), synthetic.trained(run))
    synthetic.write_all(synthetic.study())
    pages = [line.rpartition("(")[2].partition(".")[0] for line in lines("tiny", "weak-backbone")]
    assert pages[:2] == ["accuracy", "weak-backbone"]


def test_without_records_nothing_is_found():
    assert lines("nothing") == [] and answers.NOTHING in front.tally(["nothing"]).data


def test_a_figure_of_one_study_a_measure_and_a_tally_of_its_claims():
    synthetic.write_all(synthetic.study())
    tally = front.tally(["tiny"]).data
    claims, testable, *verdicts = map(int, prose.numbers(tally))
    assert "`tiny`" in tally and claims == len(CLAIMS) and testable == sum(verdicts) > 0
    assert "tiny" in front.at_a_glance(["tiny"]).data
    synthetic.write_all(synthetic.study("paper"))
    assert "`tiny`" in front.tally(["paper", "tiny"]).data
