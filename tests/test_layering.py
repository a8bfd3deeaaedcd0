"""The rooms of the house: what each may import, and the habits that a machine can check.

The table below is the design. A new module belongs to a room before it belongs to the repository.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from tunekit import registry

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tunekit"

HEAVY = {
    "datasets",
    "optuna",
    "optuna_dashboard",
    "pandas",
    "peft",
    "plotly",
    "ray",
    "seqeval",
    "sklearn",
    "tokenizers",
}
HEAVY |= {"torch", "transformers"}
"""Libraries that cost their importer a second or more, or that a machine may lack."""


@dataclass(frozen=True)
class Room:
    """What the modules of one room may import."""

    ours: frozenset[str] = frozenset()
    """Other rooms, at the top of a module or inside a function."""
    heavy: frozenset[str] = frozenset()
    """Heavy libraries, anywhere."""
    heavy_inside: frozenset[str] = frozenset()
    """Heavy libraries, inside functions only, so that importing the room stays cheap."""


def _room(ours: str = "", heavy: str = "", heavy_inside: str = "") -> Room:
    return Room(frozenset(ours.split()), frozenset(heavy.split()), frozenset(heavy_inside.split()))


GROUND = "errors schema registry wording trial storage"
LEARNING = f"{GROUND} tasks backbone methods"
ROOMS = {
    "errors": _room(),
    "schema": _room("errors"),
    "registry": _room("errors"),
    "wording": _room(),
    "trial": _room("errors schema"),
    "storage": _room("errors schema"),
    "sweep": _room(GROUND),
    "journal": _room(f"{GROUND} sweep"),
    "tasks": _room(GROUND, heavy_inside="datasets seqeval"),
    "backbone": _room(GROUND, heavy="torch transformers"),
    "toy": _room(f"{GROUND} tasks", heavy_inside="torch transformers tokenizers"),
    "methods": _room(f"{GROUND} tasks backbone", heavy="torch", heavy_inside="peft"),
    "training": _room(LEARNING, heavy="torch"),
    "search": _room(f"{GROUND} sweep journal", heavy="optuna"),
    "check": _room(f"{LEARNING} sweep training", heavy="", heavy_inside="torch transformers"),
    "export": _room(f"{LEARNING} check training", heavy="torch"),
    "execution": _room(f"{GROUND} sweep journal tasks methods training search", heavy="ray torch"),
    "reports": _room(f"{GROUND} sweep journal", heavy_inside="plotly"),
}
ROOMS["cli"] = _room(" ".join(ROOMS), heavy_inside=" ".join(HEAVY))

SECOND_MODULES = {"__main__": "cli"}
"""Modules beside the package's rooms that share the room of another."""

USED_BY_LIBRARIES = {"cmaes", "scipy", "sentencepiece"}
"""Dependencies that Optuna's searchers and transformers' tokenizers import, and tunekit itself does not."""

LIGHT_AT_THE_TOP = {"cli": frozenset({"errors", "schema", "registry", "wording", "trial", "storage"})}
"""Rooms that import ours inside their functions, and what they may have at the top all the same."""


@dataclass(frozen=True)
class Import:
    """One name that a module imports."""

    name: str
    """Absolute and dotted; of ``from a import b`` it is ``a.b``."""
    line: int
    is_inside: bool
    """Inside a function, or only for the type checker: importing the module does not import it."""


def modules() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def _label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room_of(dotted: str) -> str | None:
    """The room of ``tunekit.<room>...``; None for the package itself and for names in its ``__init__``."""
    parts = dotted.split(".")
    if len(parts) < 2 or dotted == "tunekit.__version__":
        return None
    return SECOND_MODULES.get(parts[1], parts[1])


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> list[Import]:
    """All imports of a module, those inside functions and under ``TYPE_CHECKING`` included."""
    return list(_imports(_tree(path), path, is_inside=False))


def _imports(node: ast.AST, path: Path, *, is_inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, is_inside)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield Import(f"{_origin(child, path)}.{alias.name}", child.lineno, is_inside)
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


@pytest.mark.parametrize("path", modules(), ids=_label)
def test_a_module_imports_only_the_rooms_that_the_table_allows(path: Path) -> None:
    here = room_of(_module_name(path))
    if here is None:
        assert not [i for i in imports(path) if i.name.startswith("tunekit.")], "the package itself imports no room"
        return
    assert here in ROOMS, f"{_label(path)} belongs to no room: give it one in ROOMS or SECOND_MODULES"
    for imported in (i for i in imports(path) if i.name.split(".")[0] == "tunekit"):
        there = room_of(imported.name)
        where = f"{_label(path)}:{imported.line}"
        assert there is None or there == here or there in ROOMS[here].ours, f"{where}: {here} may not import {there}"
        if here in LIGHT_AT_THE_TOP and not imported.is_inside and there not in (None, here):
            assert there in LIGHT_AT_THE_TOP[here], f"{where}: {here} imports {there} inside its functions"


