"""The `arms` block of a sweep file: one Arm for each method, backbone, task and number of shots."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Mapping
from pathlib import Path

from tunekit.errors import ConfigError, nearest, quoted, require
from tunekit.registry import BACKBONES, METHODS, TASKS
from tunekit.schema import JsonObject, Values, build, coerce
from tunekit.segmentation import require_languages
from tunekit.sweep.parameters import field_names, method_class, parameter_hints
from tunekit.sweep.source import Source, known_keys
from tunekit.sweep.space import Blocks, enqueued, parameters
from tunekit.sweep.types import Arm
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, path_here

ARM_KEYS = ("method", "task", "backbone", "shots", "fixed", "space", "enqueue")
PATH_KEYS = ("data_dir", "files", "fewshot_dir", "parallel_dir", "cache_dir")
"""Keys of a `task` block that are Locations."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,149}")
"""What a sweep and an arm may be called: they name folders, and a file system takes 255 bytes for a name."""
NAME_IN_WORDS = "at most 150 letters, digits, '.', '_' and '-', starting with a letter or digit"
MOST_BYTES = 255
"""Of a part of a path."""


def is_name(name: str) -> bool:
    """Whether a sweep or an arm may be called so."""
    return NAME.fullmatch(name) is not None


class ArmReader:
    """Reads the arms of one sweep file.

    Args:
        content: the file's content, with absolute paths.
        source: where it came from.
        folders_must_exist: refuse a backbone's folder that is not there.
    """

    def __init__(self, content: Values, source: Source, *, folders_must_exist: bool = True) -> None:
        self._folders_must_exist = folders_must_exist
        self._content = content
        self._source = source
        self._used: set[str] = set()

    def arms(self) -> list[Arm]:
        """Every arm, in the file's order; a list of shots makes an arm of each.

        Raises:
            ConfigError: anything is wrong with one of them, or a shared parameter belongs to none.
        """
        source, content = self._source, self._content
        if not isinstance(content["arms"], Mapping):
            raise ConfigError(f"{source.at('arms')}: expected `name: {{method: ...}}`, got {quoted(content['arms'])}")
        arms: list[Arm] = []
        for name, raw in content["arms"].items():
            if not is_name(name):
                where = source.at("arms", name)
                raise ConfigError(f"{where}: {quoted(name)} cannot name an arm; use {NAME_IN_WORDS}")
            known_keys(raw, ARM_KEYS, source, ("arms", name))
            for label, shots in self._labels(name, raw):
                if any(label == arm.name for arm in arms):
                    raise ConfigError(
                        f"{source.at('arms', name)}: there is an arm {quoted(label)} already; each name once"
                    )
                arms.append(self._arm(label, name, shots))
        self._refuse_unused(arms)
        return arms

    def _labels(self, name: str, raw: Values) -> list[tuple[str, int | None]]:
        """The names of the arms that `name` becomes, and their shots."""
        where = self._source.at("arms", name, "shots") if "shots" in raw else self._source.at("shots")
        shots = raw.get("shots", self._content.get("shots"))
        is_list = isinstance(shots, list)
        if is_list and not shots:
            raise ConfigError(f"{where}: expected a number or a list of numbers, got an empty list")
        found = []
        for shot in shots if is_list else [shots]:
            number = coerce(int if is_list else int | None, shot, where)
            require(number is None or number >= 1, where, number, "at least 1")
            found.append((f"{name}@{number}" if is_list else name, number))
        return found

    def _refuse_unused(self, arms: list[Arm]) -> None:
        for block in ("fixed", "space"):
            for key in self._content.get(block) or {}:
                if key not in self._used:
                    valid = sorted({k for arm in arms for k in parameter_hints(arm.method)})
                    where = self._source.at(block, key)
                    raise ConfigError(f"{where}: no arm has a parameter {quoted(key)}; {nearest(key, valid)}")

    def _arm(self, label: str, name: str, shots: int | None) -> Arm:
        raw, path, source = self._content["arms"][name], ("arms", name), self._source
        if "method" not in raw:
            raise ConfigError(f"{source.at(*path)}: missing key 'method'; {nearest('', METHODS)}")
        method = coerce(str, raw["method"], source.at(*path, "method"))
        try:
            hints = parameter_hints(method)
        except ConfigError as error:
            raise ConfigError(f"{source.at(*path, 'method')}: {error}") from None
        if not method_class(method).is_trained:
            self._refuse_training(name, method)
        task, places = self._task(name, shots)
        backbone, folder = self._backbone(name)
        self._require_segmentation(name, method, backbone, task)
        blocks: Blocks = ((self._content, ()), (raw, path))
        fixed, space = parameters(blocks, hints, source, self._used)
        return Arm(
            name=label,
            method=method,
            task=task,
            backbone=backbone,
            locations=Locations(backbone_path=folder, **places),
            fixed=fixed,
            space=space,
            enqueue=tuple(enqueued([] if raw.get("enqueue") is None else raw["enqueue"], space, source, path)),
        )

    def _require_segmentation(self, name: str, method: str, backbone: BackboneConfig, task: TaskConfig) -> None:
        """Raise a ConfigError where an arm asks to split text of a language, or by a method, that cannot be."""
        if not backbone.segmentation:
            return
        owner = ("arms", name) if "backbone" in self._content["arms"][name] else ()
        where = self._source.at(*owner, "backbone", "segmentation")
        try:
            require_languages(backbone.segmentation, (task.source_language, *task.target_languages))
        except ConfigError as error:
            raise ConfigError(f"{where}: {str(error).removeprefix('segmentation: ')} (arm {quoted(name)})") from None
        if not getattr(method_class(method), "splits_pieces", False):
            raise ConfigError(f"{where}: {quoted(method)} (arm {quoted(name)}) cannot split pieces of its text")

    def _refuse_training(self, name: str, method: str) -> None:
        """Raise a ConfigError where the arm itself sets what only training uses; what all arms share is not meant."""
        raw, useful = self._content["arms"][name], parameter_hints(method)
        for block in ("fixed", "space"):
            for key in raw.get(block) or {}:
                if key in field_names(TrainingConfig) and key not in useful:
                    raise ConfigError(
                        f"{self._source.at('arms', name, block, key)}: {quoted(key)} has no effect, since {method} "
                        f"trains nothing; {nearest('', useful)}"
                    )

    def _task(self, name: str, shots: int | None) -> tuple[TaskConfig, JsonObject]:
        """The task of an arm, and where its data are."""
        source = self._source
        raw = self._content["arms"][name]
        values: JsonObject = {}
        origin: dict[str, str] = {}
        for owner, path in ((self._content, ("task",)), (raw, ("arms", name, "task"))):
            block = {} if owner.get("task") is None else owner["task"]
            block = {"name": block} if isinstance(block, str) else block
            known_keys(block, (*field_names(TaskConfig), *PATH_KEYS), source, path)
            values.update(block)
            origin.update({key: source.at(*path, key) for key in block})
        if shots is not None:
            values["shots"] = shots
        where = source.at("arms", name, "task") if raw.get("task") else source.at("task")
        _check_task_name(values, where)
        places = {key: _place(key, values.pop(key), origin[key]) for key in PATH_KEYS if key in values}
        if self._folders_must_exist:
            _require_variables(places, origin)
        if isinstance(values.get("columns"), list):
            values["columns"] = [str(column) for column in values["columns"]]
        hints = typing.get_type_hints(TaskConfig)
        values = {key: coerce(hints[key], value, origin.get(key, where)) for key, value in values.items()}
        try:
            task = build(TaskConfig, values, where)
        except ConfigError as error:  # what the class refuses begins with its key
            text = str(error).removeprefix(f"{where}: ")
            raise ConfigError(f"{origin.get(text.partition(' ')[0], where)}: {text}") from None
        languages = (task.source_language, *task.target_languages)
        again = next((language for language in languages if languages.count(language) > 1), None)
        if again is not None:
            here = origin.get("target_languages", where)
            raise ConfigError(
                f"{here}: {quoted(again)} is named twice (the source language is scored anyway); once is right"
            )
        return task, places

    def _backbone(self, name: str) -> tuple[BackboneConfig, str | None]:
        """The backbone of an arm, and its folder if it is a local one."""
        source, raw = self._source, self._content["arms"][name]
        path = ("arms", name, "backbone") if "backbone" in raw else ("backbone",)
        value = raw.get("backbone", self._content.get("backbone"))
        if value is None:
            raise ConfigError(
                f"{source.at(*path)}: missing; write a hub id, a folder, or one of {', '.join(BACKBONES)}"
            )
        block = {"name": value} if isinstance(value, str) else value
        if isinstance(block, Mapping) and "trust_remote_code" in block:
            raise ConfigError(
                f"{source.at(*path, 'trust_remote_code')}: no such key: tunekit never runs code that a model brings, "
                "and no architecture that it supports needs any; take the key out"
            )
        known_keys(block, (*field_names(BackboneConfig), "path"), source, path)
        block = dict(block)
        folder = coerce(str | None, block.pop("path", None), source.at(*path, "path"))
        if folder is None and isinstance(block.get("name"), str) and is_folder(block["name"]):
            folder = block["name"]
            name = Path(folder).name  # in a trial's name; what a variable holds is not
            block["name"] = re.sub(r"[${}]", "", name) if "$" in name else name
        if folder is not None and self._folders_must_exist:
            _require_folder(folder, source.at(*path))
        return source.build(BackboneConfig, block, *path), folder


