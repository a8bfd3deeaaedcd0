"""`references` of a sweep file: CSV files of published figures, which reports show beside ours.

Their content is kept with the sweep, so that a report needs the journal alone. They enter no trial's name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tunekit.errors import ConfigError, nearest, quoted
from tunekit.registry import TASKS
from tunekit.schema import JsonObject, Values, coerce
from tunekit.sweep.reference_rows import Row, problem_of_language, read_rows
from tunekit.sweep.source import Source
from tunekit.sweep.types import Arm, Reference
from tunekit.trial import path_here

Languages = Mapping[str, Sequence[str]]
"""Of each task of a sweep: all languages that its arms are scored in."""


def absolute_places(content: Values, source: Source) -> JsonObject:
    """``{"references": paths}``, absolute so that the sweep can be read again from any folder; empty if it has none."""
    places = [os.path.abspath(p) if not p.startswith(("~", "$")) else p for p in _places(content, source)]
    return {"references": places} if places else {}


def read_references(content: Values, source: Source, arms: Sequence[Arm]) -> tuple[Reference, ...]:
    """Every row of the files that `content` names, in their order.

    Args:
        content: the sweep file's.
        source: where it came from.
        arms: what the figures stand beside; they tell the task where rows name none, and the languages.

    Raises:
        ConfigError: a file is missing, or a row of it is wrong or stands twice; names file and line.
    """
    languages: dict[str, list[str]] = {}
    for arm in arms:
        known = languages.setdefault(arm.task.name, [])
        known += [name for name in (arm.task.source_language, *arm.task.target_languages) if name not in known]
    found: dict[tuple[object, ...], Reference] = {}
    where: dict[tuple[object, ...], str] = {}
    for place in _places(content, source):
        for row in read_rows(_existing(place, source), place):
            reference = _reference(row, languages)
            named = (reference.task, reference.method, reference.backbone)
            key = (*named, reference.language, reference.metric, reference.split)
            if key in found:
                raise ConfigError(
                    f"{row.where}: {_named(reference)} stands at {where[key]} already; each figure once. Another run "
                    "of the same method needs a name of its own in the column method"
                )
            found[key], where[key] = reference, row.where
    return tuple(found.values())


def _named(reference: Reference) -> str:
    parts = (reference.method, reference.backbone, reference.task, reference.language)
    return f"{' '.join(part for part in parts if part)} ({reference.metric}, {reference.split})"


def _places(content: Values, source: Source) -> list[str]:
    """The files' paths; those of a sweep file are relative to its own folder, so that both can be moved together."""
    value = content.get("references")
    if value is None:
        return []
    where = source.at("references")
    if not isinstance(value, (str, list, tuple)):
        raise ConfigError(f"{where}: expected a CSV file or a list of them, got {quoted(value)}")
    paths: tuple[str, ...] = coerce(tuple[str, ...], [value] if isinstance(value, str) else value, where)
    if not all(path.strip() for path in paths):
        raise ConfigError(f"{where}: a path is empty; name a CSV file, or leave the key out")
    folder = "" if ("references",) in source.overrides else os.path.dirname(source.file)
    return [path if path.startswith(("~", "$")) else os.path.normpath(os.path.join(folder, path)) for path in paths]


def _existing(place: str, source: Source) -> Path:
    path = Path(path_here(place))
    if path.is_file():
        return path
    what = "is a folder; name a CSV file" if path.is_dir() else "no such file"
    is_typed = ("references",) in source.overrides
    start = "the current folder, as it is given on the command line" if is_typed else "the folder of the sweep file"
    raise ConfigError(f"{source.at('references')}: {place}: {what} (a relative path starts at {start})")


def _reference(row: Row, languages: Languages) -> Reference:
    """The figure of a row, with its task."""
    figure = row.figure
    task = figure.task or _only_task(row, languages)
    known = {*languages, *TASKS}
    if task not in known:
        raise ConfigError(f"{row.where}: task: {quoted(task)} is no task of this sweep; {nearest(task, known)}")
    problem = problem_of_language(figure.language, [name for names in languages.values() for name in names])
    if problem:
        raise ConfigError(f"{row.where}: language: {problem}")
    return replace(figure, task=task)


def _only_task(row: Row, languages: Languages) -> str:
    if len(languages) > 1:
        raise ConfigError(
            f"{row.where}: task: nothing says which of the sweep's tasks this figure is of; write a column task with "
            f"one of {', '.join(languages)}"
        )
    return next(iter(languages))
