"""The house rules that a tool can check: layers of imports, style."""

import pkgutil
import subprocess
import sys
from pathlib import Path

from moelib import report
from moelib.study.base import PROJECT

TOOLS = Path(sys.executable).parent


def test_imports_point_one_way():
    done = subprocess.run(
        [TOOLS / "lint-imports", "--no-cache"], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_report_reads_records_without_torch():
    every = [f"moelib.report.{module.name}" for module in pkgutil.iter_modules(report.__path__)]
    code = f"import sys, {', '.join(every)}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_module_is_over_400_lines():
    for path in (PROJECT / "moelib").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path.relative_to(PROJECT)


def test_style():
    done = subprocess.run(
        [TOOLS / "ruff", "check", "--no-cache", "."], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_notebooks_are_committed_without_outputs():
    import nbformat

    for path in [*PROJECT.glob("notebooks/*.ipynb"), *PROJECT.glob("book/*.ipynb")]:
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs"), f"{path.name} holds outputs"
            assert cell.get("execution_count") is None, f"{path.name} holds execution counts"
