"""The errors that tunekit raises on purpose, and how their messages end."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

MOST = 200
"""Characters of one value that a message quotes."""
MOST_NAMES = 1000
"""Characters of valid names that a message lists."""


class TunekitError(Exception):
    """Base of every error that tunekit raises on purpose; its message is meant for the user."""


class ConfigError(TunekitError):
    """The user's input is wrong: a key, a value, a file. The command line exits with 2."""


class DataError(ConfigError):
    """A data file is missing, empty, torn or holds what it should not; names file and line."""


class DataChanged(ConfigError):
    """What a trial reads (data, backbone) is no longer what it read before; names what changed."""


class TrialFailed(TunekitError):
    """A trial cannot go on (a loss that is not a number, say); repeating it would fail again."""


class StorageError(TunekitError):
    """The run folder cannot be written (disk full, read-only). The sweep stops and can be resumed."""


class ClusterError(TunekitError):
    """A cluster, or the way to it, failed half-way; what runs there goes on. The same command can be tried again."""


class TrackerError(TunekitError):
    """A tracker (TensorBoard, MLflow, W&B) does not take what it is sent; the sweep itself is whole."""


class DeviceLost(BaseException):
    """The GPU answers this process no more, so the process must end. What it ran may be at fault or not.

    No failure of the trial that met it, which is what becomes of an ``Exception``.
    """


def quoted(value: object, limit: int = MOST) -> str:
    """``repr(value)``, cut at `limit` characters; as cheap for a list of a million elements as for a short one.

    >>> quoted("a"), quoted([1, "b"]), quoted("x" * 300, limit=8)
    ("'a'", "[1, 'b']", "'xxxxxx…")
    """
    pieces, length = [], 0
    for piece in _spelled(value, limit):
        pieces.append(piece)
        length += len(piece)
        if length > limit:
            break
    text = "".join(pieces)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _spelled(value: object, limit: int) -> Iterator[str]:
    """The parts of ``repr(value)``, so that a reader may stop early."""
    if isinstance(value, str):
        yield repr(str(value[: limit + 1]))
    elif type(value) is int and value.bit_length() > 4 * limit:  # Python refuses to write out very long ones
        yield f"a whole number of some {round(value.bit_length() * 0.30103)} digits"
    elif isinstance(value, Mapping):
        yield "{"
        for index, (key, item) in enumerate(value.items()):
            yield ", " if index else ""
            yield from _spelled(key, limit)
            yield ": "
            yield from _spelled(item, limit)
        yield "}"
    elif isinstance(value, list):
        yield from _between("[", value, "]", limit)
    elif type(value) is tuple:
        yield from _between("(", value, ",)" if len(value) == 1 else ")", limit)
    else:
        yield repr(value)


def _between(start: str, items: Iterable[object], end: str, limit: int) -> Iterator[str]:
    yield start
    for index, item in enumerate(items):
        yield ", " if index else ""
        yield from _spelled(item, limit)
    yield end


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of an error message that names what would be right.

    >>> nearest("fintune", ["finetune", "lora"])
    "did you mean 'finetune'? (valid: finetune, lora)"
    """
    options = sorted(valid)
    close = difflib.get_close_matches(name[:MOST], options, n=1, cutoff=0.5)
    listing = f"(valid: {_listed(options) or 'none'})"
    return f"did you mean {quoted(close[0])}? {listing}" if close else listing


def _listed(options: list[str]) -> str:
    """All of them, or as many as a message can hold and how many more there are."""
    text = ", ".join(options)
    if len(text) <= MOST_NAMES:
        return text
    kept = text[:MOST_NAMES].rpartition(", ")[0] or f"{text[:MOST]}…"
    return f"{kept} and {len(options) - kept.count(', ') - 1} more"


def require(holds: bool, key: str, value: object, right: str) -> None:
    """Raise a ConfigError that says which key is wrong, its value and what would be right."""
    if not holds:
        raise ConfigError(f"{key} is {quoted(value)}, must be {right}")
