"""Which code computes a result: a digest of the definitions that it is made by.

An edit that changes no number must make no record stale. So the digest is of definitions and not of
files: of a function or class of moelib, of all that it names, and of what these name in turn; of
each the syntax tree, without what only words, draws, or declares, and without the names of local
variables. Of an object only the type could tell which method is called: methods of a run and of the
configuration count wherever one of their name is.
"""

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from moelib.records.provenance import digest
from moelib.records.syntax import chain, computing, is_words, text
from moelib.study.notebook import code_cells

PACKAGE = Path(__file__).resolve().parents[1]
# What keeps and shows numbers, and makes none: rooms, and the command line of benchmarks.
SILENT = ("moelib.records", "moelib.report", "moelib.analyses.benchmark")
# Declarations: their values are in the record, resolved.
DECLARATIONS = {"Frozen", "Numbers"}
# What these return is digested itself: the images of a data set, pixel by pixel.
DIGESTED = {"moelib.training.data.load_data"}
STREAMS = {"moelib.study.run.Run": {"stream", "paired_stream"}}  # what a run computes


@dataclass(frozen=True)
class Definition:
    """A name at the top level of a module of moelib, or `Class.method`."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class _Module:
    """The top level of one file: definitions by name, and what imported names stand for."""

    name: str
    settings: list[ast.stmt] = field(default_factory=list)  # calls at its import
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)  # of moelib
    libraries: dict[str, str] = field(default_factory=dict)  # of all else


def code_digest(*roots: str, kinds: Iterable[str] = ()) -> str:
    """SHA-256 of the code that computes what the definitions `roots` return.

    Of a `functools.singledispatch` function only the implementations for the classes `kinds` count,
    and of the configuration only their methods: what computes another head than the run's is no
    part of the run.

    Args:
        roots: dotted names of definitions, such as moelib.training.train.train.
        kinds: names of the configuration's classes on which this run dispatches.

    Raises:
        LookupError: moelib defines no such name.
    """
    return digest(part.encode() for part in _parts(definitions(*roots, kinds=kinds)))


def script_digest(script: str | os.PathLike) -> str:
    """SHA-256 of the code of a script: of its own, and of all of moelib that it computes with.

    Of a `functools.singledispatch` function every implementation counts.
    """
    tree = ast.parse(Path(script).read_text(encoding="utf-8"))
    names = {name: path for node in tree.body for name, path in _imported(node).items()}
    own = [text(node) for node in tree.body if not is_words(node) and not _imported(node)]
    mentions = _mentions(tree, _Module("", imports=names))
    return digest(part.encode() for part in (*own, *_parts(_reached(mentions, None))))


def page_digest(notebook: str | os.PathLike) -> str:
    """SHA-256 of the code of moelib that a page of the book shows: words, colours and all."""
    cells = (ast.parse(_without_magics(source)) for source, _ in code_cells(notebook))
    page = ast.Module([node for cell in cells for node in cell.body], [])
    names = {name: path for node in page.body for name, path in _imported(node).items()}
    waiting, reached = [*_mentions(page, _Module("", imports=names))], set()
    while waiting:
        definition = waiting.pop()
        if definition in reached:
            continue
        reached.add(definition)
        module = _module(definition.module)
        nodes = module.definitions[definition.name] + module.settings
        waiting += [mention for node in nodes for mention in _mentions(node, module)]
    parts = (
        f"{definition} {ast.dump(node)}"
        for definition in sorted(reached, key=str)
        for module in [_module(definition.module)]
        for node in module.definitions[definition.name] + module.settings
    )
    return digest(part.encode() for part in parts)


def definitions(*roots: str, kinds: Iterable[str] = ()) -> list[Definition]:
    """List the definitions that `code_digest` covers, by their names."""
    resolved = [_resolve(root) for root in roots]
    if None in resolved:
        raise LookupError(f"moelib defines no {roots[resolved.index(None)]}.")
    return _reached(resolved, frozenset(kinds))


def _parts(reached: Iterable[Definition]) -> Iterator[str]:
    """Of each definition its tree, and which libraries the names in it stand for."""
    for definition in reached:
        module = _module(definition.module)
        for node in module.definitions[definition.name]:
            names = {name for inner in _inner(node) for name in chain(inner)[:1]}
            libraries = sorted(f"{n}={module.libraries[n]}" for n in names & {*module.libraries})
            yield f"{definition} {libraries} {_written(node)}"


@cache
def _written(node: ast.AST) -> str:
    return text(node)  # once for all digests that a definition is part of


@cache
def _inner(node: ast.AST) -> tuple[ast.AST, ...]:
    return tuple(computing(node))


def _reached(roots: Iterable[Definition], kinds: frozenset[str] | None) -> list[Definition]:
    """The computing definitions from the roots on; of dispatched ones all if `kinds` is None."""
    waiting, reached, methods = list(roots), set(), _methods(kinds)
    while waiting:
        definition = waiting.pop()
        if definition in reached or _is_silent(definition):
            continue
        reached.add(definition)
        module = _module(definition.module)
        for node in module.definitions[definition.name]:
            waiting += _mentions(node, module)
            waiting += [m for name in _accessed(node, module) for m in methods.get(name, [])]
            if _is_dispatched(node):
                waiting += _implementations(definition.name, kinds)
    return sorted(reached, key=str)


def _module(name: str) -> _Module:
    path = PACKAGE.parent / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return _parsed(name, path, path.stat().st_mtime_ns)  # a notebook lives through edits


@cache
def _parsed(name: str, path: Path, _: int) -> _Module:
    module = _Module(name)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        module.imports.update(_imported(node))
        module.libraries.update(_imported(node, own=False))
        if isinstance(node, ast.Expr) and not is_words(node):
            module.settings.append(node)
        for target in _defined(node):
            module.definitions.setdefault(target, []).append(node)
        for method in _functions(node):
            module.definitions[f"{node.name}.{method.name}"] = [method]
    return module


def _is_module(name: str) -> bool:
    path = PACKAGE.parent / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def _defined(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        case ast.AnnAssign(target=ast.Name(name)) | ast.AugAssign(target=ast.Name(name)):
            return [name]
    return []


def _imported(node: ast.AST, *, own: bool = True) -> dict[str, str]:
    """What the local names of an import of moelib stand for, or of an import of anything else."""
    match node:
        case ast.ImportFrom(module=str(module), names=aliases):
            names = {alias.asname or alias.name: f"{module}.{alias.name}" for alias in aliases}
        case ast.Import(names=aliases):
            names = {
                alias.asname or alias.name.split(".")[0]: alias.name
                if alias.asname
                else alias.name.split(".")[0]
                for alias in aliases
            }
        case _:
            return {}
    return {name: path for name, path in names.items() if (path.split(".")[0] == "moelib") == own}


def _functions(node: ast.stmt) -> list[ast.FunctionDef]:
    """The methods of a class; none of anything else."""
    body = node.body if isinstance(node, ast.ClassDef) else []
    return [inner for inner in body if isinstance(inner, ast.FunctionDef)]


def _methods(kinds: frozenset[str] | None) -> dict[str, list[Definition]]:
    """By name the methods of a run and of the configuration's classes `kinds`: None is all."""
    methods: dict[str, list[Definition]] = {}
    for path in sorted((PACKAGE / "study").glob("*.py")):
        name = f"moelib.study.{path.stem}"
        nodes = (node for nodes in _module(name).definitions.values() for node in nodes)
        classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
        counted = {*classes} if kinds is None else _lineage(kinds, classes)
        for owner, node in classes.items():
            for function in _functions(node):
                if owner in counted or function.name in STREAMS.get(f"{name}.{owner}", ()):
                    definition = Definition(name, f"{owner}.{function.name}")
                    methods.setdefault(function.name, []).append(definition)
    return methods


