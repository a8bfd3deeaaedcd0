"""Files that grow and that nothing depends on, such as those a viewer reads along: not flushed to the disk, not waited
for, made again from the journal where they are not what they should be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from tunekit.errors import StorageError
from tunekit.storage.local import storage_errors


def append_at(path: Path, content: bytes, *, size: int) -> None:
    """Append to a file that has `size` bytes; with 0 it and its folder are made.

    Raises:
        StorageError: it cannot be written (a part of `content` may have been), or has another size.
    """
    with storage_errors(f"write {path}"):
        if not size:
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise StorageError(f"{path} has {found} bytes instead of {size}: another program writes it too")
            _write_all(file, content)


def grow_to(path: Path, content: bytes) -> None:
    """See that a file holds `content`: what is missing is appended where it holds the beginning, so that who reads it
    along misses nothing; what holds anything else is replaced.

    Raises:
        StorageError: it cannot be written.
    """
    with storage_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            file.seek(0)
            found = file.read()
            if content.startswith(found):
                _write_all(file, content[len(found) :])
                return
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(content)
        os.replace(temporary, path)


def _write_all(file: IO[bytes], content: bytes) -> None:
    """A write without a buffer may take a part only."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
