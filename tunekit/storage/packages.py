"""A zip archive of files from many places, the same bytes whenever the files are the same."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tunekit.storage.local import storage_errors

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time that every file of an archive has, so that its digest tells its content."""
PIECE_BYTES = 1 << 20


class PackageTooLarge(Exception):
    """An archive has outgrown its limit; what was written of it is of no use."""


def write_package(path: Path, files: Mapping[str, Path | bytes], *, most_bytes: int) -> int:
    """Write an archive of `files` and give its size in bytes.

    Args:
        path: of the archive.
        files: what each name in the archive holds: a file of this machine, or bytes.
        most_bytes: the largest size that is of use.

    Raises:
        PackageTooLarge: it would be larger.
        StorageError: a file cannot be read, or the archive not written.
    """
    with storage_errors(f"pack {path.name}"), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            content = files[name]
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            if isinstance(content, bytes):
                archive.writestr(entry, content)
            else:
                _copy(archive, entry, content, most_bytes)
            if archive.start_dir > most_bytes:
                raise PackageTooLarge
    return path.stat().st_size


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, source: Path, most_bytes: int) -> None:
    entry.file_size = source.stat().st_size
    with source.open("rb") as stream, archive.open(entry, "w") as target:
        while piece := stream.read(PIECE_BYTES):
            target.write(piece)
            if archive.fp is not None and archive.fp.tell() > most_bytes:
                raise PackageTooLarge
