"""The notebooks on modalities through the project's own way of running them."""

import os
import subprocess
import sys

import pytest

from moelib.records.kinds import KINDS
from moelib.records.record import read_record
from moelib.study.base import PROJECT

KIND = {"train": "vlm-train", "utilization": "vlm-utilization", "sharpness": "vlm-sharpness"}
STUDY = """
description: One epoch of a model of one layer.
arms: {slots: {kind: slots, experts: 4, hidden: 8}}
seeds: [3]
sizes: {train: 64, validation: 40, test: 40}
curvature_items: 4
transformer: {layers: 1, width: 16, heads: 2}
training: {epochs: 1, batch_size: 16, schedule: {kind: onecycle}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Executed notebooks and the records that they wrote."""
    folder = tmp_path_factory.mktemp("notebooks")
    study = folder / "tiny.yaml"
    study.write_text(STUDY)
    notebooks = [f"notebooks/modalities_{name}.ipynb" for name in KIND]
    command = [sys.executable, "-m", "moelib.study.execution", *notebooks, "--into", folder]
    parameters = {"study": study, "arm": "slots", "seed": 3}
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    environment = os.environ | {"MOELIB_RESULTS": str(folder / "results"), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", KIND)
def test_a_notebook_writes_its_record(folder, name):
    (numbers,) = (kind for kind in KINDS if kind.kind == KIND[name])
    path = folder / f"results/modalities/tiny/slots/seed-3/{KIND[name]}.json"
    record = read_record(path, numbers)
    assert (record.numbers.study.name, record.head, record.seed) == ("tiny", "slots", 3)
    assert (folder / f"modalities_{name}.ipynb").is_file()
