"""What the manifest and the script have in common: the command that runs on the cluster, comments, places of data."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from tunekit.errors import ConfigError, quoted
from tunekit.schema import Values
from tunekit.sweep import Sweep, paths_in
from tunekit.wording import one_line

RAY_VERSION = "2.60.0"
"""The Ray of constraints.txt, which every node must have."""
WIDTH = 118
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def sweep_words(file: str, sweep: Sweep, root: str, workers: int) -> list[str]:
    """The words of the command that runs `sweep` on the cluster, all but the address."""
    return ["tunekit", "sweep", file, "--name", sweep.name, "--root", root, "--workers", str(workers)]


def comment(text: str = "", indent: str = "") -> str:
    """`text` as lines of a comment, broken at the page's width; each new line begins with `indent`."""
    if not text:
        return "#"
    clean = one_line(text, limit=2000)
    return textwrap.fill(
        clean,
        WIDTH,
        initial_indent=f"# {indent}",
        subsequent_indent=f"#   {indent}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def listing(title: str, items: Iterable[str]) -> list[str]:
    """A commented list under a title; nothing if there are no items."""
    found = list(items)
    return [comment(title), *(comment(f"- {item}", "  ") for item in found)] if found else []


def is_object_store(root: str) -> bool:
    """Whether `root` is a bucket and not a folder."""
    return "://" in root


def variables_in(content: Values) -> list[str]:
    """The environment variables that the paths of a sweep file hold, in alphabetical order."""
    return sorted({found[1] or found[2] for path in paths_in(content) for found in _VARIABLE.finditer(path)})


def pairs(option: str, values: Iterable[str], example: str) -> dict[str, str]:
    """``KEY=VALUE`` options as a dictionary.

    Raises:
        ConfigError: one has no key or no ``=``.
    """
    found: dict[str, str] = {}
    for value in values:
        key, separator, rest = value.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"{option} {quoted(value)}: expected {example}")
        found[key.strip()] = rest
    return found
