"""The rooms of the house: what each may import, and the habits that a machine can check.

The table below is the design, from the ground up: a room imports only rooms above it in the table. A new module belongs
to a room before it belongs to the repository. What counts as an import is in ``module_graph.py``: imports inside
functions and for the type checker count like any other, and so do names that are looked up.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import pytest
from module_graph import ROOT, cycles, graph, imports, label, lookups, module_name, modules, path_of, targets, tree

from tunekit import registry

HEAVY = {
    "datasets",
    "mlflow",
    "optuna",
    "optuna_dashboard",
    "pandas",
    "peft",
    "plotly",
    "pyarrow",
    "ray",
    "seqeval",
    "sklearn",
    "tensorboardX",
    "tokenizers",
    "torch",
    "transformers",
    "wandb",
}
"""Libraries that cost their importer a second or more, or that a machine may lack."""


@dataclass(frozen=True)
class Room:
    """What the modules of one room may import."""

    ours: frozenset[str] = frozenset()
    """Other rooms: at the top of a module, inside a function or for the type checker."""
    heavy: frozenset[str] = frozenset()
    """Heavy libraries, anywhere."""
    heavy_inside: frozenset[str] = frozenset()
    """Heavy libraries, inside functions only, so that importing the room stays cheap."""
    looks_up: frozenset[str] = frozenset()
    """Registries in which it may look a name up, and so depend on what the registry leads to."""


def _room(ours: str = "", heavy: str = "", heavy_inside: str = "", looks_up: tuple[str, ...] = ()) -> Room:
    return Room(frozenset(ours.split()), frozenset(heavy.split()), frozenset(heavy_inside.split()), frozenset(looks_up))


GROUND = "version errors schema registry wording patience trial storage"
LEARNING = f"{GROUND} tasks backbone methods predictions"
ROOMS = {
    "version": _room(),
    "errors": _room(),
    "schema": _room("errors"),
    "registry": _room("errors"),
    "wording": _room(),
    "patience": _room(),
    "trial": _room("errors schema"),
    "storage": _room("errors schema patience"),
    "sweep": _room(GROUND, looks_up=("method",)),
    "racing": _room(),
    "journal": _room(f"{GROUND} sweep racing"),
    "tracking": _room(f"{GROUND} sweep journal", heavy_inside="mlflow wandb"),
    "tasks": _room(GROUND, heavy_inside="datasets", looks_up=("task", "parallel corpus")),
    "predictions": _room(f"{GROUND} tasks"),
    "backbone": _room(GROUND, heavy="torch transformers", looks_up=("backbone",)),
    "toy": _room(f"{GROUND} tasks", heavy_inside="torch transformers tokenizers"),
    "methods": _room(f"{GROUND} tasks backbone", heavy="torch", heavy_inside="peft", looks_up=("method", "translator")),
    "training": _room(LEARNING, heavy="torch"),
    "search": _room(f"{GROUND} sweep journal", heavy="optuna"),
    "execution": _room(f"{GROUND} sweep journal tracking tasks training search", heavy="ray", heavy_inside="torch"),
    "check": _room(f"{LEARNING} sweep journal tracking training", heavy_inside="torch transformers"),
    "export": _room(f"{LEARNING} training", heavy="torch"),
    "reports": _room(f"{GROUND} sweep journal racing tasks predictions search", heavy_inside="optuna plotly pyarrow"),
    "cluster": _room(f"{GROUND} sweep", heavy="ray"),
    "doctor": _room(f"{GROUND} execution", heavy_inside="torch"),
    "cli": _room(
        f"{GROUND} sweep journal tracking training search execution check export reports cluster doctor",
        heavy_inside="optuna_dashboard",
    ),
}
"""From the ground up."""

REGISTRY_LEADS_TO = {
    "method": {"methods"},
    "task": {"tasks", "toy"},
    "backbone": {"toy"},
    "parallel corpus": {"tasks", "toy"},
    "translator": {"methods"},
}
"""The rooms that hold what each registry names. By a name alone may a room reach one that stands below it."""

SECOND_MODULES = {
    "__main__": "cli",
    "config": "trial",
    "languages": "wording",
    "points": "journal",
    "markdown": "wording",
    "redaction": "wording",
    "segmentation": "trial",
    "typology": "wording",
}
"""Modules beside the package's rooms that share the room of another."""