@pytest.mark.parametrize("path", modules(), ids=_label)
def test_heavy_libraries_are_imported_only_where_the_table_allows(path: Path) -> None:
    room = ROOMS.get(room_of(_module_name(path)) or "", Room())
    for imported in imports(path):
        library = imported.name.split(".")[0]
        if library not in HEAVY:
            continue
        where = f"{_label(path)}:{imported.line}"
        assert library in room.heavy | room.heavy_inside, f"{where}: this room does without {library}"
        assert imported.is_inside or library in room.heavy, (
            f"{where}: import {library} inside the function that needs it"
        )


def test_every_library_that_is_imported_is_a_declared_dependency_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_canonical(requirement) for requirement in project["dependencies"]}
    imported = (
        {i.name.split(".")[0] for path in modules() for i in imports(path)} - sys.stdlib_module_names - {"tunekit"}
    )
    distributions = metadata.packages_distributions()
    needed = {_canonical(name) for library in imported for name in distributions.get(library, [library])}
    assert needed <= declared, f"imported, but not declared in pyproject.toml: {sorted(needed - declared)}"
    assert declared - needed <= USED_BY_LIBRARIES, f"declared, but never imported: {sorted(declared - needed)}"


def _canonical(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


@pytest.mark.parametrize("path", modules(), ids=_label)
def test_a_module_has_one_idea_and_so_at_most_400_lines(path: Path) -> None:
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= 400, f"{_label(path)} has {num_lines} lines: what second idea moved in?"


@pytest.mark.parametrize("path", modules(), ids=_label)
def test_functions_are_short_and_take_few_positional_parameters(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        where = f"{_label(path)}:{node.lineno}: {node.name}"
        num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
        assert num_lines <= 50, f"{where} has {num_lines} lines, at most 50"
        positional = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
        # A command's parameters are its options, passed by name.
        if room_of(_module_name(path)) != "cli":
            assert len(positional) <= 4, f"{where} takes {len(positional)} positional parameters, at most 4"


@pytest.mark.parametrize("path", modules(), ids=_label)
def test_what_is_public_says_what_it_gives_you(path: Path) -> None:
    tree = _tree(path)
    assert ast.get_docstring(tree), f"{_label(path)} has no docstring"
    for node in _public(tree.body):
        assert ast.get_docstring(node), f"{_label(path)}:{node.lineno}: {node.name} has no docstring"


def _public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", modules(), ids=_label)
def test_nothing_is_named_utils(path: Path) -> None:
    names = [path.stem, *(node.name for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef))]
    assert not [name for name in names if name in ("util", "utils", "helpers", "misc", "common")]


@pytest.mark.parametrize("path", modules(), ids=_label)
def test_errors_are_caught_by_name_but_at_the_two_borders(path: Path) -> None:
    broad = [
        node.lineno
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]
    is_border = room_of(_module_name(path)) in ("execution", "training", "cli")
    assert is_border or not broad, (
        f"{_label(path)}:{broad}: only the trial wrapper and the command line catch everything"
    )


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, known in registry.REGISTRIES.items() for name in known]
)
def test_every_registered_name_leads_to_what_it_names(kind: str, name: str) -> None:
    assert callable(registry.lookup(kind, name))


@pytest.mark.parametrize("name", registry.METHODS)
def test_a_method_keeps_the_seam(name: str) -> None:
    method = registry.lookup("method", name)
    for attribute in ("Config", "kinds", "trains_backbone", "encode", "collate", "loss", "predict", "decode"):
        assert hasattr(method, attribute), f"{name} lacks {attribute}"
    assert method.kinds <= {"pair", "token"}
    assert inspect.getdoc(sys.modules[method.__module__]), "a method's module names its paper and its equations"


def _run(code: str) -> None:
    """Run `code` in a fresh interpreter, from the repository's root."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_the_light_rooms_load_none_of_the_heavy_libraries() -> None:
    light = ["sweep", "journal", "tasks", "reports", "cli"]
    _run(
        "import importlib, sys\n"
        f"for room in {light}:\n"
        "    importlib.import_module('tunekit.' + room)\n"
        f"    loaded = set({sorted(HEAVY)}) & sys.modules.keys()\n"
        "    assert not loaded, (room, loaded)\n"
    )


def test_methods_and_training_work_on_a_machine_that_has_no_ray_and_no_optuna() -> None:
    rooms = ["tunekit.training", *sorted({target.partition(":")[0] for target in registry.METHODS.values()})]
    _run(
        "import importlib, sys\n"
        "sys.modules['ray'] = sys.modules['optuna'] = None\n"  # any import of them now fails
        f"for module in {rooms}:\n"
        "    importlib.import_module(module)\n"
    )
