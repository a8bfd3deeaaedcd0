"""A sweep's folder as one stream of bytes, and back: how it travels from a cluster or a bucket to another machine.

The journal is read first, once, up to its last whole line, and written last: whatever it tells of is in the stream, and
a folder that was filled half-way has the journal that it had before. Nothing outside the folder is read or written.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tunekit.errors import ConfigError, StorageError
from tunekit.storage import objects
from tunekit.storage.layout import JOURNAL, SweepFolder
from tunekit.storage.local import read_with, storage_errors, write_bytes, write_with
from tunekit.storage.places import AnyPath
from tunekit.storage.sole_writer import holder_of, whole_lines

CHECKPOINT = ".pt"
"""How the name of a checkpoint ends."""
PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Snapshot:
    """What went into a stream, or came out of one."""

    num_files: int
    num_bytes: int


def journal_now(folder: SweepFolder) -> bytes:
    """The whole lines of a sweep's journal; it may be growing meanwhile.

    Raises:
        StorageError: it cannot be read.
    """
    return b"".join(whole_lines(folder.journal))


def snapshot_files(folder: SweepFolder, *, checkpoints: bool) -> list[AnyPath]:
    """What is copied of a sweep's folder beside its journal, in the order of the names.

    The lock stays where it is, and so do files that are still being written and, unless asked for, checkpoints.
    """
    top = folder.path
    # Of a store one question is asked, where `is_file` would ask one for each object.
    found = [path for path in top.rglob("*") if path.is_file()] if isinstance(top, Path) else objects.below(top)
    return sorted((path for path in found if _travels(path, folder, checkpoints)), key=str)


def _travels(path: AnyPath, folder: SweepFolder, checkpoints: bool) -> bool:
    parts = PurePosixPath(_inside(path, folder)).parts
    is_hidden = any(part.startswith(".") for part in parts)
    is_own = parts[0] in (folder.journal.name, folder.lock.name)  # in a bucket both are prefixes of many objects
    is_link = isinstance(path, Path) and path.is_symlink()
    return not is_hidden and not is_own and not is_link and (checkpoints or path.suffix != CHECKPOINT)


def _inside(path: AnyPath, folder: SweepFolder) -> str:
    """The name of a file in its folder, with ``/`` between its parts."""
    return "/".join(path.parts[len(folder.path.parts) :])


def write_snapshot(folder: SweepFolder, sink: IO[bytes], *, checkpoints: bool = False) -> Snapshot:
    """Write the sweep in `folder` to `sink`, which need not be a file.

    Args:
        folder: may belong to a sweep that runs.
        sink: its `write` is called with pieces of a compressed tar archive.
        checkpoints: those of trials too; the best points' are needed to export an adapter.

    Raises:
        StorageError: a file cannot be read.
    """
    journal, num_files, num_bytes = journal_now(folder), 0, 0
    with tarfile.open(fileobj=sink, mode="w|gz") as archive:
        for path in snapshot_files(folder, checkpoints=checkpoints):
            entry = tarfile.TarInfo(_inside(path, folder))
            if read_with(path, partial(_add, archive, entry)) is not None:  # else it was needed no longer
                num_files, num_bytes = num_files + 1, num_bytes + entry.size
        entry = tarfile.TarInfo(JOURNAL)
        entry.size = len(journal)
        archive.addfile(entry, io.BytesIO(journal))
    return Snapshot(num_files + 1, num_bytes + len(journal))


def _add(archive: tarfile.TarFile, entry: tarfile.TarInfo, file: IO[bytes]) -> bool:
    entry.size = file.seek(0, io.SEEK_END)
    file.seek(0)
    archive.addfile(entry, file)  # a log that grows meanwhile is cut at this length
    return True


def read_snapshot(archive_file: Path, folder: SweepFolder) -> Snapshot:
    """Put what `write_snapshot` wrote into `folder`: each file beside its place and renamed, the journal last.

    A sweep that was fetched before is brought up to date; what it has beside stays.

    Raises:
        ConfigError: `folder` holds another sweep, one that is further, or one that runs here.
        StorageError: the archive is torn, or a file cannot be written.
    """
    with storage_errors(f"read {archive_file}"), _opened(archive_file) as archive:
        entries = list(_entries(archive))
        journal = _content(archive, archive.getmember(JOURNAL))
        require_room_for(journal, folder)
        for entry in entries:
            if entry.name != JOURNAL:
                _write(archive, entry, folder.path / entry.name)
    write_bytes(folder.journal, journal)
    return Snapshot(len(entries), sum(entry.size for entry in entries))


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:gz")
    except tarfile.TarError as error:
        raise StorageError(f"{path} is no whole snapshot of a sweep: {error}") from error


def _entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files of an archive; a name that leads out of its folder is refused."""
    for entry in archive.getmembers():
        name = PurePosixPath(entry.name)
        if name.is_absolute() or ".." in name.parts or not entry.isfile():
            raise StorageError(
                f"a snapshot holds {entry.name!r}, which is no file of a sweep's folder; nothing is kept"
            )
        yield entry


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(entry)
    assert stream is not None, "a file of the archive"
    return stream.read()


def _write(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: AnyPath) -> None:
    stream = archive.extractfile(entry)
    assert stream is not None, "a file of the archive"

    def copy(file: IO[bytes]) -> None:
        while piece := stream.read(PIECE_BYTES):
            file.write(piece)

    write_with(path, copy)


def require_room_for(journal: bytes, folder: SweepFolder) -> None:
    """Refuse to write over a sweep that is not an earlier state of the one with `journal`.

    Raises:
        ConfigError: `folder` holds another sweep, one that is further, or one that runs.
    """
    here = read_with(folder.journal, lambda file: file.read()) or b""
    cure = "fetch it to another folder with --to DIR"
    if holder_of(folder.lock) is not None:
        raise ConfigError(f"{folder.path}: a sweep runs there now; {cure}")
    if journal.startswith(here):
        return
    which = "is further than the one to fetch" if here.startswith(journal) else "is another one of that name"
    raise ConfigError(f"{folder.path}: the sweep there {which}, and is left as it is; {cure}")
