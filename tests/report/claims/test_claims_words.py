from functools import partial

import pytest
import synthetic

from moelib.records.record import write_record
from moelib.report import pages
from moelib.report.claims import claims, evidence, tables, words
from moelib.report.statistics.hypotheses import BELOW, INCONCLUSIVE
from moelib.report.thresholds import FITTED
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")


@pytest.fixture
def rows():
    for study in (synthetic.study("many"), synthetic.study("few", seeds=(0, 1))):
        synthetic.write_all(study)
        synthetic.write_landscapes(study)
    synthetic.write_all(synthetic.study("protocol-load"))
    return tables.verdicts(["few", "many", "protocol-load"])


def test_a_row_says_what_the_judgement_says(rows):
    assert list(dict.fromkeys(rows["study"])) == ["many", "few"]  # of most seeds first
    for row in rows.itertuples():
        assert row.verdict in pages.MARKS and row.n >= 1
        assert row.effect and "lambda_max" not in row.effect
    assert set(rows["claim"]) <= {claim.words for claim in claims.CLAIMS}


def test_a_figure_is_named_only_where_the_study_is_drawn_in_it(rows, monkeypatch):
    chapters = {claim.chapter for claim in claims.CLAIMS}
    assert set(rows["figure"]) <= {f"[tables]({chapter}-tables.ipynb)" for chapter in chapters}
    monkeypatch.setattr(tables.loading, "published", lambda: ["many"])
    links = tables.verdicts(["few", "many"]).set_index(["study", "number"])["figure"]
    assert links["many", 1] == "{numref}`accuracy`" and "tables" in links["few", 1]


def test_of_one_seed_no_claim_about_training_is_judged(results):
    synthetic.write_all(synthetic.study("one", seeds=(0,)))
    assert tables.verdicts(["one"]).empty


def test_times_without_a_valid_control_stand_as_undecided(results):
    study = synthetic.study("timed", seeds=(0,))
    synthetic.write_all(study)
    for head, times in (("dense", 1.1), ("soft", 1.2), ("sparse", 0.9)):
        run = Run(study, head, 0)
        write_record(run.record_path("efficiency"), synthetic.efficient(run, times, 11))
    (row,) = tables.verdicts(["timed"]).itertuples()
    assert (row.number, row.verdict) == (12, INCONCLUSIVE)
    assert "no valid control" in row.effect and row.adjusted == 1
    assert "nan" not in words.by_claim(tables.verdicts(["timed"])).data


def test_the_matrix_has_a_mark_for_each_claim_and_study(rows):
    lines = words.matrix(rows).data.splitlines()
    body = [line for line in lines if line.startswith("| ")][2:]
    assert len(body) == rows["claim"].nunique()
    marks = sum(line.count("{bdg-") for line in body)
    assert marks == len(rows)


def test_without_records_there_is_no_verdict():
    rows = tables.verdicts(["nothing"])
    assert "make book" in words.matrix(rows).data and "make book" in words.by_claim(rows).data


def test_each_claim_stands_with_its_rule(rows):
    text = words.by_claim(rows).data
    for claim in claims.CLAIMS:
        assert (f"**{claim.number}. {claim.words}**" in text) == (claim.words in set(rows["claim"]))
    assert f"{FITTED:.1%}" not in text  # no study here has the paper's net
    assert text.count("`many`") == (rows["study"] == "many").sum()
    assert ":::{dropdown}" in words.tests().data


def own_claim(number: int, head: str) -> claims.Claim:
    """That a head is less accurate than dense, with the evidence of the paper's first claim."""
    return claims.Claim(
        number=number, words=f"{head} is worse.", metric="Accuracy", holds="it is below 0",
        smallest=0.005, shown="accuracy", heads=(head,),
        evidence=partial(evidence.accuracy, BELOW, 0.0),
    )  # fmt: skip


def test_claims_of_ones_own_are_about_their_heads_and_change_none_of_the_papers(rows, monkeypatch):
    assert words.beyond_the_paper(["many"]) == []
    monkeypatch.setattr(words, "OWN", (own_claim(1, "sparse"), own_claim(2, "switch")))
    lead, shown = words.beyond_the_paper(["many"])
    assert "a family of 2." in lead.data and lead.data.endswith("tests *switch is worse.*.")
    assert "**1. sparse is worse.**" in shown.data and "sparse \N{MINUS SIGN} dense" in shown.data
    assert "soft" not in shown.data and "**2." not in shown.data
    papers = rows[rows["study"] == "many"].reset_index(drop=True)
    assert tables.verdicts(["many"]).equals(papers)
