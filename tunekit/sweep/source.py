"""Where the values of a sweep file came from, so that every message names file, line and key."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from tunekit.errors import ConfigError, nearest
from tunekit.schema import JsonObject, Values, build, coerce

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """Where values came from, for messages: the file, the line of each key path, and what the command line overrode."""

    file: str
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    overrides: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    """``KEY=VALUE`` as it was typed, by key path."""

    def at(self, *path: str) -> str:
        """``file:line: a.b.c`` for the key path, with the line of its nearest known ancestor.

        Of an overridden key it is ``--set 'KEY=VALUE': a.b.c`` instead.
        """
        place = self.file
        for known in (path[:n] for n in range(len(path), 0, -1)):
            if known in self.overrides:
                place = f"--set {self.overrides[known]!r}"
                break
            if known in self.lines:
                place = f"{self.file}:{self.lines[known]}"
                break
        return f"{place}: {'.'.join(path)}" if path else place

    def of(self, arm: str, message: str) -> str:
        """Where to put right what `message` says of an arm: at the key that it begins with, if the file sets it."""
        name, key = arm.partition("@")[0], message.partition(" ")[0]
        own = ((key,), ("space", key), ("fixed", key))
        for path in (*(("arms", name, *path) for path in own), *own):
            if path in self.lines or path in self.overrides:
                return self.at(*path) if path[0] == "arms" else f"{self.at(*path)}: arm {arm!r}"
        return self.at("arms", name)

    def build(self, cls: type[T], values: object, *path: str) -> T:
        """`schema.build` of the block at `path` (None is an empty one), with the line of the very key in messages."""
        hints = typing.get_type_hints(cls)
        block = known_keys({} if values is None else values, tuple(hints), self, path)
        checked = {key: coerce(hints[key], value, self.at(*path, key)) for key, value in block.items()}
        try:
            return build(cls, checked, self.at(*path))
        except ConfigError as error:
            # A range that the class refuses: its message starts with the key, whose own line is wanted.
            text = str(error).removeprefix(f"{self.at(*path)}: ")
            key = text.partition(" ")[0]
            raise ConfigError(f"{self.at(*path, key) if key in block else self.at(*path)}: {text}") from None


def read_yaml(path: Path) -> tuple[JsonObject, dict[tuple[str, ...], int]]:
    """The mapping in a YAML file and the line of every key path in it.

    Raises:
        ConfigError: the file is missing, is not YAML, repeats a key, or is not a mapping.
    """
    lines: dict[tuple[str, ...], int] = {}
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content: JsonObject = yaml.safe_load(text)
        if isinstance(node, yaml.MappingNode):
            _collect_lines(node, (), lines, path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; name a YAML file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: it is not UTF-8 text ({error.reason})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not valid YAML: {yaml_problem(error)}") from None
    except (ValueError, RecursionError) as error:  # 2024-13-45 looks like a date and is none; an alias may hold itself
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(node, yaml.MappingNode):
        found = "nothing" if node is None else "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        raise ConfigError(f"{path}: expected keys and values, found {found}")
    return content, lines


def yaml_problem(error: Exception) -> str:
    """What is wrong, in one line."""
    problem = str(getattr(error, "problem", None) or error).partition("\n")[0]
    return f"{problem}; is the end missing?" if "<stream end>" in problem else problem


def _collect_lines(node: yaml.Node, path: tuple[str, ...], lines: dict[tuple[str, ...], int], file: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            place = f"{file}:{key.start_mark.line + 1}"
            if key.tag == "tag:yaml.org,2002:bool":
                raise ConfigError(
                    f"{place}: YAML reads the key {key.value!r} as true or false: put it in quotes, {key.value!r}"
                )
            if inner in lines:
                raise ConfigError(
                    f"{place}: key {'.'.join(inner)!r} stands here a second time (first in line {lines[inner]})"
                )
            lines[inner] = key.start_mark.line + 1
            _collect_lines(value, inner, lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*path, str(index))
            lines[inner] = value.start_mark.line + 1
            _collect_lines(value, inner, lines, file)


def known_keys(values: object, valid: Sequence[str], source: Source, path: tuple[str, ...]) -> Values:
    """`values` as a mapping; refuses what is none, and the first key that is not among `valid`."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{source.at(*path)}: expected keys and values, got {values!r}")
    for key in values:
        if key not in valid:
            raise ConfigError(f"{source.at(*path, str(key))}: unknown key {key!r}; {nearest(str(key), valid)}")
    return values
