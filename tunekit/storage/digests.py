"""SHA-256 of files, computed once: a digest is kept by path, size and times, in this process and on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import partial
from pathlib import Path

from tunekit.errors import StorageError
from tunekit.patience import hurrying, passing, persist
from tunekit.storage.sealed import read_sealed_json, write_sealed_json

KEPT_BYTES = 1_000_000
"""Digests of larger files are kept on this machine too; smaller ones are computed anew in no time."""
BLOCK_BYTES = 1 << 20

_known: dict[str, tuple[list[int], str]] = {}


def cache_folder(chosen: str | None = None) -> Path:
    """Where this machine keeps what can be made again: `chosen`, else ``$TUNEKIT_CACHE``, else ``~/.cache/tunekit``."""
    return Path(chosen or os.environ.get("TUNEKIT_CACHE") or "~/.cache/tunekit").expanduser()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits.

    A file that has the size, times and place in the file system that it had is not read again. A change of its bytes
    always changes its time of change, which no program can set back.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    return persist(partial(_digest, path), partial(passing, doing=f"read {path}"))


def _digest(path: Path) -> str:
    path = path.resolve()
    key, stamp = str(path), _stamp(path)
    for _ in range(10):  # a file that changes while it is read is read again
        known = _known.get(key) or _kept(path, stamp)
        if known is not None and known[0] == stamp:
            _known[key] = known
            return known[1]
        digest, before, stamp = _computed(path), stamp, _stamp(path)
        if stamp == before:
            _known[key] = (stamp, digest)
            _keep(path, stamp, digest)
            return digest
    raise OSError(f"{path} changes all the time")


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _computed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(path: Path) -> Path:
    return cache_folder() / "digests" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:24]}.json"


def _kept(path: Path, stamp: list[int]) -> tuple[list[int], str] | None:
    if stamp[0] < KEPT_BYTES:
        return None
    with contextlib.suppress(StorageError):
        stored = read_sealed_json(_entry(path))
        if stored is not None and stored.get("stamp") == stamp:
            return stamp, str(stored["sha256"])
    return None


def _keep(path: Path, stamp: list[int], digest: str) -> None:
    if stamp[0] >= KEPT_BYTES:
        with contextlib.suppress(StorageError), hurrying():  # a cache that cannot be written costs time and no more
            write_sealed_json(_entry(path), {"path": str(path), "stamp": stamp, "sha256": digest})
