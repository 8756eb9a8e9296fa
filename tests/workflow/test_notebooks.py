"""The project's own notebooks, through papermill, on one small run of a study written here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moelib.records.kinds import ANALYSES, KINDS
from moelib.records.record import read_record
from moelib.study.base import PROJECT

NOTEBOOKS = ["train", *(kind.kind for kind in ANALYSES)]
DRAWING = re.compile(r"\bfigures\.")  # the module of figures
STUDY = """
extends: quick
description: Two epochs of a net of one block.
backbone: {kind: small_resnet, widths: [4]}
heads: {sparse: {hidden: 4, experts: 4}}
seeds: [0]
training: {epochs: 2, batch_size: 128}
analyses:
  utilization: {permutations: 10}
  sharpness: {images: 20, eigenvalues: 2, krylov: 20, trace_products: 12, density_steps: 5,
              average_draws: 2, worst_steps: 2}
  surface: {images: 20, directions: 2, random_radii: [-1.0, 0.0, 1.0],
            plane_radii: [-1.0, 0.0, 1.0], eigenvector_radii: [-0.5, 0.0, 0.5]}
  efficiency: {batches: [1, 8], repeats: 6, footprint_batches: [8]}
  robustness: {images: 20}
  gallery: {images: 2}
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> dict[str, dict]:
    """Each executed notebook, as JSON, with its record beside it."""
    folder = tmp_path_factory.mktemp("notebooks")
    study = folder / "small.yaml"
    study.write_text(STUDY)
    command = [sys.executable, "-m", "moelib.study.execution"]
    command += [f"notebooks/{name}.ipynb" for name in NOTEBOOKS]
    command += ["--into", str(folder), "-p", "study", str(study), "-p", "head", "sparse"]
    environment = os.environ | {"MOELIB_RESULTS": str(folder / "results"), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    return {
        name: {
            "notebook": json.loads((folder / f"{name}.ipynb").read_text()),
            "record": folder / f"results/small/sparse/seed-0/{name}.json",
        }
        for name in NOTEBOOKS
    }


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_writes_its_record(executed, name):
    kind = next(kind for kind in KINDS if kind.kind == name)
    record = read_record(executed[name]["record"], kind)
    assert (record.study.name, record.head, record.seed) == ("small", "sparse", 0)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_figure_is_shown(executed, name):
    cells = [c for c in executed[name]["notebook"]["cells"] if c["cell_type"] == "code"]
    drawing = [c for c in cells if DRAWING.search(_code(c))]
    for cell in drawing:
        calls = len(DRAWING.findall(_code(cell)))
        kinds = [kind for output in cell["outputs"] for kind in output.get("data", {})]
        assert sum(kind.startswith("image/") for kind in kinds) == calls, _code(cell)
    assert drawing or name == "gallery"  # which shows images, by a style sheet


def _code(cell: dict) -> str:
    lines = "".join(cell["source"]).splitlines()
    return "\n".join(line for line in lines if "import" not in line)


def test_a_notebook_by_another_name_is_tested_here():
    """Those of `modalities` are tested in its own folder."""
    names = {path.stem for path in Path(PROJECT, "notebooks").glob("*.ipynb")}
    assert {name for name in names if not name.startswith("modalities_")} == {*NOTEBOOKS}
