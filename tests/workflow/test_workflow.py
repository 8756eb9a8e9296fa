"""The graph on a stand-in project: what runs again, what survives a death, what a failure costs.

The project is a copy in a temporary folder with the real Snakefile, launcher and configuration,
and with notebooks of a few lines. Most tests put a module named papermill in front of the real
one, which runs the cells in its own process: a kernel's start takes seconds.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from prose import lacking

CHECKOUT = Path(__file__).resolve().parents[2]

STUDY = """
description: two heads  # of 4 units
data: {source: digits, test_share: 0.25}
backbone: {kind: small_resnet}
heads: {switch: {hidden: 4}, soft: {hidden: 4}}
seeds: [0]
protocol: corrected
training: {epochs: 1, schedule: {kind: onecycle}}
analyses: {utilization: {permutations: 10}, sharpness: null, surface: null, efficiency: null}
"""

OTHER = "extends: quick\ndescription: Not run here.\nseeds: [0, 1]"

PARAMETERS = 'study: str = "quick"\nhead: str = "switch"\nseed: int = 0'

MINIATURE = 'study: str = "quick"\narm: str = "slots"\nseed: int = 0'

FOLDER = """
import json, pathlib
folder = pathlib.Path("results") / study / head / f"seed-{seed}"
"""

TRAINER = """
import json, os, pathlib, sys, time

def train(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "starts.txt", "a") as starts:
        print(os.getpid(), file=starts)
    while pathlib.Path("slow").exists():
        time.sleep(0.05)
    loss = 1.0  # of the last epoch
    (folder / "train.json").write_text(json.dumps({"loss": loss}))
"""

UTILIZATION = """
from moelib.analyses import utilization
loss = json.loads((folder / "train.json").read_text())["loss"]
(folder / "utilization.json").write_text(json.dumps({"count": utilization.measure(), "loss": loss}))
if pathlib.Path("broken").exists() and head == "soft":
    raise ValueError("the gate is broken")
"""

PAPERMILL = """
import json
import nbclient

nbclient.NotebookClient.execute = lambda client: None  # there is no kernel to forget anything

class PapermillExecutionError(Exception):
    pass

def execute_notebook(source, output, values, **options):
    notebook = json.load(open(source))
    names = {}
    try:
        for cell in notebook["cells"]:
            exec(cell["source"], names)
            if "parameters" in cell["metadata"]["tags"]:
                names.update(values)
    except Exception as error:
        cell["outputs"] = [
            {"output_type": "error", "ename": "ValueError", "evalue": str(error), "traceback": []}
        ]
        raise PapermillExecutionError from error
    finally:
        json.dump(notebook, open(output, "w"))
