"""Writing a report's files, whole or not at all."""

from __future__ import annotations

from tunekit.storage import AnyPath, write_bytes, write_text

CURE = "choose another folder with --out"


def save(path: AnyPath, text: str) -> AnyPath:
    """Write `text` to `path` as UTF-8, replacing what is there; folders are made. Gives `path`.

    Raises:
        StorageError: the folder cannot be written.
    """
    return write_text(path, text, cure=CURE)


def save_bytes(path: AnyPath, content: bytes) -> AnyPath:
    """Write `content` to `path` likewise.

    Raises:
        StorageError: the folder cannot be written.
    """
    return write_bytes(path, content, cure=CURE)
