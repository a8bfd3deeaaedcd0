"""Reading and writing whole objects of an object store.

An object appears whole or not at all, and no store can add to one. Everything here is said through fsspec, so that
one piece of code serves S3, Google Cloud Storage and, in tests, a dictionary. The store's own package reads the
credentials from the usual environment, and tries again by itself what fails for a moment; here that is done once more
with longer pauses.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from tunekit.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from types import TracebackType

    from upath import UPath

T = TypeVar("T")

CURE = "check the network, the bucket's name and its permissions, then run the same command"
"""What helps against most errors of a store."""
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further try of what a store refused for a moment."""
SMALL_BYTES = 8 << 20
"""A file up to this size is sent as one piece."""
MANY = 100
"""From so many objects on, those to be deleted are looked up in a listing first: most may be gone already."""

_LIBRARIES = ("botocore", "aiobotocore", "s3fs", "gcsfs", "google", "aiohttp")
"""Packages of stores, which have errors of their own beside the operating system's."""
_FINAL = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "InvalidRegionError",
    "DefaultCredentials",
)
"""Errors of such packages, or beginnings of their names, that no second try cures."""

logger = logging.getLogger(__name__)


class _Failed(Exception):
    """A store refused; holds why."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause

    @property
    def is_final(self) -> bool:
        is_refusal = isinstance(self.cause, FileNotFoundError | FileExistsError | PermissionError)
        return is_refusal or type(self.cause).__name__.startswith(_FINAL)

    def in_words(self) -> str:
        """What went wrong, and what helps where that is known."""
        name, text = type(self.cause).__name__, " ".join(str(self.cause).split())
        if name.startswith(("NoCredentials", "PartialCredentials", "DefaultCredentials")):
            keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS"
            return f"there are no credentials ({text}); set {keys}, or use a machine with a role"
        if isinstance(self.cause, PermissionError):
            return f"it does not let us in ({text}); check the credentials and the permissions of the bucket"
        return f"{text or name}; {CURE}"


class _StoreErrors:
    """Turns errors of the operating system and of a store's package inside into `_Failed`."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None and (isinstance(error, OSError) or _is_of_a_store(error)):
            raise _Failed(error) from error


def _is_of_a_store(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in _LIBRARIES for kind in type(error).__mro__)


def _tried(action: Callable[[], T], *, pause: Callable[[float], None] = time.sleep) -> T:
    """What `action` gives, tried again while a store refuses for a moment.

    Raises:
        _Failed: it does not pass.
    """
    for pause_s in PAUSES_S:
        try:
            with _StoreErrors():
                return action()
        except _Failed as failed:
            if failed.is_final:
                raise
            logger.warning("an object store failed and is tried again: %s", failed)
        pause(pause_s)
    with _StoreErrors():
        return action()


def _carried_out(action: Callable[[], T], doing: str) -> T:
    try:
        return _tried(action)
    except _Failed as failed:
        raise StorageError(f"cannot {doing}: {failed.in_words()}") from failed.cause


def _found(action: Callable[[], T], doing: str) -> T | None:
    """The same; None where there is no such object."""
    try:
        return _tried(action)
    except _Failed as failed:
        if isinstance(failed.cause, FileNotFoundError):
            return None
        raise StorageError(f"cannot {doing}: {failed.in_words()}") from failed.cause


def require_bucket(root: UPath) -> None:
    """Ask for the bucket of `root`, once.

    Raises:
        ConfigError: it does not exist, it does not let us in, or nothing answers.
    """
    bucket = root.fs._strip_protocol(root.path).partition("/")[0]
    try:
        with _StoreErrors():
            if bucket:  # what lies in memory has none
                root.fs.info(bucket)
    except _Failed as failed:
        if isinstance(failed.cause, FileNotFoundError):
            raise ConfigError(f"--root {root}: there is no bucket {bucket!r}; make it, or name another") from failed
        raise ConfigError(f"--root {root}: {failed.in_words()}") from failed.cause


def read(path: UPath) -> bytes | None:
    """An object's content; None if there is none.

    Raises:
        StorageError: it cannot be read.
    """
    content: bytes | None = _found(lambda: path.fs.cat_file(path.path), f"read {path}")
    return content


def read_many(paths: Sequence[UPath]) -> list[bytes | None]:
    """The contents of several objects, read at the same time.

    Raises:
        StorageError: one cannot be read.
    """
    if not paths:
        return []
    keys = [path.path for path in paths]
    found = _carried_out(lambda: _known(paths[0].fs.cat(keys, on_error="return")), f"read {paths[0].parent}")
    return [found[key] for key in keys]


