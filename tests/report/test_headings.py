"""The registry of columns: nothing in it is idle, and every format can be used."""

import ast
import json

import pandas as pd
import pytest

from moelib.report import pages
from moelib.report.headings import HEADINGS, headings
from moelib.study.base import PROJECT


def columns_asked_for(code: str) -> set[str]:
    """The names in calls of `headings` in a page or module."""
    calls = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    return {
        part.value
        for call in calls
        if getattr(call.func, "id", "") == "headings"
        for argument in call.args
        for part in ast.walk(argument)
        if isinstance(part, ast.Constant)
    }


def test_every_column_is_asked_for_by_a_page_or_by_what_pages_call():
    pages_of_code = (
        "".join(cell["source"])
        for page in PROJECT.glob("book/*.ipynb")
        for cell in json.loads(page.read_text())["cells"]
        if cell["cell_type"] == "code"
    )
    modules = (path.read_text() for path in PROJECT.glob("moelib/*/**/*.py"))
    used = set().union(*map(columns_asked_for, [*pages_of_code, *modules]))
    used |= {name.rpartition("_")[2] for name in used - {*HEADINGS}}
    assert sorted(set(HEADINGS) - used) == []


@pytest.mark.parametrize("spec", sorted({spec for _, spec in HEADINGS.values()}))
def test_every_format_writes_a_value(spec):
    frame = pd.DataFrame({"value": [3 if spec.endswith("d") else 0.25]})
    assert pages.table(frame, {"value": ("Value", spec)}).data.splitlines()[-1].strip("| ")


def test_headings_keep_the_order_that_is_asked_for_and_an_override_its_place():
    columns = headings("seed", "low", "head") | {"low": ("Quartiles from", ".2f")}
    assert list(columns) == ["seed", "low", "head"] and columns["low"][0] == "Quartiles from"
