"""Notebooks as functions: what a notebook declares as its parameters, strictly.

A notebook declares its parameters in a cell tagged `parameters`, one per line, with their types:

    study: str = "quick"  # name of a study in studies/

and asks for them in the next code cell: `parameters()`. Papermill itself only warns about a name
that the notebook does not know, and never looks at types.
"""

import ast
import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moelib.study.base import ConfigError

TYPES = {"str": str, "int": int, "float": float, "bool": bool}


def parameters() -> dict[str, Any]:
    """Return the parameters of the running notebook, each by its declared name.

    Call it in the cell after the parameters. The declaration is the latest executed cell that
    holds only `name: type = default`; papermill's injected cell comes after it, if there is one.
    From then on the notebook shows a refusal, whichever cell it ends, as one sentence. In
    JupyterLab edited modules are read again before each cell.

    Raises:
        ConfigError: an injected name is not declared, or a value is not of its declared type.
    """
    from IPython import get_ipython  # here, since only a kernel needs it

    shell = get_ipython()
    if shell is None:
        raise ConfigError("parameters() reads the cells of a notebook: call it in one.")
    shell.set_custom_exc((ConfigError,), _tell)
    if "JPY_SESSION_NAME" in os.environ:  # of a kernel that a person works with
        shell.run_line_magic("load_ext", "autoreload")
        shell.run_line_magic("autoreload", "2")
    declared: dict[str, type] = {}
    injected: list[str] = []
    for source in shell.user_ns["In"][:-1]:  # the last one is the cell that runs now
        if _is_declaration(source):
            declared, injected = declaration(source), []
        elif source.startswith("# Parameters\n"):
            injected = _assigned(source)
    for name in injected:
        _refuse_unknown(name, declared)
    return check({name: shell.user_ns[name] for name in declared}, declared)


def declaration(source: str) -> dict[str, type]:
    """Read a parameters cell: the type of each name.

    >>> declaration("seed: int = 0  # of the run")
    {'seed': <class 'int'>}

    Raises:
        ConfigError: a line is not `name: type = default`, or the type is not one of `TYPES`.
    """
    declared = {}
    for line in ast.parse(source).body:
        match line:
            case ast.AnnAssign(ast.Name(name), ast.Name(kind), ast.expr()) if kind in TYPES:
                declared[name] = TYPES[kind]
            case _:
                raise ConfigError(
                    f"A parameters cell holds lines `name: type = default` with a type of "
                    f"{', '.join(TYPES)}, and not `{ast.unparse(line)}`."
                )
    return declared


def check(values: Mapping[str, Any], declared: Mapping[str, type]) -> dict[str, Any]:
    """Return the values if each has a declared name and exactly its declared type."""
    for name, value in values.items():
        _refuse_unknown(name, declared)
        if type(value) is not declared[name]:
            raise ConfigError(
                f"The parameter '{name}' = {value!r} must be of type {declared[name].__name__}, "
                f"and not {type(value).__name__}."
            )
    return dict(values)


def parse(texts: Mapping[str, str], declared: Mapping[str, type]) -> dict[str, Any]:
    """Turn the texts of a command line into values of the declared types.

    >>> parse({"seed": "3"}, {"seed": int})
    {'seed': 3}
    """
    values = {}
    for name, text in texts.items():
        _refuse_unknown(name, declared)
        kind = declared[name]
        try:
            values[name] = {"True": True, "False": False}[text] if kind is bool else kind(text)
        except (ValueError, KeyError):
            raise ConfigError(
                f"The parameter '{name}' = '{text}' must be of type {kind.__name__}."
            ) from None
    return values


def declared_in(notebook: str | os.PathLike) -> dict[str, type]:
    """Read the parameters that a notebook declares: none, if no cell is tagged `parameters`."""
    for source, tags in code_cells(notebook):
        if "parameters" in tags:
            return declaration(source)
    return {}


def code_cells(notebook: str | os.PathLike) -> list[tuple[str, list[str]]]:
    """Read the source and the tags of each code cell."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    return [
        ("".join(cell["source"]), cell["metadata"].get("tags", []))
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def _tell(shell: Any, kind: type[ConfigError], error: ConfigError, *_: Any, **__: Any) -> None:
    """Show a refusal as its sentence: where in our code it was raised helps nobody."""
    shell._showtraceback(kind, error, [f"{kind.__name__}: {error}"])


def _is_declaration(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a cell with magics
        return False
    return bool(body) and all(isinstance(line, ast.AnnAssign) for line in body)


def _assigned(source: str) -> list[str]:
    return [
        target.id
        for line in ast.parse(source).body
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    ]


def _refuse_unknown(name: str, declared: Mapping[str, type]) -> None:
    if name not in declared:
        close = difflib.get_close_matches(name, declared, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        known = f"they are {', '.join(declared)}" if declared else "it has none"
        raise ConfigError(f"The notebook has no parameter '{name}'; {known}.{hint}")