def is_folder(backbone: str) -> bool:
    """Whether a backbone's name means a folder: it looks like a path, or there is one of that name."""
    looks_local = backbone.startswith(("/", "./", "../", "~")) or backbone in (".", "..") or "$" in backbone
    return looks_local or (backbone not in BACKBONES and os.path.isdir(backbone))


def _check_task_name(values: Values, where: str) -> None:
    if "name" not in values:
        raise ConfigError(f"{where}: missing key 'name'; {nearest('', TASKS)}")
    name = str(values["name"])
    if values.get("kind") is None and name not in TASKS and ":" not in name:
        raise ConfigError(
            f"{where}: unknown task {quoted(values['name'])}; {nearest(name, TASKS)}; "
            "for a task of your own add `kind: token` or `kind: pair` and `files:`"
        )


def _require_variables(places: Values, origin: Mapping[str, str]) -> None:
    for key, value in places.items():
        try:
            Locations(**{key: value}).here()
        except ConfigError as error:
            raise ConfigError(f"{origin[key]}: {str(error).removeprefix(f'{key}: ')}") from None


def _require_folder(folder: str, where: str) -> None:
    try:
        there = path_here(folder)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    if not os.path.isdir(there):
        raise ConfigError(f"{where}: no folder {quoted(folder)}")


def _place(key: str, value: object, where: str) -> object:
    """A path, a pattern of paths, or for `files` a mapping of them."""
    if key != "files" or not isinstance(value, Mapping):
        place: str | None = coerce(str | None, value, where)
        if place is not None and any(len(os.fsencode(part)) > MOST_BYTES for part in place.split("/")):
            raise ConfigError(
                f"{where}: {quoted(place)} has a part longer than {MOST_BYTES} bytes, the most for a file"
            )
        return place
    return {inner: _place(key, paths, f"{where}.{inner}") for inner, paths in value.items()}
