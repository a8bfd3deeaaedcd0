"""The errors that tunekit raises on purpose, and how their messages end."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of an error message that names what would be right.

    >>> nearest("fintune", ["finetune", "lora"])
    "did you mean 'finetune'? (valid: finetune, lora)"
    """
    options = sorted(valid)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    listing = f"(valid: {', '.join(options) or 'none'})"
    return f"did you mean {close[0]!r}? {listing}" if close else listing


def require(holds: bool, key: str, value: object, right: str) -> None:
    """Raise a ConfigError that says which key is wrong, its value and what would be right."""
    if not holds:
        raise ConfigError(f"{key} is {value!r}, must be {right}")
