"""Gzipped JSON of a dataclass: equal contents are equal bytes, and a torn file is as good as none."""

from __future__ import annotations

import gzip
import io
import json
import logging
import zlib
from typing import TypeVar

from tunekit.errors import ConfigError
from tunekit.schema import build
from tunekit.storage import AnyPath, read_with
from tunekit.tasks.readers.rows import collected_later

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
        with collected_later():
            return build(kind, json.loads(gzip.decompress(compressed)), str(path))
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, ConfigError) as error:
        logger.warning("%s is torn and is ignored (%s)", path, error)
        return None
