"""One writer at a time: a lock that falls with its process, and a file that only grows."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from tunekit.errors import StorageError
from tunekit.storage.local import patiently, storage_errors

_WHOLE_FILE = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""The operating system's ``struct flock`` for an exclusive lock on all of a file."""
CURE_OF_APPENDING = "free some space and run the same command again"


class Lock:
    """An exclusive lock on a file, held until `close` or the end of the process, however it ends.

    It belongs to this object and not to the process, so that reading the file elsewhere in the process does not
    release it, and :func:`holder_of_lock` can ask for it without taking it.
    """

    def __init__(self, path: Path) -> None:
        """Make the file and take the lock.

        Raises:
            BlockingIOError: another process, or another object, holds it.
            StorageError: the file cannot be made.
        """
        self.path = path
        self._descriptor = patiently(lambda: os.open(path, os.O_RDWR | os.O_CREAT, 0o644), f"write {path}")
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
        except OSError as error:
            os.close(self._descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise BlockingIOError(error.errno, "locked", str(path)) from None
            raise StorageError(f"cannot lock {path}: {error.strerror or error}") from error

    def write(self, text: str) -> None:
        """Replace the file's content, which tells others who holds the lock.

        Raises:
            StorageError: the disk is full.
        """

        def attempt() -> None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)

        patiently(attempt, f"write {self.path}")

    def require_held(self) -> None:
        """Make sure that we hold the lock: it falls with its process alone."""

    def close(self) -> None:
        """Release the lock; a second time has no effect."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder_of_lock(path: Path) -> str | None:
    """What the holder of the lock on `path` says of itself, or None if nobody holds it. Takes no lock.

    Raises:
        StorageError: the file is there and cannot be read.
    """
    with storage_errors(f"read {path}"):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            state = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE)
            if struct.unpack_from("h", state)[0] == fcntl.F_UNLCK:
                return None
            return os.read(descriptor, 1000).decode("utf-8", "replace").strip() or "another process"
        finally:
            os.close(descriptor)


class LinesGone(StorageError):
    """Lines that were read before are no longer there: a journal was cut, or another one stands in its place."""


def lines_of_file(path: Path, *, size: int = 0) -> Iterator[bytes]:
    """The lines of a file that an `AppendFile` writes, each with its line feed.

    A last one without it is left out: it is torn, or still being written.

    Args:
        path: of the file.
        size: of the whole lines that are known already; those after them are read.

    Raises:
        LinesGone: no line ends after `size` bytes.
        StorageError: the file cannot be read.
    """
    with storage_errors(f"read {path}"):
        stream = path.open("rb")
    with stream:
        if size:
            with storage_errors(f"read {path}"):
                stream.seek(size - 1)
                if stream.read(1) != b"\n":
                    raise LinesGone(f"{path} is shorter than it was, or another file")
        while True:
            with storage_errors(f"read {path}"):
                line = stream.readline()
            if not line.endswith(b"\n"):
                return
            yield line


class AppendFile:
    """A file that grows by whole pieces: each is on the disk, or the file is as it was.

    Args:
        path: made if it does not exist.
        durable: flush each piece to the disk; without it a machine that stops can lose the last ones.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        self._stream = patiently(lambda: path.open("ab", buffering=0), f"write {path}")
        self._size = patiently(lambda: os.fstat(self._stream.fileno()).st_size, f"read {path}")

    def append(self, content: bytes) -> None:
        """Add `content` at the end.

        Raises:
            StorageError: the disk is full or gone, or somebody else has written the file. Nothing of `content` is kept,
                and this object takes no more.
        """
        if self._stream.closed:
            raise StorageError(f"cannot write {self.path}: it is closed, after an earlier failure or at the end")
        self._require_sole()
        end = self._size

        def attempt() -> None:
            try:
                written = self._stream.write(content)
                if written != len(content):
                    raise OSError(errno.ENOSPC, f"only {written} of {len(content)} bytes were written")
                if self._durable:
                    os.fsync(self._stream.fileno())
            except OSError as error:
                self._take_back(end, error)
                raise

        is_written = False
        try:
            patiently(attempt, f"write {self.path}", cure=CURE_OF_APPENDING)
            self._size += len(content)
            is_written = True
        finally:
            if not is_written:  # what was to be written is lost: nothing may stand in its place
                self._stream.close()

    def _require_sole(self) -> None:
        """See that the file is still the one that we have written, so that two writers never mix their pieces.

        A lock does not tell: somebody may have deleted its file, or a server have given it to another machine.
        """

        def is_ours() -> bool:
            try:
                there = os.stat(self.path).st_size  # not by its number, which some shared file systems change
            except FileNotFoundError:
                return False
            return there == self._size == os.fstat(self._stream.fileno()).st_size

        if not patiently(is_ours, f"write {self.path}"):
            self._stream.close()
            raise StorageError(
                f"cannot write {self.path}: somebody else has written, replaced or deleted it; nothing more is written"
                " from here. See that one driver runs, then resume"
            )

    def _take_back(self, end: int, error: OSError) -> None:
        """Cut what is torn, so that the piece can be tried again.

        Raises:
            StorageError: that cannot be done, and a second piece after a torn one would make the file unreadable. The
                next process drops what is torn.
        """
        try:
            os.truncate(self.path, end)
        except OSError:
            reason = error.strerror or error
            raise StorageError(f"cannot write {self.path}: {reason}; {CURE_OF_APPENDING}") from error

    def keep(self, *, size: int, num_lines: int) -> None:
        """Go on after the first `size` bytes, which hold `num_lines` whole lines; what comes after them goes.

        Raises:
            StorageError: that cannot be done.
        """
        with storage_errors(f"write {self.path}"):
            self._stream.truncate(size)
        self._size = size

    def close(self) -> None:
        """Close the file; a second time has no effect."""
        self._stream.close()
