"""Where the values of a sweep file came from, so that every message names file, line and key."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tunekit.errors import MOST, ConfigError, nearest, quoted
from tunekit.schema import Values, build, coerce

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
                place = f"--set {quoted(self.overrides[known])}"
                break
            if known in self.lines:
                place = f"{self.file}:{self.lines[known]}"
                break
        return f"{place}: {key_path(path)}" if path else place

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
            key = text.partition(" ")[0].partition(".")[0]
            raise ConfigError(f"{self.at(*path, key) if key in block else self.at(*path)}: {text}") from None


def located(message: str, file: str, lines: Mapping[tuple[str, ...], int]) -> str:
    """A message of `schema.build` that begins with ``file: a: b: ...``, with the line of the last known key in it."""
    path: tuple[str, ...] = ()
    rest = message.removeprefix(f"{file}: ")
    while rest != message:
        key, colon, after = rest.partition(": ")
        if not colon or (*path, key.partition("[")[0]) not in lines:
            break
        path, rest = (*path, key.partition("[")[0]), after
    return f"{file}:{lines[path]}{message.removeprefix(file)}" if path else message


def key_path(path: Sequence[str]) -> str:
    """``a.b.c``, each key in one line and not too long."""
    return ".".join(part if part.isprintable() and len(part) <= MOST else quoted(part) for part in path)


def known_keys(values: object, valid: Sequence[str], source: Source, path: tuple[str, ...]) -> Values:
    """`values` as a mapping; refuses what is none, and the first key that is not among `valid`."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{source.at(*path)}: expected keys and values, got {quoted(values)}")
    for key in values:
        if key not in valid:
            raise ConfigError(f"{source.at(*path, str(key))}: unknown key {quoted(key)}; {nearest(str(key), valid)}")
    return values
