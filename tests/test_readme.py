"""What the documents say can be done: each command, option, target, link and key exists, and no key is missing."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunekit import registry, trial

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "search_spaces/README.md", "docs/methods.md"]
COMMENTED = ["cluster.yaml", "Makefile"]


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
    from tunekit.sweep import reader, space
    from tunekit.sweep import types as model

    sections = {
        "At the top": set(reader.TOP_KEYS),
        "Arms": set(reader.ARM_KEYS),
        "Space": set(space._DIMENSION_KEYS),
        "Task": _fields(trial.TaskConfig) | set(reader._PATH_KEYS),
        "Backbone": _fields(trial.BackboneConfig) | {"path"},
        "Search": _fields(model.SearchConfig),
        "Scheduler": _fields(model.SchedulerConfig),
        "Finalise": _fields(model.FinaliseConfig),
        "Resources": _fields(model.ResourcesConfig),
        "Budget": _fields(model.BudgetConfig),
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
