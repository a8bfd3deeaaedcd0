"""What keeps a journal to one writer, whatever it lies on: a lock and a file that grows, or a lease and segments."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tunekit.storage.lease import Lease, LeaseWatch, holder_of_lease
from tunekit.storage.locks import AppendFile, Lock, holder_of_lock, lines_of_file
from tunekit.storage.places import AnyPath
from tunekit.storage.segments import SegmentedFile, segment_lines


def take_lock(path: AnyPath, text: str) -> Lock | Lease:
    """Take the lock at `path`; the caller closes it.

    Args:
        path: a file, or a prefix in an object store.
        text: who we are, for :func:`holder_of`.

    Raises:
        BlockingIOError: another process, or another object, holds it; the message says who.
        StorageError: it cannot be made.
    """
    if not isinstance(path, Path):
        return Lease(path, text)
    try:
        lock = Lock(path)
    except BlockingIOError:
        raise BlockingIOError(holder_of_lock(path) or "another process") from None
    lock.write(f"{text}\n")
    return lock


def holder_of(path: AnyPath) -> str | None:
    """What the holder of the lock at `path` says of itself, or None if nobody holds it. Takes no lock.

    In an object store this may take some seconds (:func:`tunekit.storage.lease.holder_of_lease`).

    Raises:
        StorageError: it cannot be read.
    """
    return holder_of_lock(path) if isinstance(path, Path) else holder_of_lease(path)


def open_to_append(path: AnyPath, lock: Lock | Lease, *, durable: bool = True) -> AppendFile | SegmentedFile:
    """Open the file at `path`, which only the holder of `lock` writes.

    Args:
        path: a file, or a prefix in an object store.
        lock: of :func:`take_lock`.
        durable: see :class:`AppendFile`; an object is always on the disks of its store.

    Raises:
        StorageError: it cannot be made.
    """
    if isinstance(path, Path):
        return AppendFile(path, durable=durable)
    return SegmentedFile(path, lock.require_held)


def whole_lines(path: AnyPath, *, size: int = 0, num_lines: int = 0) -> Iterator[bytes]:
    """The lines of a file of :func:`open_to_append`, each with its line feed, while it may be growing.

    A last one without it is left out: it is torn, or still being written.

    Args:
        path: a file, or a prefix in an object store.
        size: bytes of the lines that are known already, which are not read again.
        num_lines: how many lines these are.

    Raises:
        LinesGone: known lines are no longer there.
        StorageError: the file cannot be read.
    """
    return lines_of_file(path, size=size) if isinstance(path, Path) else segment_lines(path, num_lines=num_lines)


class HolderWatch:
    """Who holds the lock at `path`, asked again and again; no question waits, as :func:`holder_of` may."""

    def __init__(self, path: AnyPath, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._lease = None if isinstance(path, Path) else LeaseWatch(path, clock=clock)

    def look(self) -> str | None:
        """What the holder says of itself; None if nobody holds the lock.

        Raises:
            StorageError: it cannot be read.
        """
        return self._lease.look() if self._lease is not None else holder_of(self._path)