def _known(answers: dict[str, bytes | BaseException]) -> dict[str, bytes | None]:
    for answer in answers.values():
        if isinstance(answer, BaseException) and not isinstance(answer, FileNotFoundError):
            raise answer
    return {key: answer if isinstance(answer, bytes) else None for key, answer in answers.items()}


def read_with(path: UPath, read: Callable[[IO[bytes]], T]) -> T | None:
    """What `read` makes of a local copy of the object; None if there is no such object.

    Raises:
        StorageError: it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="tunekit-") as scratch:
        copy = Path(scratch) / "object"
        is_there = _found(lambda: path.fs.get_file(path.path, str(copy)) or True, f"read {path}")
        if not is_there:
            return None
        with copy.open("rb") as file:
            return read(file)


def write(path: UPath, content: bytes) -> None:
    """Make or replace an object.

    Raises:
        StorageError: it cannot be written.
    """
    _carried_out(lambda: path.fs.pipe_file(path.path, content), f"write {path}")


def upload(path: UPath, source: Path) -> None:
    """Make or replace an object by a local file.

    Raises:
        StorageError: it cannot be written, or the file not read.
    """
    if source.stat().st_size <= SMALL_BYTES:
        write(path, source.read_bytes())
    else:
        _carried_out(lambda: path.fs.put_file(str(source), path.path), f"write {path}")


def write_with(path: UPath, fill: Callable[[IO[bytes]], None]) -> None:
    """Make an object of what `fill` writes to a local file.

    Raises:
        StorageError: it cannot be written.
        OSError: the local file cannot.
    """
    with tempfile.TemporaryDirectory(prefix="tunekit-") as scratch:
        made = Path(scratch) / "object"
        with made.open("wb") as file:
            fill(file)
        upload(path, made)


def create(path: UPath, content: bytes) -> bool:
    """Make an object if there is none of this name, by one conditional write. False: another has made it.

    A try that failed may have succeeded all the same, as when its answer was lost. So an object with this very content
    is taken for ours; contents of two writers must differ.

    Raises:
        StorageError: it cannot be written.
    """

    def attempt() -> bool:
        try:
            with _StoreErrors():
                path.fs.pipe_file(path.path, content, mode="create")
            return True
        except _Failed as failed:
            there = read(path)
            if there is None:
                raise failed.cause from None
            return there == content

    return _carried_out(attempt, f"write {path}")


def copy(source: UPath, target: UPath) -> None:
    """Copy an object inside the store.

    Raises:
        StorageError: it cannot be done.
    """
    _carried_out(lambda: source.fs.cp_file(source.path, target.path), f"write {target}")


def remove(paths: Iterable[UPath]) -> None:
    """Delete objects; those that are not there are no error, and cost little where there are many.

    Raises:
        StorageError: one cannot be deleted, or the store does not answer.
    """
    asked = list(paths)
    if len(asked) > MANY:
        common = os.path.commonpath([path.path for path in asked]).strip("/")
        there = set(_keys_below(next(each for each in asked[0].parents if each.path.strip("/") == common)))
        asked = [path for path in asked if path.path.strip("/") in there]
    for path in asked:
        _found(lambda path=path: path.fs.rm_file(path.path), f"delete {path}")  # type: ignore[misc]


def remove_all(folder: UPath) -> None:
    """Delete every object below `folder`.

    Raises:
        StorageError: one cannot be deleted.
    """
    _found(lambda: folder.fs.rm(folder.path, recursive=True), f"delete {folder}")


def names(folder: UPath) -> list[str]:
    """The names of what lies directly in `folder`, in their order; none where there is nothing.

    Raises:
        StorageError: the store does not answer.
    """
    found: list[str] = _found(lambda: folder.fs.ls(folder.path, detail=False), f"read {folder}") or []
    ends = (entry.rstrip("/").rpartition("/")[2] for entry in found if entry.strip("/") != folder.path.strip("/"))
    return sorted(filter(None, ends))


def below(folder: UPath) -> list[UPath]:
    """Every object below `folder`, in the order of their names.

    Raises:
        StorageError: the store does not answer.
    """
    start = folder.path.strip("/") + "/"
    return [folder / key.removeprefix(start) for key in sorted(_keys_below(folder))]


def _keys_below(folder: UPath) -> list[str]:
    found: list[str] = _found(lambda: folder.fs.find(folder.path), f"read {folder}") or []
    return [key.strip("/") for key in found]


def exists(path: UPath) -> bool:
    """Whether there is such an object, or one below it.

    Raises:
        StorageError: the store does not answer.
    """
    return bool(_found(lambda: path.fs.info(path.path), f"read {path}"))