USED_BY_LIBRARIES = {"cmaes", "sentencepiece"}
"""Dependencies that Optuna's searchers and transformers' tokenizers import, and tunekit itself does not."""

LIGHT_AT_THE_TOP = {"cli": frozenset(GROUND.split())}
"""Rooms that import ours inside their functions, and what they may have at the top all the same."""

LOADED_BY: dict[str, set[str]] = {
    "storage": set(),
    "sweep": set(),
    "journal": set(),
    "tracking": set(),
    "tasks": set(),
    "reports": set(),
    "predictions": set(),
    "check": set(),
    "doctor": set(),
    "cli": set(),
    "search": {"optuna"},
}
"""The heavy libraries that importing every module of a room loads."""

LOADS_BY_NAME = {
    "tunekit": "the public calls, so that importing the package loads no room",
    "tunekit.registry": "where names become objects",
    "tunekit.reports": "its own table of reports",
    "tunekit.training": "its own names, so that importing the room does not load torch",
}
"""Modules that may call ``importlib.import_module``."""

MAX_ANY = 60


def room_of(dotted: str) -> str | None:
    """The room of ``tunekit.<room>...``; None for the package itself."""
    parts = dotted.partition(":")[0].split(".")
    if len(parts) < 2:
        return None
    return SECOND_MODULES.get(parts[1], parts[1])


def test_the_table_has_every_room_of_the_package_and_no_other() -> None:
    rooms = {room_of(module_name(path)) for path in modules()} - {None}
    assert rooms == ROOMS.keys(), "each module directly under tunekit/ and each folder is a room: give it one in ROOMS"


def test_the_table_stands_from_the_ground_up() -> None:
    names = list(ROOMS)
    for here, room in ROOMS.items():
        above = room.ours - set(names[: names.index(here)])
        assert not above, f"{here} may import {sorted(above)}, which the table has at the same height or above"


@pytest.mark.parametrize("path", modules(), ids=label)
def test_a_module_imports_only_the_rooms_that_the_table_allows(path: Path) -> None:
    here = room_of(module_name(path))
    if here is None:
        at_top = {room_of(i.name) for i in imports(path) if i.name.startswith("tunekit.") and not i.is_inside}
        assert at_top <= {"version"}, "the package itself loads its public calls when they are first used"
        return
    for imported in (i for i in imports(path) if i.name.split(".")[0] == "tunekit"):
        there = room_of(imported.name)
        where = f"{label(path)}:{imported.line}"
        assert there is None or there == here or there in ROOMS[here].ours, f"{where}: {here} may not import {there}"
        if here in LIGHT_AT_THE_TOP and not imported.is_inside and there not in (None, here):
            assert there in LIGHT_AT_THE_TOP[here], f"{where}: {here} imports {there} inside its functions"
    for target, line in targets(path):
        there = room_of(target)
        assert there == here or there in ROOMS[here].ours, f"{label(path)}:{line}: {here} may not name {target!r}"


@pytest.mark.parametrize("path", modules(), ids=label)
def test_a_module_looks_names_up_only_in_the_registries_that_the_table_allows(path: Path) -> None:
    here = module_name(path)
    allowed = ROOMS.get(room_of(here) or "", Room()).looks_up
    for call in lookups(path):
        where = f"{label(path)}:{call.line}"
        assert call.registry is not None, f"{where}: write the registry's name as a literal, so that it can be checked"
        assert call.registry in registry.REGISTRIES, f"{where}: there is no registry {call.registry!r}"
        assert call.registry in allowed, f"{where}: this room looks no {call.registry} up"
    if here not in LOADS_BY_NAME:
        loads = [
            node.lineno for node in _calls(path) if ast.unparse(node.func).endswith(("import_module", "__import__"))
        ]
        assert not loads, f"{label(path)}:{loads}: an object is loaded by its name through tunekit.registry.lookup"


