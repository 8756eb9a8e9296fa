"""The notebook of costs, through papermill, in miniature."""

import json
import os
import subprocess
import sys

from moelib.records.cost import CostNumbers
from moelib.records.record import read_record
from moelib.study.base import PROJECT


def test_the_costs_are_measured_in_miniature(tmp_path):
    environment = os.environ | {"MOELIB_RESULTS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    notebook = ["notebooks/modalities_cost.ipynb", "--into", str(tmp_path)]
    command = [sys.executable, "-m", "moelib.study.execution", *notebook]
    process = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    (record,) = tmp_path.glob("cost/tiny.*.json")
    assert read_record(record, CostNumbers).numbers.tiny
    cells = json.loads((tmp_path / "modalities_cost.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
