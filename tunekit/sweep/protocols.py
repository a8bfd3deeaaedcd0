"""Protocols: several ways to run one comparison, written in one sweep file and chosen by one key.

``protocols: {name: {...}}`` holds for each name what differs from the rest of the file, in the same keys; `protocol`
names the one that is run, and the report's tables bear its name."""

from __future__ import annotations

from collections.abc import Mapping

from tunekit.errors import ConfigError, nearest
from tunekit.schema import JsonObject, Values
from tunekit.sweep.source import Source, known_keys

__all__ = ["PROTOCOL_KEYS", "protocol_name", "with_protocol"]

PROTOCOL_KEYS = ("fixed", "space", "arms", "search", "scheduler", "seeds", "draws", "finalise", "shots")
"""Keys of the file that a protocol may change."""
CHANGED_IN_AN_ARM = ("fixed", "space", "enqueue", "shots")
"""Keys of an arm that a protocol may change."""


def protocol_name(content: Values, source: Source) -> str | None:
    """The protocol that is run; None where the file has none.

    Raises:
        ConfigError: there are several and none is chosen, or the chosen one is not among them.
    """
    name, known = content.get("protocol"), content.get("protocols")
    if known is not None and (not isinstance(known, Mapping) or not known):
        raise ConfigError(f"{source.at('protocols')}: expected `name: {{what differs}}`, got {known!r}")
    if name is None and known:
        raise ConfigError(f"{source.at('protocols')}: none is chosen; write `protocol:` with one of {', '.join(known)}")
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"{source.at('protocol')}: expected a name, got {name!r}")
    if known and name not in known:
        raise ConfigError(f"{source.at('protocol')}: {name!r} is not one of `protocols`; {nearest(str(name), known)}")
    return name


def with_protocol(content: Values, source: Source) -> JsonObject:
    """`content` as the chosen protocol has it, `protocols` left out. What the command line set is not changed again.

    Raises:
        ConfigError: as `protocol_name` does, or a key that a protocol may not change.
    """
    name = protocol_name(content, source)
    changed = {key: value for key, value in content.items() if key != "protocols"}
    for protocol, changes in (content.get("protocols") or {}).items():
        path = ("protocols", protocol)
        block = {} if changes is None else known_keys(changes, PROTOCOL_KEYS, source, path)
        _check_arms(block.get("arms") or {}, content, source, (*path, "arms"))
        if protocol == name:
            changed = _merged(changed, block, source, ())
    return changed


def _check_arms(arms: object, content: Values, source: Source, path: tuple[str, ...]) -> None:
    known = content.get("arms")
    for arm, changes in known_keys(arms, tuple(known) if isinstance(known, Mapping) else (), source, path).items():
        known_keys(changes, CHANGED_IN_AN_ARM, source, (*path, arm))


def _merged(values: Values, changes: Values, source: Source, path: tuple[str, ...]) -> JsonObject:
    """`values` with `changes` inside of them; lists and single values are replaced whole."""
    merged: JsonObject = dict(values)
    for key, change in changes.items():
        here = (*path, str(key))
        if here in source.overrides:
            continue
        old = merged.get(key)
        if isinstance(change, Mapping) and (old is None or isinstance(old, Mapping)):
            merged[key] = _merged(old or {}, change, source, here)
        else:
            merged[key] = change
    return merged
