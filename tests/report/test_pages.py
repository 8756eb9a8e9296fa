from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import synthetic
from IPython.display import SVG
from markdown_it import MarkdownIt

from moelib.report import pages
from moelib.study.run import Run


def test_table_formats_each_column_and_marks_what_is_missing():
    frame = pd.DataFrame({"a": ["x", "y"], "b": [-0.5, None], "c": [0.01, -0.02]})
    columns = {"a": ("A", ""), "b": ("B", ".1%"), "c": ("C", "points")}
    assert pages.table(frame, columns).data.splitlines() == [
        "| A | B | C |",
        "| :--- | ---: | ---: |",
        "| x | \N{MINUS SIGN}50.0% | +1.00 |",
        "| y | \N{EN DASH} | \N{MINUS SIGN}2.00 |",
    ]


def test_a_long_table_is_folded_under_its_headings():
    shown, folded = (
        pages.table(pd.DataFrame({"a": range(rows)}), {"a": ("A", "d")}).data.splitlines()
        for rows in (pages.LONGEST, pages.LONGEST + 1)
    )
    assert folded[0] == f":::{{dropdown}} {pages.LONGEST + 1} rows: A" and folded[-1] == ":::"
    assert folded[1:-2] == shown


def test_what_is_true_or_false_is_yes_or_no():
    frame = pd.DataFrame({"a": [True, False, None]}, dtype=object)
    lines = pages.table(frame, {"a": ("A", "")}).data.splitlines()
    assert lines[2:] == ["| yes |", "| no |", "| \N{EN DASH} |"]
    assert pages.table(pd.DataFrame({"a": [True]}), {"a": ("A", "")}).data.endswith("| yes |")


def test_rounded_numbers_have_no_exponent():
    frame = pd.DataFrame({"a": [25981.6, 0.16034]})
    lines = pages.table(frame, {"a": ("A", "rounded")}).data.splitlines()
    assert lines[1:] == ["| ---: |", "| 25,982 |", "| 0.16 |"]


def test_tuples_are_formatted_value_by_value():
    frame = pd.DataFrame({"a": [(0.01, -0.02)]})
    last = pages.table(frame, {"a": ("A", "points")}).data.splitlines()[-1]
    assert last == "| +1.00, \N{MINUS SIGN}2.00 |"


def test_an_overview_is_a_table_in_html_since_no_other_can_be_pasted():
    verdicts = pd.DataFrame({"claim": ["a < b", "c"], "quick": ["holds", None]})
    said = pages.overview(verdicts)
    rows = [[cell.text for cell in row] for row in ElementTree.fromstring(said.data).iter("tr")]
    assert rows == [["Claim", "quick"], ["a < b", "holds"], ["c", "\N{EN DASH}"]]


def test_orders_are_named_and_are_no_table_without_a_row():
    row = {"measure": "m", "split": "train", "runs": 4, "tau": 0.5, "low": 0.1, "high": 0.9}
    found = pd.DataFrame([{**row, "p_value": 0.03, "without": (0.25, 0.75)}])
    (table,) = pages.orders(found, {"m": "named"})
    assert table.data.splitlines()[-1] == (
        "| named | train | 4 | 0.50 | 0.10 | 0.90 | 0.03 | 0.25, 0.75 |"
    )
    assert pages.orders(found.iloc[:0], {"m": "named"}) == []


def test_source_names_study_and_seeds_and_links_each_record():
    study = synthetic.study(seeds=(0, 7))
    records = [synthetic.trained(Run(study, "soft", seed)) for seed in (0, 7)]
    said = pages.source(records, "Test images.").data
    assert "Test images. Study `tiny`, 2 seeds (0, 7)." in said
    assert "soft [0](../results/tiny/soft/seed-0/train.json), [7](../results/tiny/soft/" in said
    assert "Made by `make study STUDY=tiny`" in said


def test_studies_without_records_are_named():
    record = synthetic.trained(Run(synthetic.study(), "soft", 0))
    assert pages.absent({"a": [record]}) == []
    (said,) = pages.absent({"a": [record], "b": [], "c": []})
    assert "left out here: `b`, `c`." in said.data


@pytest.mark.parametrize("text", ["plain", "use `eig` now", "``a`` or `b`", "`begin", "end```"])
def test_quoted_text_is_one_piece_of_code_whatever_it_holds(text):
    said = pages.quoted("It says", [text]).data
    _, inline = MarkdownIt().parse(said)[:2]
    assert [part.content for part in inline.children if part.type == "code_inline"] == [text]
    assert inline.children[0].content == "It says " and inline.children[-1].content == "."


def test_sentences_are_escaped():
    assert "<b>a&lt;b</b>: c &amp; d" in pages.sentences({"a<b": "c & d"}).data


def test_a_study_of_which_nothing_is_said_is_not_named():
    assert pages.sentences({"a": " said", "b": ""}).data == "<ul><li><b>a</b>: said</li></ul>"


def test_figures_are_shown_as_vectors(monkeypatch):
    shown = []
    monkeypatch.setattr(pages, "display", shown.append)
    pages.show(plt.figure())
    assert isinstance(shown[0], SVG)
