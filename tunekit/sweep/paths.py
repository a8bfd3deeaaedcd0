"""The paths in the content of a sweep file: where they stand, and another content with each of them changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tunekit.schema import JsonObject, Values
from tunekit.sweep.arms import PATH_KEYS, is_folder

Change = Callable[[str, str], str]
"""``(key, path) -> path``; the key is one of `PATH_KEYS`, or ``backbone``."""


def with_paths(content: Values, change: Change) -> JsonObject:
    """A deep copy of `content` with every path replaced by what `change` makes of it.

    Paths are those of data, of caches and of local backbones. Those of `references` are not among them.
    """

    def walk(value: object, key: str | None) -> object:
        if isinstance(value, Mapping):
            inner = {str(k): str(k) if key != "files" else "files" for k in value}
            if key == "backbone" and "path" not in inner and "name" in inner:
                inner["name"] = "backbone"
            return {str(k): walk(v, inner[str(k)]) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [walk(item, key) for item in value]
        if isinstance(value, str) and key in PATH_KEYS:
            return change(str(key), value)
        if isinstance(value, str) and (key == "path" or (key == "backbone" and is_folder(value))):
            return change("backbone", value)
        return value

    return {str(key): walk(value, str(key)) for key, value in content.items()}


def paths_in(content: Values) -> list[str]:
    """Every path that `content` names, each once, in order, as it is written there; all but those of `references`."""
    found: dict[str, None] = {}

    def note(key: str, path: str) -> str:
        found[path] = None
        return path

    with_paths(content, note)
    return list(found)
