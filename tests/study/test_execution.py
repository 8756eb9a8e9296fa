"""Notebooks of one run share a kernel, and yet each runs as if alone."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import papermill
import pytest
from prose import refusal
from tiny import write_notebook

from moelib.study import execution
from moelib.study.base import ConfigError

pytestmark = pytest.mark.slow

DECLARED = 'head: str = "soft"  # which\nseed: int = 0'


def texts(notebook: Path) -> list[str]:
    """What the cells of an executed notebook printed."""
    cells = json.loads(notebook.read_text())["cells"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    return ["".join(o["text"]).strip() for o in outputs if o["output_type"] == "stream"]


def test_notebooks_share_a_kernel_and_no_name_or_module_of_ours(tmp_path: Path) -> None:
    look = (
        "import colorsys, os, sys, types\n"
        "print(os.getpid(), 'left' in globals(), 'moelib.left' in sys.modules)\n"
        "left, sys.modules['moelib.left'] = 1, types.ModuleType('moelib.left')\n"
        "print(hasattr(colorsys, 'seen'))\ncolorsys.seen = True"
    )
    sources = [write_notebook(tmp_path / f"{n}.ipynb", DECLARED, "head, seed", look) for n in "ab"]
    out = tmp_path / "out"
    assert execution.execute(sources, {out: {"seed": "3"}}) == []
    (pid, *first), (second_pid, *second) = (
        " ".join(texts(out / source.name)).split() for source in sources
    )
    assert first == ["False", "False", "False"]
    assert second == ["False", "False", "True"]  # what takes long to import is there
    assert pid == second_pid
    for source in sources:
        cells = json.loads((out / source.name).read_text())["cells"]
        assert [cell["execution_count"] for cell in cells] == [1, 2, 3, 4]
        assert cells[2]["outputs"][0]["data"]["text/plain"] == ["('soft', 3)"]
    assert sorted(out.iterdir()) == [out / source.name for source in sources]


@pytest.mark.parametrize("fault", ["1 / 0", "import os; os.kill(os.getpid(), 9)"])
def test_a_failed_notebook_is_kept_and_those_after_it_run(tmp_path: Path, fault: str) -> None:
    first = write_notebook(tmp_path / "first.ipynb", "x: int = 0")
    broken = write_notebook(tmp_path / "broken.ipynb", "x: int = 0", fault, "1")
    last = write_notebook(tmp_path / "last.ipynb", "x: int = 0", "2")
    out = tmp_path / "out"
    assert execution.execute([first, broken, last], {out: {}}) == [out / "broken.failed.ipynb"]
    names = ["broken.failed.ipynb", "first.ipynb", "last.ipynb"]
    assert sorted(path.name for path in out.iterdir()) == names
    write_notebook(broken, "x: int = 0", "1")
    assert execution.execute([first, broken, last], {out: {}}) == []
    assert sorted(path.name for path in out.iterdir()) == [p.replace(".failed", "") for p in names]


def test_nothing_runs_after_the_first_that_fails(tmp_path: Path) -> None:
    first = write_notebook(tmp_path / "first.ipynb", "x: int = 0", "raise ValueError('so it is')")
    last = write_notebook(tmp_path / "last.ipynb", "x: int = 0")
    out = tmp_path / "out"
    assert execution.execute([first, last], {out: {}}) == [out / "first.failed.ipynb"]
    assert [path.name for path in out.iterdir()] == ["first.failed.ipynb"]
    message = execution.failure(out / "first.failed.ipynb")
    assert message == f"{out / 'first.failed.ipynb'}: ValueError: so it is"


def test_several_runs_share_a_kernel_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    fault = "import os\nif head == 'soft': raise ValueError\nprint(os.getpid())"
    source = write_notebook(tmp_path / "in.ipynb", DECLARED, fault)
    last = write_notebook(tmp_path / "last.ipynb", DECLARED, "print(head, seed)")
    options = ["--into", str(tmp_path / "{head}" / "out"), "-p", "seed", "7"]
    with pytest.raises(SystemExit) as error:
        execution.main([str(source), str(last), *options, "--each", "head", "a", "b", "soft", "c"])
    assert error.value.code == 1
    pids = [texts(tmp_path / head / "out" / "in.ipynb") for head in "abc"]
    assert pids[0] == pids[1] != pids[2]  # another kernel after the failure
    assert texts(tmp_path / "b/out/last.ipynb") == ["b 7"]
    assert [path.name for path in (tmp_path / "soft/out").iterdir()] == ["in.failed.ipynb"]


def test_a_refused_parameter_starts_no_kernel(tmp_path: Path) -> None:
    sources = [write_notebook(tmp_path / f"{n}.ipynb", DECLARED) for n in "ab"]
    process = subprocess.run(
        [sys.executable, "-m", "moelib.study.execution", *sources, "--into", tmp_path / "out"]
        + ["-p", "sede", "1"],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert "no parameter 'sede'" in process.stderr
    assert len(process.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == sources


def test_a_failure_on_the_command_line_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = write_notebook(tmp_path / "in.ipynb", DECLARED, "raise ValueError('so it is')")
    with pytest.raises(SystemExit) as error:
        execution.main([str(source), "--into", str(tmp_path)])
    assert error.value.code == 1
    failed = tmp_path / "in.failed.ipynb"
    assert capsys.readouterr().err.splitlines()[-1] == f"{failed}: ValueError: so it is"


def full_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after papermill has written so many times; then a part of a file is left."""
    write, paths = papermill.iorw.LocalHandler.write, []

    def full(self: object, text: str, path: str) -> None:
        paths.append(path)
        if len(paths) <= count:
            return write(self, text, path)
        Path(path).write_text(text[: len(text) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(papermill.iorw.LocalHandler, "write", full)


@pytest.mark.parametrize("count", [0, 2])
def test_full_disk_is_a_sentence_and_leaves_no_part_of_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    source = write_notebook(tmp_path / "in.ipynb", DECLARED, "1", "2")
    full_after(count, monkeypatch)
    with refusal(ConfigError, tmp_path / "out" / "in.ipynb", "No space left on device"):
        execution.execute([source], {tmp_path / "out": {"seed": "1"}})
    assert list((tmp_path / "out").iterdir()) == []


def test_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "in.ipynb", DECLARED)
    file = tmp_path / "file"
    file.write_text("")
    (tmp_path / "out/in.ipynb").mkdir(parents=True)
    reasons = {file: "File exists", file / "below": "Not a directory", tmp_path / "out": "a folder"}
    for out, reason in reasons.items():
        with refusal(ConfigError, out / "in.ipynb", reason):
            execution.execute([source], {out: {}})
    assert sorted(tmp_path.iterdir()) == [file, source, tmp_path / "out"]


def test_kernel_without_its_interpreter_is_a_sentence_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_notebook(tmp_path / "in.ipynb", DECLARED)
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    interpreter = tmp_path / "gone" / "python"
    kernel = {"argv": [str(interpreter), "{connection_file}"], "display_name": "", "language": ""}
    (folder / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    with refusal(ConfigError, source, interpreter, "No such file or directory"):
        execution.execute([source], {tmp_path / "out": {}})
    assert not (tmp_path / "out" / "in.ipynb").exists()


def test_notebook_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    source = tmp_path / "nothing.ipynb"
    with refusal(SystemExit, f"no notebook {source}"):
        execution.main([str(source), "--into", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []
