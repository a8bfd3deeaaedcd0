"""Reading and writing whole files: of a local or shared file system, or of an object store.

In a file system, a file is written beside its place, flushed to the disk and renamed; in an object store it is made
here and sent as a whole. So a kill at any moment leaves the old content or the new one, never a part of it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from tunekit.errors import StorageError
from tunekit.patience import passing, persist
from tunekit.schema import to_json
from tunekit.storage import objects
from tunekit.storage.places import AnyPath

if TYPE_CHECKING:
    from upath import UPath

T = TypeVar("T")

CURE = "free or repair the disk, then run the same command"
"""What helps against most errors of a disk."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def storage_errors(action: str, cure: str = CURE) -> Iterator[None]:
    """Turn the operating system's errors inside into a StorageError.

    Args:
        action: what was being done, after "cannot", such as ``write runs/a/sweep.yaml``.
        cure: what helps.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action}: {error.strerror or error}; {cure}") from error


def patiently(action: Callable[[], T], doing: str, *, cure: str = CURE) -> T:
    """What `action` gives; where the disk is full or fails for a while, it is tried again.

    Args:
        action: leaves nothing behind when it fails.
        doing: what it does, after "cannot", such as ``write runs/a/sweep.yaml``.
        cure: what helps if waiting does not.

    Raises:
        StorageError: the operating system refuses, and waiting does not help, or nobody listens
            (:mod:`tunekit.patience`).
    """
    with storage_errors(doing, cure):
        return persist(action, partial(passing, doing=doing))


def write_with(path: AnyPath, write: Callable[[IO[bytes]], None], *, cure: str = CURE) -> AnyPath:
    """Write a file atomically; its folder is made. Gives `path`.

    Args:
        path: of the file.
        write: gets the open file. It may raise OSError, and nothing is left of the file then.
        cure: what helps if it cannot be written.

    Raises:
        StorageError: the file cannot be written.
    """
    if not isinstance(path, Path):
        with storage_errors(f"write {path}, which is made on this machine first"):
            objects.write_with(path, write)
        return path

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # or a machine that stops now could keep the name and lose the bytes

    return _replace(path, fill, cure=cure)


def write_bytes(path: AnyPath, content: bytes, *, cure: str = CURE) -> AnyPath:
    """Write `content` atomically; see :func:`write_with`."""

    def write(file: IO[bytes]) -> None:
        file.write(content)

    return write_with(path, write, cure=cure)


def write_text(path: AnyPath, text: str, *, cure: str = CURE) -> AnyPath:
    """Write `text` as UTF-8, atomically; what UTF-8 cannot express is written as ``\\xNN``. See :func:`write_with`."""
    return write_bytes(path, text.encode("utf-8", "backslashreplace"), cure=cure)


def write_json(path: AnyPath, value: object) -> AnyPath:
    """Write `value` as `json_bytes`, atomically; see :func:`write_with`."""
    return write_bytes(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """`value` as a file holds it: indented JSON with sorted keys."""
    text = json.dumps(to_json(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def open_log(path: Path) -> IO[bytes]:
    """Open a log file, to write at its end; its folder is made. What is written to it may be lost in part.

    Raises:
        StorageError: the file cannot be written.
    """
    with storage_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")


def copy_or_link(source: AnyPath, target: AnyPath) -> AnyPath:
    """Give the file `source` the second name `target`, atomically; copy it where there are no links.

    Both are in one file system or one store.

    Raises:
        StorageError: neither can be done.
    """
    if not isinstance(target, Path) or not isinstance(source, Path):
        objects.copy(*_in_one_store(source, target))
        return target

    def fill(temporary: Path) -> None:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            _copy_to_disk(source, temporary)

    return _replace(target, fill)


def read_with(path: AnyPath, read: Callable[[IO[bytes]], T]) -> T | None:
    """What `read` makes of the open file; None if there is no such file.

    Raises:
        StorageError: the file is there and cannot be read.
    """
    if not isinstance(path, Path):
        with storage_errors(f"read {path}, which is copied to this machine first"):
            return objects.read_with(path, read)

    def attempt() -> T | None:
        try:
            file = path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return None
        with file:
            return read(file)

    return patiently(attempt, f"read {path}")


def exists(path: AnyPath) -> bool:
    """Whether there is such a file or folder; what fails for a while is asked again.

    Raises:
        StorageError: the file system or the store does not answer.
    """
    if not isinstance(path, Path):
        return objects.exists(path)
    return patiently(path.exists, f"read {path}")


def read_text(path: AnyPath) -> str:
    """The text of a file.

    Raises:
        StorageError: it cannot be read.
    """
    if not isinstance(path, Path):
        content = objects.read(path)
        if content is None:
            raise StorageError(f"cannot read {path}: there is no such object")
        return content.decode("utf-8")
    return patiently(partial(path.read_text, encoding="utf-8"), f"read {path}")


def read_json(path: AnyPath) -> dict[str, object] | None:
    """What `write_json` wrote; None if there is no such file or it is torn (with a warning).

    Raises:
        StorageError: the file is there and cannot be read.
    """
    stored = read_with(path, lambda file: file.read())
    if stored is None:
        return None
    try:
        content = json.loads(stored)
    except (ValueError, RecursionError) as error:
        logger.warning("%s is torn and is ignored (%s)", path, error)
        return None
    if not isinstance(content, dict):
        logger.warning("%s holds no keys and values and is ignored", path)
        return None
    return content


def remove(*paths: AnyPath) -> None:
    """Delete files; those that are not there are no error.

    Raises:
        StorageError: one cannot be deleted.
    """
    objects.remove(path for path in paths if not isinstance(path, Path))
    for path in paths:
        if isinstance(path, Path):
            patiently(partial(path.unlink, missing_ok=True), f"delete {path}")


def rename(source: AnyPath, target: AnyPath) -> None:
    """Give a file another name, atomically; a file of that name goes.

    In an object store it is copied and then deleted: a kill between the two leaves both.

    Raises:
        StorageError: that cannot be done.
    """
    if not isinstance(target, Path) or not isinstance(source, Path):
        pair = _in_one_store(source, target)
        objects.copy(*pair)
        objects.remove(pair[:1])
        return
    patiently(partial(os.replace, source, target), f"rename {source} to {target.name}")


def remove_folder(folder: AnyPath) -> None:
    """Delete a folder with all that is in it, as far as that is possible."""
    if not isinstance(folder, Path):
        with contextlib.suppress(StorageError):
            objects.remove_all(folder)
        return
    shutil.rmtree(folder, ignore_errors=True)


def make_folder(folder: AnyPath) -> AnyPath:
    """Make a folder and those above it, if need be; in an object store there are none. Gives `folder`.

    Raises:
        StorageError: it cannot be made.
    """
    if not isinstance(folder, Path):
        return folder
    patiently(partial(folder.mkdir, parents=True, exist_ok=True), f"make the folder {folder}")
    return folder


def partial_files(folder: AnyPath) -> list[Path]:
    """What killed processes were still writing in `folder`; nothing in an object store, where all is whole."""
    if not isinstance(folder, Path):
        return []
    names = patiently(lambda: os.listdir(folder), f"read {folder}")
    return [folder / name for name in names if name.startswith(".") and name.endswith(".tmp")]


def free_bytes(folder: Path) -> int:
    """Bytes that are free where `folder` lies.

    Raises:
        StorageError: the file system does not answer.
    """
    with storage_errors(f"read {folder}"):
        return shutil.disk_usage(folder).free


def nearest_folder(folder: Path) -> Path:
    """`folder`, or what is there of the folders above it: where it would be made."""
    return next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)


@contextlib.contextmanager
def filled_folder(folder: AnyPath) -> Iterator[Path]:
    """A folder of this machine to write files into: `folder` itself, or one that is sent to `folder` at the end.

    Raises:
        StorageError: it cannot be made, or its files not be sent.
    """
    if isinstance(folder, Path):
        make_folder(folder)
        yield folder
        return
    with storage_errors("make a folder on this machine"), tempfile.TemporaryDirectory(prefix="tunekit-") as scratch:
        yield Path(scratch)
        for path in sorted(Path(scratch).rglob("*")):
            if path.is_file():
                objects.upload(folder / path.relative_to(scratch).as_posix(), path)


def upload(path: Path, target: AnyPath) -> None:
    """Send a copy of a file of this machine to `target` in an object store; where that is no store, nothing is done.

    Raises:
        StorageError: it cannot be sent.
    """
    if not isinstance(target, Path) and path.is_file():
        with storage_errors(f"read {path}"):
            objects.upload(target, path)


def put_new(source: Path, target: Path) -> None:
    """Put a copy of `source` at `target`, whole or not at all; a file that is there already stays.

    Raises:
        StorageError: it cannot be written.
    """

    def put(temporary: Path, path: Path) -> None:
        try:
            os.link(temporary, path)
        except OSError:  # it is there, or this file system has no links
            if not path.exists():
                os.replace(temporary, path)

    _replace(target, partial(_copy_to_disk, source), put=put)


def _copy_to_disk(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def _in_one_store(source: AnyPath, target: AnyPath) -> tuple[UPath, UPath]:
    if isinstance(source, Path) or isinstance(target, Path):
        raise ValueError(f"{source} and {target} are not in one object store")
    return source, target


def _replace(
    path: Path,
    fill: Callable[[Path], None],
    *,
    put: Callable[[Path, Path], None] = os.replace,
    cure: str = CURE,
) -> Path:
    # Not by the number of the process: containers on several machines often have the same.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")

    def attempt() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fill(temporary)
            put(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    patiently(attempt, f"write {path}", cure=cure)
    return path
