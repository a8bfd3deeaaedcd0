"""What the documents say can be done: each command, option, target, link and key exists, and no key is missing."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from module_graph import imports, module_name, path_of, tree
from test_layering import ROOMS, room_of

from tunekit import registry, trial

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "search_spaces/README.md",
    "docs/methods.md",
    "docs/architecture.md",
    "docs/security.md",
]
DESCRIBES_THE_ROOMS = ["README.md", "docs/architecture.md"]
COMMENTED = ["cluster.yaml", "clusters/gcp.yaml", "clusters/onprem.yaml", "clusters/Dockerfile", "Makefile"]


def _text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def commands(document: str) -> Iterator[str]:
    """Shell lines of a Markdown document (fenced ``bash``, ``sh`` or ``console``, and inline), without prompts."""
    text = _text(document)
    for block in re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.removeprefix("$ ").strip()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`((?:tunekit|make) [^`\n]+)`", prose)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return command.split()


def _calls(document: str, program: str) -> Iterator[list[str]]:
    """Arguments of each call of `program` in `document`; pipes and lists of commands are taken apart."""
    for command in commands(document):
        for part in re.split(r"&&|\|\||[|;]", command):
            words = _words(part.strip())
            while words and "=" in words[0] and not words[0].startswith("-"):  # VARIABLE=value before the command
                words = words[1:]
            if words and Path(words[0]).name == program:
                yield words[1:]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_tunekit_command_in_the_documents_exists_with_its_options(document: str) -> None:
    import typer

    from tunekit.cli import app

    root: Any = typer.main.get_command(app)
    for words in _calls(document, "tunekit"):
        if words[0].startswith("-"):
            continue
        command = root.commands.get(words[0])
        if hasattr(command, "commands") and len(words) > 1:  # a group of commands, such as render
            command, words = command.commands.get(words[1]), words[1:]
        assert command, f"{document}: tunekit {' '.join(words)}: no such command"
        known = {"--help"} | {
            option for parameter in command.params for option in parameter.opts + parameter.secondary_opts
        }
        used = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        assert used <= known, f"{document}: tunekit {' '.join(words)}: no option {', '.join(sorted(used - known))}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_in_the_documents_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE))
    for words in _calls(document, "make"):
        named = {word for word in words if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")}
        assert named <= targets, f"{document}: make {' '.join(words)}: no target {', '.join(sorted(named - targets))}"


@pytest.mark.parametrize("document", DOCUMENTS + COMMENTED)
def test_every_sweep_file_in_the_documents_exists(document: str) -> None:
    for name in re.findall(r"search_spaces/[\w./-]+\.yaml", _text(document)):
        assert (ROOT / name).is_file() or name == "search_spaces/FILE.yaml", f"{document} names {name}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_inside_the_repository_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _text(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / document).parent / path if path else ROOT / document
        assert there.exists(), f"{document} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), f"{document} links to {target}: no such heading"


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _documented(section: str) -> set[str]:
    """Keys in the first column of the tables of `section` in the sweep file's document."""
    text = _text("search_spaces/README.md")
    body = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert body, f"search_spaces/README.md has no section {section!r}"
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", body[1], re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def _fields(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def test_every_key_of_a_sweep_file_is_documented_and_no_other() -> None:
    from tunekit.sweep import RaceConfig, arms, reader, space
    from tunekit.sweep import types as model

    sections = {
        "At the top": set(reader.TOP_KEYS),
        "Arms": set(reader.ARM_KEYS),
        "Space": set(space._DIMENSION_KEYS),
        "Task": _fields(trial.TaskConfig) | set(arms.PATH_KEYS),
        "Backbone": _fields(trial.BackboneConfig) | {"path"},
        "Search": _fields(model.SearchConfig),
        "Scheduler": _fields(model.SchedulerConfig),
        "Finalise": _fields(model.FinaliseConfig) | _fields(RaceConfig),
        "Resources": _fields(model.ResourcesConfig),
        "Budget": _fields(model.BudgetConfig),
        "Storage": _fields(model.StorageConfig),
        "Tracking": _fields(model.TrackingConfig),
    }
    for section, keys in sections.items():
        assert _documented(section) == keys, section


def test_every_parameter_of_training_and_of_a_method_is_documented_and_no_other() -> None:
    keys = _fields(trial.TrainingConfig)
    for method in registry.METHODS:
        keys |= _fields(registry.lookup("method", method).Config)
    assert _documented("Parameters") == keys


