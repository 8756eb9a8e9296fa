"""The environment is described alike by pyproject.toml, requirements.lock and environment.yml."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from prose import lacking
from ruamel.yaml import YAML

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def required(project: dict) -> dict[str, Requirement]:
    """Everything that pyproject.toml asks for, the tests' extra included."""
    extras = project["optional-dependencies"].values()
    lines = project["dependencies"] + [line for extra in extras for line in extra]
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


@pytest.fixture(scope="module")
def locked() -> dict[str, Requirement]:
    """What the lock would install here."""
    lines = (CHECKOUT / "requirements.lock").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if re.match(r"\w", line)]
    return {r.name: r for r in requirements if not r.marker or r.marker.evaluate()}


def test_pyproject_pins_what_it_asks_for(required: dict[str, Requirement]) -> None:
    assert all([s.operator for s in required[name].specifier] == ["=="] for name in required)


def test_lock_holds_what_pyproject_asks_for(required: dict, locked: dict) -> None:
    assert {name: str(required[name].specifier) for name in required} == {
        name: str(locked[name].specifier) for name in required if name in locked
    }


def test_lock_names_no_place_to_download_from() -> None:
    lock = (CHECKOUT / "requirements.lock").read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links", lock)


def test_installed_packages_are_the_locked_ones(locked: dict) -> None:
    installed = {name: f"=={version(name).split('+')[0]}" for name in locked}
    assert installed == {name: str(locked[name].specifier) for name in locked}


def test_conda_installs_the_lock_on_a_python_that_pyproject_allows(project: dict) -> None:
    dependencies = YAML(typ="safe").load((CHECKOUT / "environment.yml").read_text())["dependencies"]
    python = next(d for d in dependencies if str(d).startswith("python="))
    allowed = SpecifierSet(project["requires-python"])
    assert python.removeprefix("python=") in allowed
    assert dependencies[-1] == {"pip": ["--requirement requirements.lock", "--editable ."]}


def test_the_book_and_the_citation_have_the_same_authors() -> None:
    read = YAML(typ="safe").load
    book, citation = (read(CHECKOUT / name) for name in ("_config.yml", "CITATION.cff"))
    assert [author["name"] for author in citation["authors"]] == [book["author"]]


def test_the_readme_names_the_studies_of_modalities() -> None:
    (names,) = re.findall(r"# studies/modalities/: (.*)", (CHECKOUT / "README.md").read_text())
    studies = {path.stem for path in (CHECKOUT / "studies/modalities").glob("*.yaml")}
    assert {*names.split(", ")} == studies


def test_old_python_is_refused_with_a_sentence(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 9, 1)\n"
        "sys.version = '3.9.1 (old)'\nexec(sys.argv[2])\n"
    )
    old.chmod(0o755)
    process = subprocess.run(
        ["make", "install", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert process.returncode != 0
    assert not lacking(process.stderr, ("Python 3.11", f"{old} is 3.9.1"))
    assert not (tmp_path / "venv").exists()
