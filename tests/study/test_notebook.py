"""Parameters are refused by name, type and value, whichever way a notebook is started."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import papermill
import pytest
from IPython.core.interactiveshell import InteractiveShell

from moelib.study import notebook
from moelib.study.base import ConfigError

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

DECLARED = 'head: str = "soft"  # which\nseed: int = 0\nrate: float = 0.1\nfast: bool = False'
CHECK = "from moelib.study.notebook import parameters\nvalues = parameters()"


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """IPython without a kernel: it keeps cells and names as a kernel does."""
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, *cells: str) -> dict:
    for cell in cells:
        shell.run_cell(cell, store_history=True).raise_error()
    return shell.user_ns["values"]


def write(path: Path, *cells: str) -> Path:
    """A notebook whose first cell declares the parameters."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell-{number}",
                "metadata": {"tags": [] if number else ["parameters"]},
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content))
    return path


def test_defaults_without_papermill(shell: InteractiveShell) -> None:
    values = run(shell, DECLARED, CHECK)
    assert values == {"head": "soft", "seed": 0, "rate": 0.1, "fast": False}


def test_injected_values_replace_defaults(shell: InteractiveShell) -> None:
    values = run(shell, DECLARED, '# Parameters\nhead = "dense"\nseed = 3\n', CHECK)
    assert (values["head"], values["seed"]) == ("dense", 3)


def test_cells_that_run_again_count_from_the_last_declaration(shell: InteractiveShell) -> None:
    with pytest.raises(ConfigError):
        run(shell, DECLARED, "# Parameters\nsed = 1\n", CHECK)
    assert run(shell, "x = 1", DECLARED, CHECK)["seed"] == 0
    assert run(shell, DECLARED.replace("0\n", "5\n"), CHECK, CHECK)["seed"] == 5


@pytest.mark.parametrize(
    "injected, sentence",
    [
        (
            "sede = 1",
            "The notebook has no parameter 'sede'; they are head, seed, rate, fast. "
            "Did you mean 'seed'?",
        ),
        ('seed = "1"', "The parameter 'seed' = '1' must be of type int, and not str."),
        ("seed = True", "The parameter 'seed' = True must be of type int, and not bool."),
        ("head = 3", "The parameter 'head' = 3 must be of type str, and not int."),
        ("fast = 1", "The parameter 'fast' = 1 must be of type bool, and not int."),
    ],
)
def test_wrong_injected_parameter_is_refused(
    shell: InteractiveShell, injected: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as error:
        run(shell, DECLARED, f"# Parameters\n{injected}\n", CHECK)
    assert str(error.value) == sentence


def test_texts_of_the_command_line_become_declared_types() -> None:
    declared = notebook.declaration(DECLARED)
    texts = {"head": "3", "seed": "3", "rate": "1", "fast": "True"}
    assert notebook.parse(texts, declared) == {"head": "3", "seed": 3, "rate": 1.0, "fast": True}
    for name, text in {"seed": "3.5", "rate": "x", "fast": "yes"}.items():
        with pytest.raises(ConfigError, match=f"'{name}' = '{text}' must be of type"):
            notebook.parse({name: text}, declared)


@pytest.mark.parametrize("line", ["seed = 0", "seed: int", "seed: list = []", "print(1)"])
def test_declaration_is_types_and_defaults_alone(line: str) -> None:
    with pytest.raises(ConfigError, match="A parameters cell holds lines"):
        notebook.declaration(line)


def test_papermill_by_hand_stops_at_a_wrong_name(tmp_path: Path) -> None:
    source = write(tmp_path / "in.ipynb", DECLARED, CHECK, "open('ran', 'w')")
    with pytest.raises(papermill.PapermillExecutionError) as error:
        papermill.execute_notebook(
            str(source),
            str(tmp_path / "out.ipynb"),
            {"typo": 1},
            cwd=str(tmp_path),
            progress_bar=False,
        )
    assert str(error.value).rstrip().splitlines()[-1] == (
        "ConfigError: The notebook has no parameter 'typo'; they are head, seed, rate, fast."
    )
    assert not (tmp_path / "ran").exists()


def test_refused_parameter_starts_no_kernel(tmp_path: Path) -> None:
    source = write(tmp_path / "in.ipynb", DECLARED)
    arguments = [source, tmp_path / "out.ipynb", "-p", "sede", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "moelib.study.notebook", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{source}: The notebook has no parameter 'sede'")
    assert list(tmp_path.iterdir()) == [source]


def test_killed_kernel_is_a_failure(tmp_path: Path) -> None:
    source = write(tmp_path / "in.ipynb", DECLARED, "import os; os.kill(os.getpid(), 9)", "1")
    with pytest.raises(Exception, match="Kernel died"):
        notebook.execute(source, tmp_path / "out.ipynb", {"seed": "1"})
    assert not (tmp_path / "out.ipynb").exists()
    assert (tmp_path / "out.failed.ipynb").exists()


def full_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after papermill has written so many times; then a part of a file is left."""
    write, written = papermill.iorw.LocalHandler.write, []

    def full(self: object, text: str, path: str) -> None:
        written.append(path)
        if len(written) <= count:
            return write(self, text, path)
        Path(path).write_text(text[: len(text) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(papermill.iorw.LocalHandler, "write", full)


@pytest.mark.parametrize("count", [0, 2])
def test_full_disk_is_a_sentence_and_leaves_no_part_of_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    source = write(tmp_path / "in.ipynb", DECLARED, "1", "2")
    full_after(count, monkeypatch)
    output = tmp_path / "out.ipynb"
    with pytest.raises(ConfigError) as error:
        notebook.execute(source, output, {"seed": "1"})
    assert str(error.value) == f"Cannot write {output}: No space left on device."
    assert list(tmp_path.iterdir()) == [source]


def test_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.ipynb", DECLARED)
    file, folder = tmp_path / "file", tmp_path / "folder.ipynb"
    file.write_text("")
    folder.mkdir()
    for output, sentence in [
        (file / "out.ipynb", "Cannot write {}: File exists."),
        (file / "below" / "out.ipynb", "Cannot write {}: Not a directory."),
        (folder, "The output {} is a folder; it must be a file."),
    ]:
        with pytest.raises(ConfigError) as error:
            notebook.execute(source, output, {})
        assert str(error.value) == sentence.format(output)
    assert sorted(tmp_path.iterdir()) == [file, folder, source]


def test_kernel_without_its_interpreter_is_a_sentence_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write(tmp_path / "in.ipynb", DECLARED), tmp_path / "out" / "out.ipynb"
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    interpreter = tmp_path / "gone" / "python"
    kernel = {"argv": [str(interpreter), "{connection_file}"], "display_name": "", "language": ""}
    (folder / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    with pytest.raises(ConfigError) as error:
        notebook.execute(source, output, {})
    assert str(error.value) == f"Cannot run {source}: {interpreter}: No such file or directory."
    assert not output.exists()


def test_notebook_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    source = tmp_path / "nothing.ipynb"
    with pytest.raises(SystemExit) as error:
        notebook.main([str(source), str(tmp_path / "out.ipynb")])
    assert str(error.value) == f"{source}: There is no notebook {source}."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_describes_each_parameter(path: Path) -> None:
    described = papermill.inspect_notebook(str(path))
    declared = notebook.declared_in(path)
    assert {name: kind.__name__ for name, kind in declared.items()} == {
        name: parameter["inferred_type_name"] for name, parameter in described.items()
    }
    assert declared and all(parameter["help"] for parameter in described.values())