"""

JUPYTER_BOOK = """
title: A stand-in
only_build_toc_files: true
execute: {execute_notebooks: "off"}
"""


class Project:
    """A checkout in a temporary folder."""

    def __init__(self, root: Path):
        self.root = root

    def make(self, papermill: bool) -> "Project":
        for name in ("__init__.py", "study", "records"):
            self.copy(f"moelib/{name}")
        self.copy("workflow")
        self.write("moelib/training/train.py", TRAINER)
        self.write("moelib/training/loop.py", "class Loop: pass")
        self.write("moelib/training/model.py", "def build_model(): pass")
        self.write("moelib/training/device.py", "def numerics(): pass")
        self.write("moelib/analyses/trained.py", "def opened(): pass")
        measure = "from moelib import ones\ndef measure(): return ones.ONE"
        self.write("moelib/analyses/utilization.py", measure)
        self.write("moelib/analyses/efficiency.py", "def measure(): pass")
        self.write("moelib/ones.py", "ONE = 1")
        self.copy("studies/modalities")
        self.write("moelib/modalities/model.py", "def build(): pass")
        for kind in ("train", "utilization", "sharpness"):
            self.write(f"moelib/modalities/{kind}.py", "class Loop: pass\ndef measure(): pass")
            run = "results/modalities/{study}/{arm}/seed-{seed}"
            work = f"import pathlib\npathlib.Path(f'{run}/vlm-{kind}.json').write_text('{{}}')"
            self.notebook(f"notebooks/modalities_{kind}.ipynb", MINIATURE, work)
        self.write("moelib/unused.py", "")
        self.write("studies/quick.yaml", STUDY)
        self.write("studies/other.yaml", OTHER)
        self.write("results/other/soft/seed-1/train.json", "{}")
        train = "from moelib.training import train\ntrain.train(folder)"
        self.notebook("notebooks/train.ipynb", PARAMETERS, FOLDER, train)
        self.notebook("notebooks/utilization.ipynb", PARAMETERS, FOLDER, UTILIZATION)
        self.write("_config.yml", JUPYTER_BOOK)
        self.write("book/_toc.yml", "format: jb-book\nroot: book/intro")
        self.write("book/intro.md", "# Stand-in\n")
        self.notebook("book/one.ipynb", "1", "'# One'")
        self.notebook("book/two.ipynb", "2", "from moelib import ones")
        if not papermill:
            self.write("papermill.py", PAPERMILL)
        return self

    def copy(self, name: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
        copy(CHECKOUT / name, self.root / name)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def notebook(self, name: str, *sources: str) -> None:
        cells = [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell-{number}",
                "metadata": {"tags": ["parameters"] if source in (PARAMETERS, MINIATURE) else []},
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate(sources)
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}}
        notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        self.write(name, json.dumps(notebook))

    def start(self, *arguments: str, launcher: str = "run") -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, f"workflow/{launcher}", *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, launcher: str = "run") -> tuple[int, str]:
        process = self.start(*arguments, launcher=launcher)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def pending(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule would run now."""
        status, output = self.run(*arguments, "--dry-run")
        assert status == 0, output
        jobs = re.findall(r"(?m)^([\w-]+) +(\d+)$", output)
        return {rule: int(number) for rule, number in jobs if rule not in ("study", "total")}

    def file(self, head: str, name: str) -> Path:
        return self.root / "results/quick" / head / "seed-0" / name


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose book has been made."""
    project = Project(tmp_path_factory.mktemp("finished")).make(papermill=False)
    status, output = project.run("book")
    assert status == 0, output
    assert output.endswith(f"The book: {project.root}/_build/html/index.html\n")
    assert output.count(".html") == 1  # no other page is named than the one that is there
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, with Snakemake's notes and all times."""
    return Project(shutil.copytree(finished.root, tmp_path / "checkout"))


def touch_and_comment(project: Project) -> None:
    for path in (
        "notebooks/train.ipynb",
        "moelib/training/train.py",
        "book/one.ipynb",
        "book/intro.md",
    ):
        os.utime(project.root / path)
    project.edit("studies/quick.yaml", "# of 4 units", "# of four units")
    project.edit("moelib/training/train.py", "# of the last epoch", "# the last")
    project.edit("moelib/ones.py", "ONE = 1", "ONE = 1  # of something")
    project.write("moelib/unused.py", "ONE = 1")
    project.write("moelib/analyses/another.py", "def measure(): return 2")


def edit_chapter_and_page(project: Project) -> None:
    project.edit("book/two.ipynb", "import ones", "import unused")
    project.edit("book/intro.md", "Stand-in", "Title")


def edit_module(project: Project) -> None:
    project.edit("moelib/ones.py", "1", "2")  # which an analysis and a chapter import


def edit_training(project: Project) -> None:
    project.edit("moelib/training/train.py", "0.05", "0.06")


def edit_head(project: Project) -> None:
    project.edit("studies/quick.yaml", "soft: {hidden: 4}", "soft: {hidden: 8}")


def edit_analysis_and_add_runs(project: Project) -> None:
    project.edit("studies/quick.yaml", "permutations: 10", "permutations: 20")
    project.edit("studies/quick.yaml", "heads: {", "heads: {linear: {}, ")  # has no experts
    project.edit("studies/quick.yaml", "seeds: [0]", "seeds: [0, 1]")


def describe_in_other_words(project: Project) -> None:
    project.edit("studies/quick.yaml", "two heads", "a head and another")


def take_a_head_away(project: Project) -> None:
    project.edit("studies/quick.yaml", ", soft: {hidden: 4}", "")  # its records are still there


def describe_another_study(project: Project) -> None:
    """One with records, which the graph itself knows nothing of."""
    project.edit("studies/other.yaml", "Not run here.", "Run elsewhere.")


def take_a_seed_of_another_study_away(project: Project) -> None:
    project.edit("studies/other.yaml", "[0, 1]", "[0]")


def change_a_study_without_records(project: Project) -> None:
    project.write("studies/empty.yaml", "extends: quick\nseeds: [7]")


PAGES = {"chapters-1": 1, "chapters-2": 1, "book": 1}
RUNS = {"switch-seed-0": 1, "soft-seed-0": 1}
ADDED = {"switch-seed-1": 1, "soft-seed-1": 1, "linear-seed-0": 1, "linear-seed-1": 1}


@pytest.mark.parametrize(
    "change, expected",
    [
        (touch_and_comment, {}),
        (edit_chapter_and_page, {"chapters-2": 1, "book": 1}),
        (edit_module, {**RUNS, **PAGES}),
        (edit_training, {}),  # of what is not computed
        (edit_head, {"soft-seed-0": 1, **PAGES}),
        (edit_analysis_and_add_runs, {**RUNS, **ADDED, **PAGES}),
        (describe_in_other_words, PAGES),
        (take_a_head_away, PAGES),
        (describe_another_study, PAGES),
        (take_a_seed_of_another_study_away, PAGES),
        (change_a_study_without_records, {}),
    ],
)
def test_only_what_depends_on_an_edit_runs_again(
    project: Project, change: Callable[[Project], None], expected: dict[str, int]
) -> None:
    change(project)
    assert project.pending("book") == expected


def test_failure_keeps_the_old_record_and_the_other_runs(project: Project) -> None:
    old = project.file("soft", "utilization.json").read_bytes()
    project.edit("moelib/ones.py", "1", "2")
    project.write("broken", "")

    status, output = project.run("study", "quick")

    assert status != 0
    failed = project.file("soft", "utilization.failed.ipynb").relative_to(project.root)
    *_, elapsed, sentence, log = output.splitlines()
    assert elapsed.startswith("Elapsed time")  # what Snakemake tells of its job is in its log
    assert sentence == f"Failed: {failed}: ValueError: the gate is broken"
    assert output.count("the gate is broken") == 1
    assert len(output.splitlines()) <= 30, output
    log = project.root / log.removeprefix("The log: ")
    assert "results/quick/soft/seed-0 --each head soft -p study quick" in log.read_text()
    assert project.file("soft", "utilization.json").read_bytes() == old
    assert json.loads(project.file("switch", "utilization.json").read_text())["count"] == 2
    assert project.pending("study", "quick") == {"soft-seed-0": 1}  # the old one is known to be old


def test_a_dry_run_names_no_page_that_is_not_there(tmp_path: Path) -> None:
    status, output = Project(tmp_path).make(papermill=False).run("book", "-n")
    assert status == 0 and "The book" not in output


def test_a_mistake_in_another_study_stops_the_book_alone(project: Project) -> None:
    project.edit("studies/other.yaml", "seeds: [0, 1]", "sedes: [0, 1]")
    status, output = project.run("book")
    assert status == 1
    assert not lacking(output, ("other.yaml", "'sedes'")) and len(output.splitlines()) == 1
    assert project.pending("study", "quick") == {}  # finished, and not refused


@pytest.mark.parametrize(
    "arguments, names",
    [
        ((), ("workflow/run book", "workflow/run study NAME")),
        (("study",), ("workflow/run book", "workflow/run study NAME")),
        (("study", "-n"), ("workflow/run book", "workflow/run study NAME")),
        (("study", "quik"), ("'quik'", "other, quick")),
    ],
)
def test_a_wrong_request_is_one_sentence(
    project: Project, arguments: tuple[str, ...], names: tuple[str, ...]
) -> None:
    status, output = project.run(*arguments)
    assert status == 1
    assert not lacking(output, names) and len(output.splitlines()) == 1


