"""The house rules that a tool can check: layers of imports, style."""

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import moelib
from moelib import report
from moelib.study.base import PROJECT

TOOLS = Path(sys.executable).parent


def test_imports_point_one_way():
    call = subprocess.run(
        [TOOLS / "lint-imports", "--no-cache"], cwd=PROJECT, capture_output=True, text=True
    )
    assert call.returncode == 0, call.stdout + call.stderr


def rooms_by_contract() -> dict[str, set[str]]:
    """The rooms that each room may import, by the layers of pyproject.toml."""
    tools = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]
    layers = [set(layer.split(" | ")) for layer in tools["importlinter"]["contracts"][0]["layers"]]
    return {
        room: set().union(*layers[number:])
        for number, layer in enumerate(layers, start=1)
        for room in layer
    }


def test_the_package_names_all_rooms():
    table = moelib.__doc__.split("\n\n")[2]
    rooms = {room for row in table.splitlines() for room in re.split(r"  +", row.strip())[::2]}
    folders = {path.parent.name for path in (PROJECT / "moelib").glob("*/__init__.py")}
    assert rooms == folders == {*rooms_by_contract()}


@pytest.mark.parametrize("room", sorted(rooms_by_contract()))
def test_a_room_says_what_lives_there_what_it_may_import_and_where_to_add(room):
    words = importlib.import_module(f"moelib.{room}").__doc__
    (importing,) = re.findall(r"It may import [^.;]*", words)
    rooms = rooms_by_contract()
    rooms["report"] -= {"curvature", "training", "heads"}  # which import torch
    assert {*re.findall(r"\w+", importing)} & {*rooms} == rooms[room]
    assert words.index(importing) > words.index(".")  # first comes what lives there
    assert re.search(r"\bAdd\b", words)


def test_a_room_within_a_room_says_the_same():
    inner = [path.parent for path in (PROJECT / "moelib").glob("*/*/__init__.py")]
    for folder in inner:
        words = importlib.import_module(".".join(folder.relative_to(PROJECT).parts)).__doc__
        assert "It may import" in words and re.search(r"\bAdd\b", words), folder.name


def test_a_chapter_of_the_report_names_those_that_it_reads():
    room = PROJECT / "moelib/report"
    chapters = {path.parent.name for path in room.glob("*/__init__.py")} - {"statistics"}
    for chapter in chapters:
        texts = [path.read_text() for path in (room / chapter).glob("*.py")]
        read = {name for text in texts for name in re.findall(r"moelib\.report\.(\w+)", text)}
        words = importlib.import_module(f"moelib.report.{chapter}").__doc__
        (importing,) = re.findall(r"It may import [^.;]*", words)
        assert {*re.findall(r"`(\w+)`", importing)} == (read & chapters) - {chapter}
    files = {path.stem for path in room.glob("*.py")} - {"__init__"}
    assert files | chapters <= {*re.findall(r"\w+", report.__doc__)}


@pytest.mark.parametrize("room", ["moelib.modalities", "moelib.modalities.cost"])
def test_rooms_of_modalities_name_their_files(room):
    package = importlib.import_module(room)
    names = {module.name for module in pkgutil.iter_modules(package.__path__)} - {"__main__"}
    assert names <= {*re.findall(r"\w+", package.__doc__)}


READING = ("moelib.report", "moelib.modalities.report", "moelib.modalities.cost.report")


@pytest.mark.parametrize("room", READING)
def test_the_report_reads_records_without_torch(room):
    package = importlib.import_module(room)
    every = [module.name for module in pkgutil.walk_packages(package.__path__, f"{room}.")]
    code = f"import sys, {', '.join(every)}; sys.exit('torch' in sys.modules)"
    call = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert call.returncode == 0, call.stderr


def test_no_module_is_over_400_lines():
    for path in (PROJECT / "moelib").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path.relative_to(PROJECT)


def test_style():
    call = subprocess.run(
        [TOOLS / "ruff", "check", "--no-cache", "."], cwd=PROJECT, capture_output=True, text=True
    )
    assert call.returncode == 0, call.stdout + call.stderr


def test_notebooks_are_committed_without_outputs():
    import nbformat

    for path in [*PROJECT.glob("notebooks/*.ipynb"), *PROJECT.glob("book/*.ipynb")]:
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs"), f"{path.name} holds outputs"
            assert cell.get("execution_count") is None, f"{path.name} holds execution counts"
