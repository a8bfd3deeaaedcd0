"""Gzipped JSON of a dataclass: equal contents are equal bytes, and a torn file is as good as none."""

from __future__ import annotations

import gc
import gzip
import io
import json
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from tunekit.errors import ConfigError
from tunekit.schema import build
from tunekit.storage import AnyPath, read_with

T = TypeVar("T")

logger = logging.getLogger(__name__)


def packed(content: bytes) -> bytes:
    """`content`, compressed; without a time or a name in it."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def load_packed(kind: type[T], path: AnyPath) -> T | None:
    """The object of `kind` in a file; None if there is none, or the file is torn (with a warning).

    Raises:
        StorageError: the file is there and cannot be read.
    """
    compressed = read_with(path, lambda file: file.read())
    if compressed is None:
        return None
    try:
        with gc_paused():
            return build(kind, json.loads(gzip.decompress(compressed)), str(path))
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, ConfigError) as error:
        logger.warning("%s is torn and is ignored (%s)", path, error)
        return None


@contextmanager
def gc_paused() -> Iterator[None]:
    """For reading many examples: hundreds of thousands of lists are made, and looking for garbage among them takes most
    of the time. May be nested; what a caller that reads several files is to drop, it drops before the end.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
