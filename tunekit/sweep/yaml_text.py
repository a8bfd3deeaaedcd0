"""YAML into keys and values, and the line of each: strict, and bounded in what it may become.

What PyYAML would read in a way that surprises (:mod:`tunekit.sweep.scalars`) is refused while the text still has its
lines. So are aliases that contain themselves, and those that multiply into more than a machine can hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from tunekit.errors import ConfigError, quoted
from tunekit.schema import JsonObject
from tunekit.sweep.scalars import kind_of, problem_of_key, problem_of_value
from tunekit.sweep.source import key_path

Lines = dict[tuple[str, ...], int]
"""The line of every key path, from 1."""

MOST_VALUES = 100_000
"""Values that aliases may make of a text."""
MOST_LEVELS = 50
"""Mappings and lists inside each other."""


def read_yaml(path: Path) -> tuple[JsonObject, Lines]:
    """The mapping in a YAML file and the line of every key path in it.

    Raises:
        ConfigError: the file is missing, is not YAML, repeats a key, is not a mapping, or holds what YAML reads in
            another way than it looks; names file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; name a YAML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: it is not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    text_of_file = _Text(text, str(path))
    content = text_of_file.content()
    if not isinstance(content, dict):
        found = "nothing" if content is None else "a list" if isinstance(content, list) else "a single value"
        raise ConfigError(f"{path}: expected keys and values, found {found}")
    return content, text_of_file.lines


def read_override(override: str, key: tuple[str, ...], text: str) -> object:
    """The value in a ``KEY=VALUE`` of the command line.

    Args:
        override: the whole of it.
        key: the path that it sets.
        text: what stands after ``=``.

    Raises:
        ConfigError: it is not YAML, or YAML reads it in another way than it looks.
    """
    try:
        return _Text(text, f"--set {quoted(override)}", has_lines=False, key=key).content()
    except yaml.YAMLError as error:
        problem = f"{quoted(text)} is not valid YAML: {yaml_problem(error)}"
        raise ConfigError(f"--set {quoted(override)}: {problem}") from None


def _own(value: object) -> object:
    """`value` with keys that are text, and without parts that an alias has made one: a change of one stays its own."""
    if isinstance(value, dict):
        return {str(key): _own(inner) for key, inner in value.items()}
    return [_own(inner) for inner in value] if isinstance(value, list) else value


def yaml_problem(error: Exception) -> str:
    """What is wrong, in one line."""
    problem = str(getattr(error, "problem", None) or error).partition("\n")[0]
    return f"{problem}; is the end missing?" if "<stream end>" in problem else problem


class _Text:
    """One text of YAML.

    Args:
        text: all of it.
        file: how messages name it.
        has_lines: whether it is a file; the syntax of what is none is for the caller to complain about.
        key: the path of keys that it stands at.
    """

    def __init__(self, text: str, file: str, *, has_lines: bool = True, key: tuple[str, ...] = ()) -> None:
        self.lines: Lines = {}
        self._text, self._file, self._has_lines, self._key = text, file, has_lines, key
        self._sizes: dict[int, int] = {}
        self._around: set[int] = set()

    def content(self) -> object:
        """What it holds."""
        try:
            loader = yaml.SafeLoader(self._text)
            node = loader.get_single_node()
            if node is None:
                return None
            self._measure(node, 1)
            self._look(node, self._key)
            return _own(loader.construct_document(node))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            if not self._has_lines:
                raise
            place = f"{self._file}:{mark.line + 1}:{mark.column + 1}" if mark else self._file
            raise ConfigError(f"{place}: not valid YAML: {yaml_problem(error)}") from None
        except RecursionError:
            line = loader.line + 1
            raise ConfigError(f"{self._place(line)}: not valid YAML here: nested too deeply") from None

    def _place(self, line: int) -> str:
        return f"{self._file}:{line}" if self._has_lines else self._file

    def _wrong(self, node: yaml.Node, path: tuple[str, ...], problem: str) -> ConfigError:
        place = self._place(node.start_mark.line + 1)
        return ConfigError(f"{place}: {key_path(path)}: {problem}" if path else f"{place}: {problem}")

    def _measure(self, node: yaml.Node, level: int) -> int:
        """How many values a node becomes with its aliases followed."""
        if id(node) in self._around:
            raise self._wrong(node, (), "not valid YAML here: an alias contains itself")
        if level > MOST_LEVELS:
            raise self._wrong(node, (), f"not valid YAML here: more than {MOST_LEVELS} levels inside each other")
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        self._around.add(id(node))
        size = 1 + sum(self._measure(child, level + 1) for child in _children(node))
        self._around.discard(id(node))
        self._sizes[id(node)] = size
        if size > MOST_VALUES and size > len(self._sizes):
            raise self._wrong(node, (), f"not valid YAML here: its aliases make more than {MOST_VALUES} values of it")
        return size

    def _look(self, node: yaml.Node, path: tuple[str, ...]) -> None:
        """Note the lines of all keys, and refuse what does not mean what it looks like."""
        if isinstance(node, yaml.MappingNode):
            self._look_at_keys(node, path)
        elif isinstance(node, yaml.SequenceNode):
            self._require_usual(node, "seq", path)
            for index, value in enumerate(node.value):
                inner = (*path, str(index))
                self.lines[inner] = value.start_mark.line + 1
                self._look(value, inner)
        elif isinstance(node, yaml.ScalarNode):
            problem = problem_of_value(node, may_be_date=path == ("name",))
            if problem is not None:
                raise self._wrong(node, path, problem)

    def _look_at_keys(self, node: yaml.MappingNode, path: tuple[str, ...], *, is_merged: bool = False) -> None:
        self._require_usual(node, "map", path)
        merged: list[yaml.Node] = []
        seen: set[str] = set()
        for key, value in node.value:
            problem = problem_of_key(key)
            if problem is not None:
                raise self._wrong(key, (), problem)
            inner, line = (*path, str(key.value)), key.start_mark.line + 1
            if key.value in seen:
                first = self.lines.get(inner, line)
                raise self._wrong(key, (), f"key {key_path(inner)!r} stands here a second time (first in line {first})")
            seen.add(key.value)
            if kind_of(key) == "merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif not is_merged or inner not in self.lines:
                self.lines[inner] = line
                self._look(value, inner)
        for other in merged:
            if not isinstance(other, yaml.MappingNode):
                raise self._wrong(other, path, "not valid YAML here: << takes a mapping or a list of mappings")
            self._look_at_keys(other, path, is_merged=True)

    def _require_usual(self, node: yaml.Node, kind: str, path: tuple[str, ...]) -> None:
        if kind_of(node) != kind:
            raise self._wrong(node, path, f"not valid YAML here: the tag {node.tag[:80]} has no place in this file")


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
