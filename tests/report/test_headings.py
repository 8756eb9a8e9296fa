"""The registry of columns: nothing in it is idle, and every format can be used."""

import json

import pandas as pd
import pytest

from moelib.report import pages
from moelib.report.headings import HEADINGS, headings
from moelib.study.base import PROJECT


def test_every_column_is_named_by_a_page_or_by_what_pages_call():
    cells = (
        "".join(cell["source"])
        for page in PROJECT.glob("book/*.ipynb")
        for cell in json.loads(page.read_text())["cells"]
    )
    modules = (path for path in PROJECT.glob("moelib/*/**/*.py") if path.stem != "headings")
    text = "\n".join([*cells, *(path.read_text() for path in modules)])
    assert [column for column in HEADINGS if f'"{column}"' not in text] == []


@pytest.mark.parametrize("spec", sorted({spec for _, spec in HEADINGS.values()}))
def test_every_format_writes_a_value(spec):
    frame = pd.DataFrame({"value": [3 if spec.endswith("d") else 0.25]})
    assert pages.table(frame, {"value": ("Value", spec)}).data.splitlines()[-1].strip("| ")


def test_headings_keep_the_order_that_is_asked_for_and_an_override_its_place():
    columns = headings("seed", "low", "head") | {"low": ("Quartiles from", ".2f")}
    assert list(columns) == ["seed", "low", "head"] and columns["low"][0] == "Quartiles from"