@pytest.mark.parametrize(
    "old, new, need",
    [
        ("epochs: 1", "epochs: 1, device: cuda", "CUDA device"),
        ("soft: {hidden: 4}", "soft: {experts: 100000}", "heads.soft"),
        ("{kind: small_resnet}", "{kind: small_resnet, widths: [16, 8000]}", "backbone"),
    ],
)
def test_a_study_that_this_machine_cannot_run_is_one_sentence(
    project: Project, old: str, new: str, need: str
) -> None:
    make_machine_small(project)
    project.edit("studies/quick.yaml", old, new)
    for launcher in (("run", "study", "quick"), ("fill", "quick", "--minutes", "1")):
        status, output = project.run(*launcher[1:], launcher=launcher[0])
        assert status == 1
        assert not lacking(output, ("'quick'", need)) and len(output.splitlines()) == 1


def make_machine_small(project: Project) -> None:
    """Without a GPU, and with 2 GiB of memory."""
    project.edit(
        "moelib/study/gpu.py", "def has_gpu() -> bool:", "def has_gpu() -> bool:\n    return False"
    )
    project.edit("moelib/study/machine.py", "psutil.virtual_memory().total", "2 * 2**30")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--workflow-profile", "workflow/profiles/slurm"),
        ("--workflow-profile=workflow/profiles/slurm",),
        ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", "sh submit", "--jobs=1"),
    ],
)
def test_a_study_that_a_cluster_can_run_is_not_refused(
    project: Project, arguments: tuple[str, ...]
) -> None:
    make_machine_small(project)
    project.edit("studies/quick.yaml", "epochs: 1", "epochs: 1, device: cuda")
    assert project.pending("study", "quick", *arguments) == RUNS


@pytest.mark.parametrize(
    "arguments",
    [
        ("--executor", "local"),
        ("--workflow-profile", "workflow/profiles/default/"),
        ("--workflow-profile", "none"),
        ("--config", "profile=other", "executor=other"),
    ],
)
def test_other_words_in_arguments_do_not_spare_a_study(
    project: Project, arguments: tuple[str, ...]
) -> None:
    make_machine_small(project)
    project.edit("studies/quick.yaml", "epochs: 1", "epochs: 1, device: cuda")
    status, output = project.run("study", "quick", *arguments)
    assert status == 1 and "wants a CUDA device" in output


@pytest.mark.parametrize(
    "name", ["a b", "a;touch owned", "`touch owned`", "$(touch owned)", "it's"]
)
def test_the_name_of_a_study_reaches_the_shell_as_one_word(tmp_path: Path, name: str) -> None:
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    show = "import sys; print(sys.argv[1:])"
    run = f"{sys.executable} -c {shlex.quote(show)}"
    command = ["make", "--silent", "study", f"STUDY={name}", f"RUN={run}", "STAMP="]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout.strip() == str(["study", name])
    assert not (tmp_path / "owned").exists()


def test_a_study_and_results_in_folders_with_blanks_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, study = "of it's own", "my studies/one $(touch owned)/mine.yaml"
    monkeypatch.setenv("MOELIB_RESULTS", results)
    project = Project(tmp_path).make(papermill=False)
    for name in ("train", "utilization"):
        write = f"""
import os, pathlib
assert study == {study!r}
folder = pathlib.Path(os.environ["MOELIB_RESULTS"], "mine", head, f"seed-{{seed}}")
(folder / "{name}.json").write_text("{{}}")
"""
        project.notebook(f"notebooks/{name}.ipynb", PARAMETERS, write)
    project.write(study, "extends: quick\nheads: [soft]")
    status, output = project.run("study", study)
    assert status == 0, output
    assert (tmp_path / results / "mine/soft/seed-0/utilization.json").exists()
    assert not (tmp_path / "owned").exists()


