"""The notebook of costs, through papermill, in miniature."""

import json
import os
import subprocess
import sys

from moelib.records.cost import CostNumbers
from moelib.records.record import read_record
from moelib.study.base import PROJECT


def test_the_costs_are_measured_in_miniature(tmp_path):
    given = os.environ | {"MOELIB_RESULTS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    executed = tmp_path / "executed.ipynb"
    notebook = ["notebooks/modalities_cost.ipynb", str(executed)]
    command = [sys.executable, "-m", "moelib.study.notebook", *notebook]
    done = subprocess.run(command, cwd=PROJECT, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (record,) = tmp_path.glob("cost/tiny.*.json")
    assert read_record(record, CostNumbers).numbers.tiny
    outputs = [o for c in json.loads(executed.read_text())["cells"] for o in c.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
