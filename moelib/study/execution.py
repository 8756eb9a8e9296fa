"""Execution of notebooks: one after another in one kernel, by papermill.

    python -m moelib.study.execution NOTEBOOK... --into FOLDER
        [-p NAME VALUE ...] [--each NAME VALUE ...]

A kernel imports torch and seaborn in seconds, and most notebooks of a run take no longer than that.
So they share one. With `--each` so do those of several runs: the notebooks are executed once for
each value of that parameter, and its name in braces stands for the value in FOLDER. Between two of
them the kernel forgets all names and every module of moelib: each notebook starts as if alone, and
an edit counts from the next notebook on.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moelib.study.base import ConfigError
from moelib.study.notebook import declared_in, parse

FAILED = ".failed.ipynb"
LAUNCHED = "MOELIB_WORKFLOW"  # in the environment of every process below workflow/run
FORGET = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "moelib"]:
    del sys.modules[name]
get_ipython().reset(new_session=True)
"""


def execute(notebooks: Sequence[Path], runs: Mapping[Path, Mapping[str, str]]) -> list[Path]:
    """Run notebooks from top to bottom, in each folder with its parameters; keep their outputs.

    An output appears under the notebook's name in its folder only when every cell has run. A
    notebook that failed is kept there as `*.failed.ipynb`, with the error in its place, unless the
    disk had no room for it. The others of a folder need its first: if it fails, none of them runs.

    Args:
        notebooks: that are executed in this order.
        runs: the parameters, as texts, by the folder of the outputs.

    Returns:
        Where the notebooks are kept of which a cell failed, or whose kernel died.

    Raises:
        ConfigError: there is no such notebook, it refuses a parameter, its kernel cannot start, or
            its output cannot be written.
    """
    declared = {notebook: _declared(notebook) for notebook in notebooks}
    waiting = [
        (notebook, folder / notebook.name, parse(texts, declared[notebook]))
        for folder, texts in runs.items()
        for notebook in notebooks
    ]
    # jsonschema, which papermill brings along, would build a grammar of IRIs at its import, for two
    # seconds in each process; it does without where the module cannot be imported.
    sys.modules.setdefault("rfc3987_syntax", None)
    from nbclient.exceptions import DeadKernelError  # here, since a refusal needs neither
    from papermill import PapermillExecutionError

    failed: list[Path] = []
    while waiting:
        with _kernel() as kernel:  # another one after a failure
            try:
                while waiting:
                    notebook, output, values = waiting.pop(0)
                    print(f"{output}: begins", file=sys.stderr, flush=True)
                    _execute(notebook, output, values, kernel)
                    _forget(kernel)
            except (PapermillExecutionError, DeadKernelError):
                failed.append(output.with_suffix(FAILED))
                if notebook == notebooks[0]:
                    waiting = [task for task in waiting if task[1].parent != output.parent]
    return failed


def failure(notebook: Path) -> str:
    """Name a notebook that failed, with the error that it shows: `PATH: Name: message`."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError):  # cut short by a full disk, say
        return str(notebook)
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    errors = (f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error")
    return ": ".join([str(notebook), *[*errors][:1]])


def _declared(notebook: Path) -> dict[str, type]:
    if not notebook.is_file():
        raise ConfigError(f"There is no notebook {notebook}.")
    return declared_in(notebook)


@contextmanager
def _kernel() -> Iterator[Any]:
    """A kernel that outlives the notebooks it runs; it starts with the first of them."""
    from jupyter_client import AsyncKernelManager
    from jupyter_core.utils import run_sync

    clients = []  # one for each notebook: nbclient leaves open what is not its own kernel's

    class Kernel(AsyncKernelManager):
        def client(self, **options: Any) -> Any:
            clients.append(super().client(**options))
            return clients[-1]

    kernel = Kernel()
    try:
        yield kernel
    finally:
        for client in clients:
            client.stop_channels()
        run_sync(kernel.shutdown_kernel)(now=True)


def _execute(notebook: Path, output: Path, values: Mapping[str, Any], kernel: Any) -> None:
    """Run one notebook in a kernel, which starts if it does not run yet.

    Raises:
        papermill.PapermillExecutionError, nbclient.exceptions.DeadKernelError: as `execute` tells.
        ConfigError: the kernel cannot start, or the output cannot be written.
    """
    if output.is_dir():
        raise ConfigError(f"The output {output} is a folder; it must be a file.")
    try:
        _write(notebook, output, values, kernel)
    except OSError as error:
        path = Path(error.filename or output)  # a full disk is no matter of one file
        if path in output.parents or path.parent == output.parent:
            raise ConfigError(f"Cannot write {output}: {error.strerror or error}.") from None
        raise ConfigError(f"Cannot run {notebook}: {path}: {error.strerror}.") from None


def _write(notebook: Path, output: Path, values: Mapping[str, Any], kernel: Any) -> None:
    import papermill

    output.parent.mkdir(parents=True, exist_ok=True)
    running = output.with_suffix(".running.ipynb")
    failed = output.with_suffix(FAILED)
    failed.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(running),
            values,
            progress_bar=False,
            km=kernel,
            extra_arguments=["--log-level=ERROR"],  # a kernel warns that it listens on localhost
        )
    except BaseException:
        if _is_whole(running):
            running.replace(failed)
        running.unlink(missing_ok=True)
        raise
    running.replace(output)


def _forget(kernel: Any) -> None:
    """Make a running kernel as new, but for what it has imported of other packages."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    NotebookClient(new_notebook(cells=[new_code_cell(FORGET)]), km=kernel).execute()


def _is_whole(notebook: Path) -> bool:
    """Whether a notebook is there and was written to its end."""
    try:
        json.loads(notebook.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Execute the notebooks that a command line names; exit with 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m moelib.study.execution")
    parser.add_argument("notebooks", type=Path, nargs="+", metavar="NOTEBOOK")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--each", nargs="+", metavar=("NAME", "VALUE"))
    options = parser.parse_args(arguments)
    runs = {options.into: dict(options.p)}
    if options.each:
        name, *values = options.each
        runs = {
            Path(str(options.into).replace(f"{{{name}}}", value)): {**dict(options.p), name: value}
            for value in values
        }
    try:
        failed = execute(options.notebooks, runs)
    except ConfigError as error:
        sys.exit(str(error))
    for notebook in failed:
        if LAUNCHED not in os.environ or not notebook.exists():  # else the launcher ends with it
            print(failure(notebook), file=sys.stderr)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
