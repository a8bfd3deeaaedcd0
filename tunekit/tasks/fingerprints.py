"""Fingerprints of data: 16 hex digits of a SHA-256, equal if and only if what is read is equal.

A file's fingerprint is that of its bytes, so that nothing needs to be parsed. What comes from elsewhere (the hub, a
generator, a function) has the fingerprint of its examples as they are read, before any sampling.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tunekit.storage import file_digest
from tunekit.tasks.examples import Example, contents
from tunekit.tasks.readers.rows import readable

NUM_DIGITS = 16
"""Hex digits of a fingerprint."""


def of_file(path: Path, reading: str | None = None) -> str:
    """The fingerprint of a file's bytes: the first digits that ``sha256sum`` prints.

    Args:
        path: of the file. Its digest is computed once for each size and time of change.
        reading: names the format, where the same bytes could be read as another one; it becomes part of the
            fingerprint.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    with readable(path):
        digest = file_digest(path)
    return digest[:NUM_DIGITS] if reading is None else of_rows([[reading, digest]])


def of_examples(examples: Iterable[Example]) -> str:
    """The fingerprint of examples, in their order."""
    return of_rows(map(contents, examples))


def of_rows(rows: Iterable[object]) -> str:
    """The fingerprint of rows of text (each a list or tuple, nested as need be), in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row).encode())
        digest.update(b"\n")  # which no JSON text of a row holds
    return digest.hexdigest()[:NUM_DIGITS]
