"""Writing a report's files, whole or not at all."""

from __future__ import annotations

from tunekit.storage import AnyPath, write_text


def save(path: AnyPath, text: str) -> AnyPath:
    """Write `text` to `path` as UTF-8, replacing what is there; folders are made. Gives `path`.

    Raises:
        StorageError: the folder cannot be written.
    """
    return write_text(path, text, cure="choose another folder with --out")