def test_results_that_cannot_be_written_are_one_sentence(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("file", "")
    for path, reason in [("file", "File exists"), ("file/below", "Not a directory")]:
        monkeypatch.setenv("MOELIB_RESULTS", path)
        status, output = project.run("book")
        assert status == 1 and not lacking(output, (path, reason)) and output.count("\n") == 1


def test_a_failed_notebook_that_was_cut_short_is_named_all_the_same(project: Project) -> None:
    cut = """
import pathlib
class PapermillExecutionError(Exception): pass
def execute_notebook(source, output, values, **options):
    pathlib.Path(output).with_suffix("").with_suffix(".failed.ipynb").write_text('{"cells": [')
    raise PapermillExecutionError
"""
    project.write("papermill.py", cut)
    project.edit("book/two.ipynb", "import ones", "import unused")
    status, output = project.run("book")
    assert status != 0
    assert output.splitlines()[-2] == "Failed: _build/chapters/two.failed.ipynb"


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_tree_resumes_without_the_finished_runs(project: Project) -> None:
    edit_head(project)
    project.write("slow", "")
    starts = project.file("soft", "starts.txt")
    launcher = project.start("study", "quick")
    wait_until(lambda: len(starts.read_text().split()) == 2)
    for process in [*psutil.Process(launcher.pid).children(recursive=True), launcher]:
        process.kill()
    launcher.communicate()
    (project.root / "slow").unlink()

    status, output = project.run("study", "quick")

    assert status == 0, output
    assert len(starts.read_text().split()) == 3
    assert len(project.file("switch", "starts.txt").read_text().split()) == 1


def test_killed_launcher_leaves_no_kernel_behind(tmp_path: Path) -> None:
    project = Project(tmp_path).make(papermill=True)
    project.edit("studies/quick.yaml", ", soft: {hidden: 4}", "")
    project.write("slow", "")
    starts = project.file("switch", "starts.txt")
    launcher = project.start("study", "quick")
    wait_until(lambda: starts.exists() and starts.read_text().strip())
    kernel = psutil.Process(int(starts.read_text()))

    status, output = project.run("study", "quick")
    assert status != 0
    assert not lacking(output, (launcher.pid, tmp_path)) and output.count("\n") == 1

    launcher.kill()
    launcher.wait()
    assert kernel.is_running()
    second = project.start("study", "quick")
    kernel.wait(timeout=60)  # before the end of its work, which still waits
    (tmp_path / "slow").rename(tmp_path / "fast")
    output, _ = second.communicate(timeout=600)
    launcher.communicate()

    assert second.returncode == 0, output
    assert len(starts.read_text().split()) == 2
    assert project.file("switch", "utilization.json").exists()


def with_efficiency(project: Project) -> Project:
    """An analysis that claims the whole machine."""
    project.edit("studies/quick.yaml", ", efficiency: null", "")
    timing = '(folder / "efficiency.json").write_text("{}")'
    project.notebook("notebooks/efficiency.ipynb", PARAMETERS, FOLDER, timing)
    return project


def test_times_are_taken_alone(tmp_path: Path) -> None:
    """One run is timed, and another is at work, for which there are cores enough: one waits."""
    project = with_efficiency(Project(tmp_path).make(papermill=False))
    watch = "import time\nbusy = pathlib.Path('busy')\n"
    wait = "for _ in range(30 * (head == 'soft')):\n"
    wait += "    time.sleep(0.1)\n    assert not busy.exists()\n"
    alone = "busy.touch(exist_ok=False)\ntime.sleep(2)\nbusy.unlink()\n"
    for name, work in {"utilization": wait, "efficiency": alone}.items():
        last = f"(folder / '{name}.json').write_text('{{}}')"
        project.notebook(f"notebooks/{name}.ipynb", PARAMETERS, FOLDER, watch + work + last)
    status, output = project.run("study", "quick", "--cores", "3")
    assert status == 0, output


def test_graph_runs_through_a_cluster_submit_command(tmp_path: Path) -> None:
    project = with_efficiency(Project(tmp_path).make(papermill=False))
    project.write("submit", 'echo "$1" >> submitted\nnohup sh "$1" > job.log 2>&1 &\necho $!\n')

    status, output = project.run(
        *("study", "quick", "--workflow-profile", "none", "--executor", "cluster-generic"),
        *("--cluster-generic-submit-cmd", "sh submit", "--jobs", "2"),
        *("--seconds-between-status-checks", "1", "--latency-wait", "10"),
    )

    assert status == 0, output
    assert len((tmp_path / "submitted").read_text().split()) == 3  # each run, and their timing
    assert project.file("switch", "utilization.json").exists()
    assert all(project.file(head, "efficiency.json").exists() for head in ("soft", "switch"))