def _lineage(names: Iterable[str], classes: Mapping[str, ast.ClassDef]) -> set[str]:
    """Those of the classes that have these names, and what they inherit from."""
    own = {name for name in names if name in classes}
    bases = {b.id for name in own for b in classes[name].bases if isinstance(b, ast.Name)}
    return own | _lineage(bases, classes) if bases else own


def _accessed(node: ast.AST, module: _Module) -> set[str]:
    """Names of attributes of objects: not of libraries."""
    accessed = (inner for inner in _inner(node) if isinstance(inner, ast.Attribute))
    return {a.attr for a in accessed if not {*chain(a)[:1]} & {*module.libraries}}


def _resolve(dotted: str) -> Definition | None:
    """The definition that a dotted name stands for, through modules and re-imported names."""
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        if _is_module(name):
            module, target = _module(name), parts[cut]
            if target in module.definitions:
                return Definition(name, target)
            if target in module.imports:
                return _resolve(".".join([module.imports[target], *parts[cut + 1 :]]))
            return None
    return None


def _is_silent(definition: Definition) -> bool:
    if f"{definition.module}.".startswith(tuple(f"{name}." for name in SILENT)):
        return True
    if str(definition) in DIGESTED or str(definition) in STREAMS:
        return True
    nodes = _module(definition.module).definitions[definition.name]
    return any(_is_declaration(node, definition.module) for node in nodes)


def _is_declaration(node: ast.stmt, module: str) -> bool:
    if not isinstance(node, ast.ClassDef):
        return False
    for base in (b.id for b in node.bases if isinstance(b, ast.Name)):
        if base in DECLARATIONS:
            return True
        above = _module(module).definitions.get(base, [])
        if any(_is_declaration(n, module) for n in above):
            return True
    return False


def _mentions(node: ast.AST, module: _Module) -> Iterator[Definition]:
    """The definitions of moelib that a definition names, but in annotations and words."""
    names = dict(module.imports)
    for inner in _inner(node):
        names.update(_imported(inner))
    for inner in _inner(node):
        if not chain(inner):
            continue
        first, *rest = chain(inner)
        if first in module.definitions:
            yield Definition(module.name, first)
        elif first in names:
            definition = _resolve(".".join([names[first], *rest]))
            if definition is not None:
                yield definition


def _is_dispatched(node: ast.stmt) -> bool:
    decorators = getattr(node, "decorator_list", ())
    return any(chain(d)[-1:] == ["singledispatch"] for d in decorators)


def _implementations(function: str, kinds: frozenset[str] | None) -> Iterator[Definition]:
    """The functions under `@function.register` whose first parameter is of one of the classes."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if path.stem == "__init__":
            continue
        for target, nodes in _module(name).definitions.items():
            for node in nodes:
                if any(
                    chain(d)[-2:] == [function, "register"]
                    for d in getattr(node, "decorator_list", ())
                ) and (kinds is None or kinds & set(_classes(node.args.args[0].annotation))):
                    yield Definition(name, target)


def _classes(annotation: ast.expr | None) -> Iterator[str]:
    """The classes in an annotation such as `config.Soft | config.Uniform`."""
    match annotation:
        case ast.BinOp(left, ast.BitOr(), right):
            yield from _classes(left)
            yield from _classes(right)
        case ast.Name(name) | ast.Attribute(attr=name):
            yield name


def _without_magics(source: str) -> str:
    lines = source.splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