@pytest.mark.parametrize("kind", registry.REGISTRIES)
def test_a_registry_leads_to_the_rooms_that_hold_what_it_names(kind: str) -> None:
    for name, target in registry.REGISTRIES[kind].items():
        assert room_of(target) in REGISTRY_LEADS_TO[kind], f"{kind} {name!r} leads to {target!r}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges = graph()
    found = []
    for cycle in cycles(edges):
        steps = pairwise(cycle)
        found.append("\n  ".join(f"{label(path_of(one))}:{edges[one][other]} -> {other}" for one, other in steps))
    assert not found, "cycles (lazy imports, TYPE_CHECKING and looked-up names count):\n  " + "\n\n  ".join(found)


def test_a_cycle_is_found_by_its_shortest_way_and_only_once() -> None:
    assert cycles({"a": ["b"], "b": ["c", "a"], "c": ["a"], "d": ["a"]}) == [["a", "b", "a"]]
    assert cycles({"a": ["b"], "b": ["c"], "c": []}) == []
    assert len(cycles({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c", "a"]})) == 2


def test_imports_of_every_kind_are_edges_of_the_graph() -> None:
    edges = graph()
    assert "tunekit.methods.mpt" in edges["tunekit.sweep.parameters"], "a name that is looked up"
    assert "tunekit.execution.ray_slots" in edges["tunekit.execution.launch"], "an import inside a function"
    assert "tunekit.search.engine" in edges["tunekit.cli.display"], "an import for the type checker, handed on"
    assert "tunekit.reports.render.tidy" in edges["tunekit.reports"], "a string that leads to an object"
    assert not any(target.startswith("tunekit.methods") for target in edges["tunekit.registry"]), "the registry's table"


@pytest.mark.parametrize("path", modules(), ids=label)
def test_heavy_libraries_are_imported_only_where_the_table_allows(path: Path) -> None:
    here = module_name(path)
    room = ROOMS.get(room_of(here) or "", Room())
    for imported in imports(path):
        library = imported.name.split(".")[0]
        if library not in HEAVY:
            continue
        where = f"{label(path)}:{imported.line}"
        assert library in room.heavy | room.heavy_inside, f"{where}: this room does without {library}"
        assert imported.is_inside or library in room.heavy, (
            f"{where}: import {library} inside the function that needs it"
        )
        if library == "ray":
            is_rays = here.startswith(("tunekit.execution.ray_", "tunekit.cluster.ray_"))
            assert is_rays, f"{where}: only the ray_* modules of execution and cluster import ray"


def test_reports_take_from_a_sweep_its_types_and_nothing_else() -> None:
    for here, edges in graph().items():
        taken = {name for name in edges if name.startswith("tunekit.sweep")} if room_of(here) == "reports" else set()
        assert taken <= {"tunekit.sweep.types", "tunekit.sweep.budget"}, f"{here} imports {sorted(taken)}"


def test_every_library_that_is_imported_is_a_declared_dependency_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_canonical(requirement) for requirement in project["dependencies"]}
    extras = project["optional-dependencies"]
    of_extras = {_canonical(requirement) for name in extras.keys() - {"dev"} for requirement in extras[name]}
    imported = (
        {i.name.split(".")[0] for path in modules() for i in imports(path)} - sys.stdlib_module_names - {"tunekit"}
    )
    distributions = metadata.packages_distributions()
    sources = {library: {_canonical(name) for name in distributions.get(library, [library])} for library in imported}
    needed = {name for names in sources.values() if not names & of_extras for name in names}
    assert needed <= declared, f"imported, but not declared in pyproject.toml: {sorted(needed - declared)}"
    assert declared - needed <= USED_BY_LIBRARIES, f"declared, but never imported: {sorted(declared - needed)}"


def _canonical(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def _calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


MODULES_OF_STORAGE = {"fcntl", "shutil"}
"""Modules of the standard library that only storage imports."""

OF_OS = {
    "access",
    "fsync",
    "ftruncate",
    "link",
    "listdir",
    "makedirs",
    "mkdir",
    "open",
    "remove",
    "removedirs",
    "rename",
    "renames",
    "replace",
    "rmdir",
    "scandir",
    "stat",
    "symlink",
    "truncate",
    "unlink",
    "utime",
    "walk",
}
"""Functions of ``os`` that work on files."""

OF_PATHS = {
    "chmod",
    "hardlink_to",
    "mkdir",
    "read_bytes",
    "read_text",
    "rename",
    "rmdir",
    "save_file",
    "save_pretrained",
    "symlink_to",
    "touch",
    "unlink",
    "write_bytes",
    "write_text",
}
"""Methods of a path, and functions of libraries, that read, write or remove files."""

FILES_OUTSIDE_STORAGE: Mapping[str, tuple[set[str], str]] = {
    "tunekit.backbone.linear": ({"read_text"}, "/proc/cpuinfo"),
    "tunekit.cli.console": ({"read_bytes"}, "a temporary file that catches what libraries print"),
    "tunekit.cli.listing": ({"read_text"}, "the source of our own modules, whose first line is shown"),
    "tunekit.cluster.sending": ({"os.ftruncate"}, "its own log, a copy of what has been fetched"),
    "tunekit.execution.ray_slots": ({"read_text"}, "the file in which Ray says why a worker died"),
    "tunekit.execution.ray_start": ({"mkdir", "open", "os.open", "chmod"}, "Ray's token, which it would show to all"),
    "tunekit.export": ({"save_file", "save_pretrained"}, "libraries that write a folder in peft's format themselves"),
    "tunekit.sweep.yaml_text": ({"read_text"}, "the sweep file that a person wrote"),
    "tunekit.tasks.readers.rows": ({"read_bytes"}, "a person's data"),
    "tunekit.toy.backbones": ({"mkdir", "rename", "read_bytes"}, "a backbone in the cache, put there as a whole"),
    "tunekit.toy.pretraining": (
        {"mkdir", "save_file", "save_pretrained"},
        "libraries that write it in the hub's format",
    ),
}
"""What modules other than storage's do with files, all of them no files of a sweep but for an exported adapter's."""


@pytest.mark.parametrize("path", modules(), ids=label)
def test_nothing_but_storage_touches_the_files_of_a_sweep(path: Path) -> None:
    here = module_name(path)
    if room_of(here) == "storage":
        return
    allowed, _ = FILES_OUTSIDE_STORAGE.get(here, (set(), ""))
    refused = [f"{label(path)}:{line}: {name}" for name, line in _file_access(path) if name not in allowed]
    assert not refused, "files are read, written and removed through tunekit.storage:\n  " + "\n  ".join(refused)


@pytest.mark.parametrize("here", FILES_OUTSIDE_STORAGE)
def test_an_exception_from_the_rule_of_files_is_still_needed(here: str) -> None:
    path = path_of(here)
    assert path, f"there is no module {here}"
    allowed, _ = FILES_OUTSIDE_STORAGE[here]
    assert allowed <= {name for name, _ in _file_access(path)}, f"{here} no longer needs all of {sorted(allowed)}"


def _file_access(path: Path) -> Iterator[tuple[str, int]]:
    """Everything in a module that reads, writes or removes a file by other means than storage's, with its line."""
    for imported in imports(path):
        if imported.name.split(".")[0] in MODULES_OF_STORAGE:
            yield imported.name.split(".")[0], imported.line
        elif imported.name.startswith("os.") and imported.name.removeprefix("os.") in OF_OS:
            yield imported.name, imported.line
    for call in _calls(path):
        name = _touches_files(call)
        if name:
            yield name, call.lineno


def _touches_files(call: ast.Call) -> str | None:
    """What a call does to files; None if nothing, or through storage."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id if function.id in ("open", "save_file") else None
    if not isinstance(function, ast.Attribute):
        return None
    owner = ast.unparse(function.value)
    if owner == "storage":
        return None
    if owner in ("os", "io", "gzip"):
        is_file = function.attr in OF_OS and (owner == "os" or _opens_a_path(call, at=1))
        return f"{owner}.{function.attr}" if is_file else None
    is_file = function.attr in OF_PATHS or (function.attr == "open" and _opens_a_path(call, at=0))
    is_file = is_file or (function.attr == "replace" and len(call.args) == 1 and not call.keywords)  # of a path
    return function.attr if is_file else None


def _opens_a_path(call: ast.Call, *, at: int) -> bool:
    """Whether a call of something named ``open`` has no argument, or a mode such as ``"rb"``, where a path's has it."""
    modes = [*call.args[at : at + 1], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
    return not (call.args[at:] or call.keywords) or any(re.fullmatch(r"[rwaxbt+]+", str(text)) for text in texts)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("path.open('rb')", "open"),
        ("path.open(mode='w', encoding='utf-8')", "open"),
        ("path.open()", "open"),
        ("open(path)", "open"),
        ("os.replace(a, b)", "os.replace"),
        ("gzip.open(path, 'rt')", "gzip.open"),
        ("path.replace(other)", "replace"),
        ("folder.joinpath('x').write_text(text)", "write_text"),
        ("place.open(config)", None),
        ("text.replace('a', 'b')", None),
        ("replace(arm, metric=metric)", None),
        ("storage.write_text(path, text)", None),
        ("os.getpid()", None),
    ],
)
def test_what_touches_files_is_told_from_what_does_not(code: str, name: str | None) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert _touches_files(call) == name


def test_any_stands_only_at_the_borders_of_untyped_libraries() -> None:
    found = {label(path): len(re.findall(r"\bAny\b", path.read_text(encoding="utf-8"))) for path in modules()}
    most = sorted(((number, name) for name, number in found.items() if number), reverse=True)
    assert sum(found.values()) < MAX_ANY, f"Any stands {sum(found.values())} times: {most}"


@pytest.mark.parametrize("path", modules(), ids=label)
def test_a_module_has_one_idea_and_so_at_most_400_lines(path: Path) -> None:
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= 400, f"{label(path)} has {num_lines} lines: what second idea moved in?"


@pytest.mark.parametrize("path", modules(), ids=label)
def test_functions_are_short_and_take_few_positional_parameters(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        where = f"{label(path)}:{node.lineno}: {node.name}"
        num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
        assert num_lines <= 50, f"{where} has {num_lines} lines, at most 50"
        positional = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
        # A command's parameters are its options, passed by name.
        if room_of(module_name(path)) != "cli":
            assert len(positional) <= 4, f"{where} takes {len(positional)} positional parameters, at most 4"


@pytest.mark.parametrize("path", modules(), ids=label)
def test_what_is_public_says_what_it_gives_you(path: Path) -> None:
    module = tree(path)
    assert ast.get_docstring(module), f"{label(path)} has no docstring"
    for node in _public(module.body):
        assert ast.get_docstring(node), f"{label(path)}:{node.lineno}: {node.name} has no docstring"


def _public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", modules(), ids=label)
def test_nothing_is_named_utils(path: Path) -> None:
    names = [path.stem, *(node.name for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))]
    assert not [name for name in names if name in ("util", "utils", "helpers", "misc", "common")]


@pytest.mark.parametrize("path", modules(), ids=label)
def test_errors_are_caught_by_name_but_at_the_two_borders(path: Path) -> None:
    broad = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or re.search(r"\b(Base)?Exception\b", ast.unparse(node.type)))
    ]
    is_border = room_of(module_name(path)) in ("execution", "training", "cli", "registry", "tracking")
    assert is_border or not broad, (
        f"{label(path)}:{broad}: the trial wrapper, the command line, trackers and the import of foreign code catch all"
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


@pytest.mark.parametrize("room", LOADED_BY)
def test_the_light_rooms_load_none_of_the_heavy_libraries(room: str) -> None:
    names = sorted(
        name for path in modules() if room_of(name := module_name(path)) == room and name != "tunekit.__main__"
    )
    _run(
        "import importlib, sys\n"
        f"for module in {names}:\n"
        "    importlib.import_module(module)\n"
        f"    loaded = set({sorted(HEAVY - LOADED_BY[room])}) & sys.modules.keys()\n"
        "    assert not loaded, (module, loaded)\n"
    )


def test_importing_the_package_loads_no_room_and_each_public_call_is_found() -> None:
    _run(
        "import sys, tunekit\n"
        "loaded = {name for name in sys.modules if name.startswith('tunekit.')} - {'tunekit.version'}\n"
        "assert not loaded, loaded\n"
        "assert all(hasattr(tunekit, name) for name in tunekit.__all__)\n"
    )


def test_methods_and_training_work_on_a_machine_that_has_no_ray_and_no_optuna() -> None:
    rooms = ["tunekit.training", *sorted({target.partition(":")[0] for target in registry.METHODS.values()})]
    _run(
        "import importlib, sys\n"
        "sys.modules['ray'] = sys.modules['optuna'] = None\n"  # any import of them now fails
        f"for module in {rooms}:\n"
        "    importlib.import_module(module)\n"
    )
