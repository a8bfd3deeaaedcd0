"""The package as a graph: which modules each module refers to.

Three kinds of reference count alike: import statements, also inside functions and for the type checker; calls such as
``lookup("method", ...)``; and strings such as ``"tunekit.reports.render.tidy:write"``. The tables of ``registry.py``
are the exception: they name every method, task and backbone so that nothing else has to, and what they name is counted
where it is looked up. (Counted in the registry itself, each module that looks one name up would depend on everything
that has a name, and the graph could not be without cycles.)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tunekit import registry

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tunekit"

REGISTRY = "tunekit.registry"
"""The module whose strings are not references of its own."""

TARGET = re.compile(r"tunekit(\.\w+)+:\w+")
"""A string that leads to an object of ours."""


@dataclass(frozen=True)
class Import:
    """One name that a module imports."""

    name: str
    """Absolute and dotted; of ``from a import b`` it is ``a.b``."""
    line: int
    is_inside: bool
    """Inside a function, or only for the type checker: importing the module does not import it."""
    alias: str = ""
    """What the module calls it."""


@dataclass(frozen=True)
class Lookup:
    """One call of ``lookup``."""

    registry: str | None
    """The registry's name; None where it is no literal."""
    line: int


def modules() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def label(path: Path) -> str:
    """A module's path from the repository's root, for messages."""
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    """``tunekit.x.y``; a package's ``__init__`` has the package's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def path_of(module: str) -> Path | None:
    """The file of a module of ours; None if there is none of that name."""
    return _paths().get(module)


@cache
def _paths() -> Mapping[str, Path]:
    return {module_name(path): path for path in modules()}


@cache
def tree(path: Path) -> ast.Module:
    """A module, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """All imports of a module, those inside functions and under ``TYPE_CHECKING`` included."""
    return tuple(_imports(tree(path), path, is_inside=False))


def _imports(node: ast.AST, path: Path, *, is_inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, is_inside, alias.asname or alias.name)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                name = f"{_origin(child, path)}.{alias.name}"
                yield Import(name, child.lineno, is_inside, alias.asname or alias.name)
        else:
            hides = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_type_checking(child)
            yield from _imports(child, path, is_inside=is_inside or hides)


def _origin(node: ast.ImportFrom, path: Path) -> str:
    if node.level == 0:
        return node.module or ""
    package = path.relative_to(ROOT).parent.parts
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def lookups(path: Path) -> tuple[Lookup, ...]:
    """Every call of ``lookup`` or ``registry.lookup`` in a module."""
    calls = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
    found = (call for call in calls if ast.unparse(call.func) in ("lookup", "registry.lookup"))
    return tuple(Lookup(_literal(call.args[0] if call.args else None), call.lineno) for call in found)


def _literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def targets(path: Path) -> tuple[tuple[str, int], ...]:
    """Strings ``"tunekit.x:y"`` in a module, each with its line; none in the registry."""
    if module_name(path) == REGISTRY:
        return ()
    strings = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return tuple((node.value, node.lineno) for node in strings if TARGET.fullmatch(str(node.value)))


@cache
def graph() -> Mapping[str, Mapping[str, int]]:
    """Every module with the modules that it refers to, each with the line of the first reference."""
    edges: dict[str, dict[str, int]] = {}
    for path in modules():
        here = module_name(path)
        found = edges.setdefault(here, {})
        for there, line in _references(path):
            if there != here:
                found.setdefault(there, line)
    return edges


def _references(path: Path) -> Iterator[tuple[str, int]]:
    here = module_name(path)
    for imported in imports(path):
        if imported.name.split(".")[0] == "tunekit":
            for name in _used(path, imported):
                yield _home(name, here), imported.line
    for call in lookups(path):
        for target in registry.REGISTRIES.get(call.registry or "", {}).values():
            yield target.partition(":")[0], call.line
    for target, line in targets(path):
        yield target.partition(":")[0], line


def _used(path: Path, imported: Import) -> Iterable[str]:
    """What an import is for: of a package that is imported whole, the names that the module takes from it."""
    there = path_of(imported.name)
    if there is None or there.name != "__init__.py":
        return [imported.name]
    taken = {
        f"{imported.name}.{node.attr}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == imported.alias
    }
    return sorted(taken) or [imported.name]


def _home(name: str, here: str) -> str:
    """The module where `name` is defined, however many packages hand it on.

    A module inside a package that imports from the package's own ``__init__`` depends on the ``__init__`` itself, since
    that is what Python runs first.
    """
    if path_of(name) is not None:
        return name
    owner, _, attribute = name.rpartition(".")
    path = path_of(owner)
    if path is None:
        return owner
    is_own_package = path.name == "__init__.py" and here.startswith(f"{owner}.")
    if path.name != "__init__.py" or is_own_package:
        return owner
    origin = next((i.name for i in imports(path) if i.alias == attribute and i.name.startswith("tunekit.")), None)
    return owner if origin is None else _home(origin, owner + ".")


def cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """A shortest cycle of each group of nodes that reach one another; none where the graph has no cycle."""
    reached = {node: _reached(edges, node) for node in edges}
    found: list[list[str]] = []
    seen: set[str] = set()
    for node in edges:
        if node in reached[node] and node not in seen:
            group = {other for other in reached[node] if node in reached.get(other, ())}
            seen |= group
            found.append(min((_shortest(edges, start) for start in sorted(group)), key=len))
    return found


def _reached(edges: Mapping[str, Iterable[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(edges.get(node, ()))
    return found


def _shortest(edges: Mapping[str, Iterable[str]], start: str) -> list[str]:
    """The shortest way from `start`, which lies on a cycle, back to itself."""
    paths = [[start]]
    seen: set[str] = set()
    for path in paths:  # grows while it is read: breadth first
        for node in edges.get(path[-1], ()):
            if node == start:
                return [*path, start]
            if node not in seen:
                seen.add(node)
                paths.append([*path, node])
    raise ValueError(f"{start} lies on no cycle")
