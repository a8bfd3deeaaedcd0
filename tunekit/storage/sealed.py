"""Whole files that show whether they are still what was written: each carries the SHA-256 of its content.

A file that is written atomically is never half there, but a disk that failed, a copy that was cut short or a flipped
bit can still change it. Such a file is told from one that was never written, so that its owner can make it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import IO, Any, TypeVar, cast

from tunekit.errors import TunekitError
from tunekit.patience import say
from tunekit.schema import JsonObject, canonical_json, to_json
from tunekit.storage.local import json_bytes, read_with, write_json, write_with
from tunekit.storage.places import AnyPath

T = TypeVar("T")

MARK = b"\ntunekit sha256 "
"""Stands after the content, before the checksum."""
SEAL_BYTES = len(MARK) + 64 + 1
"""Mark, 64 hex digits and a line feed."""
BLOCK_BYTES = 1 << 20
KEY = "checksum"
"""The checksum's key in a JSON file."""


class TornFile(TunekitError):
    """A file is not what was written: it was cut, or bytes of it have changed."""


class _Summed:
    """A file that is written from its start to its end, and the checksum of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sum = hashlib.sha256()
        self.failure: OSError | None = None
        """Why something could not be written: torch says that it could not, and not why."""

    def write(self, content: Any) -> int:
        """Write bytes, or what lies in memory as bytes."""
        self.sum.update(content)
        try:
            return self._file.write(content)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        self._file.flush()


def write_sealed(path: AnyPath, write: Callable[[IO[bytes]], None]) -> AnyPath:
    """Write a file atomically, with a checksum after its content. Gives `path`.

    Args:
        path: of the file; its folder is made.
        write: gets the open file, which it may only write on, never wind back. It may raise OSError.

    Raises:
        StorageError: the file cannot be written; what was there before is left as it was.
    """

    def fill(file: IO[bytes]) -> None:
        summed = _Summed(file)
        try:
            write(cast(IO[bytes], summed))
        except (OSError, RuntimeError):
            if summed.failure is None:
                raise
            raise summed.failure from None
        file.write(MARK + summed.sum.hexdigest().encode() + b"\n")

    return write_with(path, fill)


def read_sealed(path: AnyPath, read: Callable[[IO[bytes]], T]) -> T | None:
    """What `read` makes of a file of `write_sealed`; None if there is no such file.

    Args:
        path: of the file.
        read: gets the open file at its start, once all of it was found to be whole. The checksum stands at the end.

    Raises:
        TornFile: its bytes are not those that were written; `read` was not called.
        StorageError: the file is there and cannot be read.
    """

    def check_and_read(file: IO[bytes]) -> T:
        _require_whole(file, path)
        file.seek(0)
        return read(file)

    return read_with(path, check_and_read)


def _require_whole(file: IO[bytes], path: AnyPath) -> None:
    size = file.seek(0, 2) - SEAL_BYTES
    if size < 0:
        raise TornFile(f"{path} is torn: it has {size + SEAL_BYTES} bytes")
    file.seek(size)
    seal = file.read()
    file.seek(0)
    found, left = hashlib.sha256(), size
    while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
        found.update(block)
        left -= len(block)
    if not seal.startswith(MARK):
        raise TornFile(f"{path} is torn: no checksum stands at its end")
    if seal[len(MARK) :] != found.hexdigest().encode() + b"\n":
        raise TornFile(f"{path} is torn: its bytes are not those of its checksum")


def write_sealed_json(path: AnyPath, value: object) -> AnyPath:
    """Write `value`, keys and values without `KEY`, as indented JSON with a checksum, atomically. Gives `path`.

    Raises:
        StorageError: the file cannot be written.
    """
    content = to_json(value)
    return write_json(path, {**content, KEY: _sum(content)})


def read_sealed_json(path: AnyPath) -> JsonObject | None:
    """What `write_sealed_json` wrote; None if there is no such file or it is torn, which the user is told.

    Raises:
        StorageError: the file is there and cannot be read.
    """
    stored = read_with(path, lambda file: file.read())
    if stored is None:
        return None
    try:
        content = json.loads(stored)
        # Byte by byte: a changed blank between two values leaves the content as it was, and is a changed file.
        if isinstance(content, dict) and stored == json_bytes(content) and content.pop(KEY, None) == _sum(content):
            return content
        problem = "its content is not that of its checksum"
    except (ValueError, RecursionError) as error:
        problem = str(error)
    say(f"{path} is torn and is ignored ({problem}); what it held is made again", str(path))
    return None


def _sum(content: object) -> str:
    return hashlib.sha256(canonical_json(content).encode("utf-8", "surrogatepass")).hexdigest()