def test_the_example_in_the_documents_is_a_sweep_file() -> None:
    import yaml

    from tunekit.sweep import Source, parse_sweep

    blocks = re.findall(r"^```yaml\n(.*?)^```", _text("search_spaces/README.md"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        parse_sweep({"name": "example", **yaml.safe_load(block)}, Source("search_spaces/README.md"))


def _paths_in_tree(document: str) -> list[str]:
    """What the tree of a document names: paths from the root of the repository, folders with a slash at their end."""
    found = re.search(r"^```\n(tunekit/\n.*?)^```", _text(document), re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no tree"
    parents: list[str] = []
    paths = []
    for line in found[1].splitlines():
        indent, name = re.match(r"((?:  )*)(\S+)", line).groups()  # type: ignore[union-attr]
        del parents[len(indent) // 2 :]
        paths.append("".join([*parents, name]))
        parents.append(name)
    return paths


@pytest.mark.parametrize("document", DESCRIBES_THE_ROOMS)
def test_the_tree_names_every_room_and_nothing_that_does_not_exist(document: str) -> None:
    paths = _paths_in_tree(document)
    for path in paths:
        there = ROOT / path
        assert there.is_dir() if path.endswith("/") else there.is_file(), f"{document} names {path}"
    rooms = {room_of(module_name(ROOT / path)) for path in paths if path.startswith("tunekit/") and path != "tunekit/"}
    assert rooms == ROOMS.keys(), document
    assert len(paths) == len(set(paths)), f"{document} names something twice"


def test_the_rooms_stand_in_the_same_order_in_the_documents_and_in_the_table() -> None:
    for document in DESCRIBES_THE_ROOMS:
        rooms = [room_of(module_name(ROOT / path)) for path in _paths_in_tree(document) if re.match("tunekit/.", path)]
        assert list(dict.fromkeys(rooms)) == list(ROOMS), document


def test_the_walk_passes_through_each_room_once() -> None:
    walk = _text("docs/architecture.md").partition("\n## The walk\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (.+)$", walk, re.MULTILINE)
    passed = [room for heading in headings for room in heading.split(", ")]
    assert sorted(passed) == sorted(ROOMS)
    for part in walk.split("\n### ")[1:]:
        rooms = part.partition("\n")[0].split(", ")
        assert re.search(r"^Doors?:", part, re.MULTILINE), f"what is the door of {rooms}?"
        doors = re.findall(r"`tunekit\.(\w+)[.\w]*`", part.partition("Door")[2].partition(".\n")[0])
        assert set(rooms) <= set(doors), f"the door of {rooms} belongs to {doors}"


@pytest.mark.parametrize(
    "document", [*DESCRIBES_THE_ROOMS, "CONTRIBUTING.md", "search_spaces/README.md", "docs/security.md"]
)
def test_everything_of_the_package_that_a_document_names_exists(document: str) -> None:
    for name in re.findall(r"`(tunekit(?:\.\w+)+)`", _text(document)):
        assert _exists(name), f"{document} names {name}"
    for path in re.findall(r"`((?:tunekit|tests|benchmarks|docs)/[\w./-]*)`", _text(document)):
        assert (ROOT / path).exists() or path.endswith("/yours.py"), f"{document} names {path}"


def _exists(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something that a module defines or hands on."""
    if path_of(name) is not None:
        return True
    owner, _, attribute = name.rpartition(".")
    path = path_of(owner)
    if path is not None:
        defined = {node for statement in tree(path).body for node in _defined(statement)}
        return attribute in defined | {imported.alias for imported in imports(path)}
    module, _, cls = owner.rpartition(".")
    return bool(module) and any(
        attribute in {n for s in node.body for n in _defined(s)} for node in _classes(module, cls)
    )


def _defined(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _classes(module: str, name: str) -> Iterator[ast.ClassDef]:
    """The class called `name` that a module defines or hands on."""
    path = path_of(module)
    if path is None:
        return
    yield from (node for node in tree(path).body if isinstance(node, ast.ClassDef) and node.name == name)
    for imported in imports(path):
        if imported.alias == name and imported.name.startswith("tunekit."):
            yield from _classes(imported.name.rpartition(".")[0], name)


def test_a_name_that_does_not_exist_is_found() -> None:
    assert _exists("tunekit.search.Search.next_trial")
    assert _exists("tunekit.trial.TrialConfig.trial_id")
    assert not _exists("tunekit.search.Search.no_such_method")
    assert not _exists("tunekit.search.NoSuchClass")
    assert not _exists("tunekit.no_such_room")


def _rows_between(start: str, end: str) -> dict[str, set[str]]:
    """The rows of a table between two marks: names in the last column by the first column."""
    text = _text("docs/architecture.md").partition(f"<!-- {start} -->")[2].partition(f"<!-- {end} -->")[0]
    rows = [line.strip("| ").split(" | ") for line in text.strip().splitlines()[2:] if line.startswith("|")]
    return {part.strip("`"): set(re.findall(r"`(\w+)`", names)) - {"Config"} for part, names in rows}


def test_what_is_in_a_trials_name_and_what_is_not_is_said_to_the_field() -> None:
    from tunekit.sweep import types

    parts = {field.name for field in dataclasses.fields(trial.TrialConfig)}
    assert _rows_between("in the name", "not in the name") == {
        "task": _fields(trial.TaskConfig),
        "backbone": _fields(trial.BackboneConfig),
        "training": _fields(trial.TrainingConfig),
        "the trial": parts - {"task", "backbone", "training"},
    }
    assert _rows_between("not in the name", "end") == {
        "places": _fields(trial.Locations),
        "resources": _fields(types.ResourcesConfig),
        "search": _fields(types.SearchConfig),
        "scheduler": _fields(types.SchedulerConfig),
        "finalise": _fields(types.FinaliseConfig),
        "budget": _fields(types.BudgetConfig),
        "storage": _fields(types.StorageConfig),
        "trackers": {"tracking"} & _fields(types.Sweep),
        "published figures": {"references"} & _fields(types.Sweep),
    }


def test_every_event_of_the_journal_is_in_the_walk() -> None:
    from tunekit.journal import events

    walk = _text("docs/architecture.md")
    assert not [kind for kind in events.KEYS if f"`{kind}`" not in walk]


def test_every_file_of_a_sweep_has_one_who_writes_it() -> None:
    from tunekit.storage import SweepFolder

    folder = SweepFolder(Path("runs/NAME"))
    one = folder.trial("ID")
    written = _text("docs/architecture.md").partition("\n## Who writes what\n")[2]
    files = [folder.journal, folder.lock, folder.sweep_file, folder.driver_log, folder.optuna]
    files += [one.last, one.previous, one.best, one.outcome, one.test, one.predictions]
    assert not [file.name for file in files if file.name not in written]
    assert f"`{folder.report.name}/`" in written and "`export/`" in written
