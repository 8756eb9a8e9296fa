"""Which modules of moelib a notebook depends on: an edit re-runs what uses it, and no more."""

import ast
import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp

from moelib.study.notebook import code_cells

PACKAGE = Path(__file__).resolve().parents[1]


def modules_of(notebook: str | os.PathLike) -> list[Path]:
    """List the files of the moelib modules that a notebook imports, directly or through others.

    A room's `__init__.py` is left out: it is a docstring.
    """
    return _closure(set(_imported_names(notebook)))


def source_digest(module: str) -> str:
    """SHA-256 over the source of a module of moelib and of all that it imports from moelib."""
    total = hashlib.sha256()
    for path in _closure({module}):
        content = path.read_bytes()
        total.update(f"{path.name}\n{len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


def _closure(names: set[str]) -> list[Path]:
    graph = _import_graph()
    direct = names & graph.modules
    closure = direct.union(*(graph.find_upstream_modules(name) for name in direct))
    files = (PACKAGE.parent / f"{name.replace('.', '/')}.py" for name in closure)
    return sorted(file for file in files if file.is_file())


@cache
def _import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("moelib", cache_dir=None)


def _imported_names(notebook: str | os.PathLike) -> Iterator[str]:
    """Dotted names that are imported; `from moelib import a` may name a module or a value."""
    for source, _ in code_cells(notebook):
        for node in ast.walk(ast.parse(_without_magics(source))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_magics(source: str) -> str:
    lines = source.splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
