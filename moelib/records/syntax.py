"""What is left of a syntax tree when words are taken out: what computes.

The order of the fields, and no others than these, so that the text is the same in every version of
Python.
"""

import ast
from collections.abc import Iterator, Mapping
from types import MappingProxyType

NONE: Mapping[str, str] = MappingProxyType({})
WORDS = {"print", "warn"}  # calls that only tell
PROGRESS = {"tqdm", "trange"}  # calls whose keywords only tell


def computing(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it that computes."""
    yield node
    for _, value in _fields(node):
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST):
                yield from computing(inner)


def text(node: object, names: Mapping[str, str] = NONE) -> str:
    """The tree as text; `names` are what stands for the names that a function binds itself."""
    match node:
        case ast.Name(name) if name in names:
            return f"Name(id={names[name]})"
        case ast.AST():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = names or _bound(node)
            inner = ",".join(f"{name}={text(value, names)}" for name, value in _fields(node))
            return f"{type(node).__name__}({inner})"
        case list():
            return f"[{','.join(text(inner, names) for inner in node)}]"
    return repr(node)


def _bound(function: ast.AST) -> dict[str, str]:
    """The names that a function binds, but its parameters: what they are called is words too."""
    names, called = {}, set()
    for node in computing(function):
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
        if isinstance(node, ast.Call) and name != "func":  # words of an error, wherever it is made
            value = [] if _callee(node).endswith("Error") else value
        if isinstance(value, list):
            value = [inner for inner in value if not is_words(inner)]
        if value not in (None, []):
            yield name, value


def is_words(node: object) -> bool:
    """Whether a statement is a docstring, another text, or a call that only tells or refuses."""
    match node:
        case ast.Expr(ast.Constant()):
            return True
        case ast.Expr(ast.Call() as call):
            name = _callee(call)
            return name in WORDS or name.lstrip("_").startswith("refuse")
    return False


def _callee(call: ast.Call) -> str:
    return (chain(call.func) or [""])[-1]


def chain(node: ast.AST) -> list[str]:
    """The parts of a name `a` or of a chain of attributes `a.b.c`; none of anything else."""
    match node:
        case ast.Name(name):
            return [name]
        case ast.Attribute(value, name):
            before = chain(value)
            return [*before, name] if before else []
    return []
