import base64
import json
import re
from io import StringIO
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pandas as pd
import prose
import pytest
import synthetic
from markdown_it import MarkdownIt

from moelib.records.freshness import script_code
from moelib.report import forest, pages
from moelib.report.effects import COLUMNS
from moelib.report.style import GRID, INK
from moelib.study.run import Run

RECORDS = {"quick": [synthetic.trained(Run(synthetic.study(), "soft", 0))]}


def effect():
    """Two heads of one study; the second without an interval."""
    rows = [
        ("quick", "quick", "soft", 2, 1.0, 0.5, 1.5, (0.8, 1.2), 3.0),
        ("quick", "quick", "sparse", 1, 2.0, None, None, (2.0,), None),
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"low": float, "high": float, "paper": float})


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
    short, long = (
        pages.table(pd.DataFrame({"a": range(rows)}), {"a": ("A", "d")}).data.splitlines()
        for rows in (pages.LONGEST, pages.LONGEST + 1)
    )
    assert long[0] == f":::{{dropdown}} {pages.LONGEST + 1} rows: A" and long[-1] == ":::"
    assert long[1:-2] == short


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


def test_orders_are_named_and_are_no_table_without_a_row():
    row = {"measure": "m", "split": "train", "runs": 4, "tau": 0.5, "low": 0.1, "high": 0.9}
    frame = pd.DataFrame([{**row, "p_value": 0.03, "without": (0.25, 0.75)}])
    (table,) = pages.orders(frame, {"m": "named"})
    assert table.data.splitlines()[-1] == (
        "| named | train | 4 | 0.50 | 0.10 | 0.90 | 0.03 | 0.25, 0.75 |"
    )
    assert pages.orders(frame.iloc[:0], {"m": "named"}) == []


def test_source_names_study_and_seeds_and_links_each_record():
    study = synthetic.study(seeds=(0, 7))
    records = [synthetic.trained(Run(study, "soft", seed)) for seed in (0, 7)]
    text = pages.source(records, "Test images.").data
    settings, _, links = text.partition("Records")
    assert "Test images." in settings and prose.numbers(settings) == ["2", "0", "7"]
    assert re.findall(r"\[(\d+)\]\((.*?)\)", links) == [
        (str(seed), f"../results/tiny/soft/seed-{seed}/train.json") for seed in (0, 7)
    ]
    assert re.findall("`(.*?)`", text) == ["tiny", "train.json", "make study STUDY=tiny"]


@pytest.mark.parametrize(("code", "changed"), [("today", False), ("before", True)])
def test_a_script_that_has_changed_since_its_record_is_called_so(code, changed):
    record = synthetic.benchmark()
    digest = script_code("step") if code == "today" else code
    record = record.model_copy(update={"inputs": {"code": digest}})
    text = pages.script_source("step", [record], "A CPU", "Links").data
    assert "A CPU. Links." in text and "benchmarks/step.py" in text
    assert ("changed" in text) == changed


@pytest.mark.parametrize("text", ["plain", "use `eig` now", "``a`` or `b`", "`begin", "end```"])
def test_quoted_text_is_one_piece_of_code_whatever_it_holds(text):
    _, inline = MarkdownIt().parse(pages.quotation("It says", [text]).data)[:2]
    assert [part.content for part in inline.children if part.type == "code_inline"] == [text]
    assert inline.children[0].content == "It says " and inline.children[-1].content == "."


def panels(chart):
    """The panels that a page draws."""
    return json.loads(base64.b64decode(chart.data.split()[1]))


def test_panels_take_the_pages_colours_and_share_no_id():
    figure = forest.panels(effect(), "points", line=0)[0]
    svgs = panels(
        pages.chart("a", [figure, figure], "Seen *so*.", effect(), pages.evidence(RECORDS))
    )
    assert all(colour not in re.sub(r"var\(.*?\)", "", svgs[0]) for colour in (INK, GRID))
    assert "var(--chart-ink" in svgs[0] and "var(--chart-grid" in svgs[0]
    references = set(re.findall(r"url\(#([^)]*)\)", svgs[0]))
    assert references and references <= set(re.findall(r'id="([^"]*)"', svgs[0]))


def test_a_chart_offers_its_numbers_and_how_they_were_made():
    figures = forest.panels(effect(), "points")
    evidence = pages.evidence(RECORDS)
    text = pages.chart("mine", figures, "**Seen.** More *so*.", effect(), evidence).data
    lines = text.splitlines()
    assert lines[1:3] == [":name: mine", ":alt: Seen. More so."]
    assert lines[4] == "**Seen.** More *so*."
    csv = re.search(r"base64,([^\"]*)", lines[6]).group(1)
    table = pd.read_csv(StringIO(base64.b64decode(csv).decode()))
    assert list(table["value"]) == [1.0, 2.0]
    assert "make book" in lines[6] and "train.ipynb" in lines[6]


def test_figures_are_shown_as_vectors(monkeypatch):
    charts = []
    monkeypatch.setattr(pages, "display", charts.append)
    pages.show(plt.figure())
    (panel,) = panels(charts[0])
    assert ElementTree.fromstring(panel).tag.endswith("svg")
