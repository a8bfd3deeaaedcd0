"""Writing a report's files, whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tunekit.errors import StorageError


def save(path: Path, text: str) -> Path:
    """Write `text` to `path` as UTF-8, replacing what is there; folders are made. Gives `path`.

    Raises:
        StorageError: the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; choose another folder with --out"
        ) from error
    return path
