"""Which code computes a result: a digest of the definitions that it is made by.

An edit that changes no number must make no record stale. So the digest is of definitions and not of
files: of a function or class of moelib, of all that it names, and of what these name in turn; of
each the syntax tree, without what only words, draws, or declares, and without the names of local
variables.
"""

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from moelib.records.provenance import digest
from moelib.study.notebook import code_cells

PACKAGE = Path(__file__).resolve().parents[1]
# What keeps and shows numbers, and makes none: rooms, and the command line of benchmarks.
SILENT = ("moelib.records", "moelib.report", "moelib.analyses.benchmark")
# Declarations: their values are in the record, resolved.
DECLARATIONS = {"Frozen", "Numbers"}
# What these return is digested itself: the images of a data set, pixel by pixel.
DIGESTED = {"moelib.training.data.load_data"}
NONE: Mapping[str, str] = MappingProxyType({})
WORDS = {"print", "warn"}  # calls that only tell
PROGRESS = {"tqdm", "trange"}  # calls whose keywords only tell


@dataclass(frozen=True)
class Definition:
    """A name at the top level of a module of moelib."""

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
    imports: dict[str, str] = field(default_factory=dict)


def code_digest(*roots: str, kinds: Iterable[str] = ()) -> str:
    """SHA-256 of the code that computes what the definitions `roots` return.

    Of a `functools.singledispatch` function only the implementations for the classes `kinds` count:
    what computes another head than the run's is no part of the run.

    Args:
        roots: dotted names of definitions, such as moelib.training.train.train.
        kinds: names of the configuration's classes on which this run dispatches.

    Raises:
        LookupError: moelib defines no such name.
    """
    parts = (
        f"{definition} {_text(node)}"
        for definition in definitions(*roots, kinds=kinds)
        for node in _module(definition.module).definitions[definition.name]
    )
    return digest(part.encode() for part in parts)


def script_digest(script: str | os.PathLike) -> str:
    """SHA-256 of the code of a script: of its own, and of all of moelib that it computes with.

    Of a `functools.singledispatch` function every implementation counts.
    """
    tree = ast.parse(Path(script).read_text(encoding="utf-8"))
    names = {name: path for node in tree.body for name, path in _imported(node).items()}
    own = [_text(node) for node in tree.body if not _is_words(node) and not _is_import(node)]
    mentions = _mentions(tree, _Module("", imports=names))
    reached = (
        f"{definition} {_text(node)}"
        for definition in _reached(mentions, None)
        for node in _module(definition.module).definitions[definition.name]
    )
    return digest(part.encode() for part in (*own, *reached))


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


def _reached(roots: Iterable[Definition], kinds: frozenset[str] | None) -> list[Definition]:
    """The computing definitions from the roots on; of dispatched ones all if `kinds` is None."""
    waiting, reached = list(roots), set()
    while waiting:
        definition = waiting.pop()
        if definition in reached or _is_silent(definition):
            continue
        reached.add(definition)
        module = _module(definition.module)
        for node in module.definitions[definition.name]:
            waiting += _mentions(node, module)
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
        if isinstance(node, ast.Expr) and not _is_words(node):
            module.settings.append(node)
        for target in _defined(node):
            module.definitions.setdefault(target, []).append(node)
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


def _imported(node: ast.AST) -> dict[str, str]:
    """What the local names of an import of moelib stand for."""
    match node:
        case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "moelib":
            return {alias.asname or alias.name: f"{module}.{alias.name}" for alias in names}
        case ast.Import(names=names):
            return {
                alias.asname or alias.name.split(".")[0]: alias.name
                if alias.asname
                else alias.name.split(".")[0]
                for alias in names
                if alias.name.split(".")[0] == "moelib"
            }
    return {}


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
    if str(definition) in DIGESTED:
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
    for inner in _computing(node):
        names.update(_imported(inner))
    for inner in _computing(node):
        dotted = _dotted(inner)
        if dotted is None:
            continue
        first, *rest = dotted
        if first in module.definitions:
            yield Definition(module.name, first)
        elif first in names:
            definition = _resolve(".".join([names[first], *rest]))
            if definition is not None:
                yield definition


def _dotted(node: ast.AST) -> list[str] | None:
    """The parts of a name `a` or of a chain of attributes `a.b.c`."""
    match node:
        case ast.Name(name):
            return [name]
        case ast.Attribute(value, name):
            before = _dotted(value)
            return None if before is None else [*before, name]
    return None


def _is_dispatched(node: ast.stmt) -> bool:
    decorators = getattr(node, "decorator_list", ())
    return any((_dotted(d) or [""])[-1] == "singledispatch" for d in decorators)


def _implementations(function: str, kinds: frozenset[str] | None) -> Iterator[Definition]:
    """The functions under `@function.register` whose first parameter is of one of the classes."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if path.stem == "__init__":
            continue
        for target, nodes in _module(name).definitions.items():
            for node in nodes:
                if any(
                    (_dotted(d) or [])[-2:] == [function, "register"]
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


# What is left of a syntax tree when words are taken out. The order of the fields, and no others
# than these, so that the text is the same in every version of Python.


def _computing(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for _, value in _fields(node):
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST):
                yield from _computing(inner)


def _text(node: object, names: Mapping[str, str] = NONE) -> str:
    """The tree as text; `names` are what stands for the names that a function binds itself."""
    match node:
        case ast.Name(name) if name in names:
            return f"Name(id={names[name]})"
        case ast.AST():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = names or _bound(node)
            inner = ",".join(f"{name}={_text(value, names)}" for name, value in _fields(node))
            return f"{type(node).__name__}({inner})"
        case list():
            return f"[{','.join(_text(inner, names) for inner in node)}]"
    return repr(node)


def _bound(function: ast.AST) -> dict[str, str]:
    """The names that a function binds, but its parameters: what they are called is words too."""
    names, called = {}, set()
    for node in _computing(function):
        match node:
            case ast.Name(name, ast.Store()):
                names.setdefault(name, f"local {len(names)}")
            case ast.arg(name):
                called.add(name)  # a call may name it
            case ast.Global(others) | ast.Nonlocal(others):
                called.update(others)
    return {name: place for name, place in names.items() if name not in called}


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "ctx", "kind", "type_comment"):
            continue
        if isinstance(node, ast.Raise):  # whether it is raised counts, and not in which words
            value = value.func if isinstance(value, ast.Call) else value
        if isinstance(node, ast.Call) and name == "keywords":
            value = [] if _callee(node) in PROGRESS else value
        if isinstance(value, list):
            value = [inner for inner in value if not _is_words(inner)]
        if value not in (None, []):
            yield name, value


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _is_words(node: object) -> bool:
    """Whether a statement is a docstring, another text, or a call that only tells."""
    match node:
        case ast.Expr(ast.Constant()):
            return True
        case ast.Expr(ast.Call() as call):
            return _callee(call) in WORDS
    return False


def _callee(call: ast.Call) -> str:
    return (_dotted(call.func) or [""])[-1]
