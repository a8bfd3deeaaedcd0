"""Which code ran: digests of source files, for what no version number tells (a checkout between two versions)."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

NUM_DIGITS = 12
"""Hex digits of a digest."""
PACKAGE = Path(__file__).resolve().parents[1]


@cache
def package_digest() -> str:
    """The digest of all of tunekit's own source files as they are now; read once for a process.

    Empty where the package is not in files that can be read.
    """
    return files_digest(PACKAGE)


def files_digest(place: Path) -> str:
    """The digest of a source file, or of all those in a folder with their names; empty where there are none."""
    try:
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        lines = [f"{file.relative_to(place).as_posix()} {_digest(file)}\n" for file in files]
    except OSError:
        return ""
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:NUM_DIGITS] if lines else ""


def _digest(file: Path) -> str:
    # Line ends are left out: the same code may be checked out with either.
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
