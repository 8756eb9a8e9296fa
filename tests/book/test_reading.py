"""Chapters read records and nothing else: none of them loads what trains and measures."""

import json
import shutil
import subprocess
import sys

import synthetic
import synthetic_modalities

from moelib.study.base import PROJECT

# One process for all of them, which would keep the module once a chapter has imported it.
READ = """
import json, matplotlib, sys, warnings
from pathlib import Path
matplotlib.use("Agg")
warnings.simplefilter("ignore")
for path in sorted(Path("book").glob("*.ipynb")):
    cells = json.loads(path.read_text())["cells"]
    code = "\\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    exec(compile(code, path.stem, "exec"), {})
    matplotlib.pyplot.close("all")
    modules = {"torch", "moelib.training", "moelib.heads", "moelib.analyses"} & {*sys.modules}
    print(json.dumps([path.stem, sorted(modules)]), file=sys.stderr)
"""


def test_no_chapter_imports_torch(results):
    for name in ("paper", "quick"):
        study = synthetic.study(name)
        synthetic.write_all(study)
        synthetic.write_landscapes(study)
        synthetic.write_galleries(study)
        synthetic.write_costs(study)
    synthetic.write_benchmark()
    synthetic.write_crosscheck()
    shutil.copytree(PROJECT / "results" / "cost", results / "cost")
    for name in ("main", "sparsity", "guidance"):
        synthetic_modalities.write_study(name, seeds=(0, 1))
    process = subprocess.run(
        [sys.executable, "-c", READ], cwd=PROJECT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-2000:]
    imports = dict(json.loads(line) for line in process.stderr.splitlines() if line.startswith("["))
    assert imports == {path.stem: [] for path in PROJECT.glob("book/*.ipynb")}
