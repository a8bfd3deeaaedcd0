"""The lines of a CSV file that a person wrote, each with its place, for messages."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunekit.errors import ConfigError, quoted


def csv_lines(path: Path, name: str) -> Iterator[tuple[str, list[str]]]:
    """Each line as ``file:line`` and its cells, as they stand; none for an empty line.

    Args:
        path: where it is.
        name: what messages call it.

    Raises:
        ConfigError: it cannot be read, is not UTF-8, or a line is not CSV.
    """
    reader, line = csv.reader(io.StringIO(_text(path, name), newline=""), strict=True), 1
    try:
        for cells in reader:
            yield f"{name}:{line}", cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(f"{name}:{line}: not CSV: {error}; a text with a quote or a comma needs quotes") from None


def require_commas(header: Sequence[str], where: str) -> None:
    """Refuse a heading whose columns are separated by something else.

    Raises:
        ConfigError: it is one cell with semicolons or tabs in it.
    """
    if len(header) == 1 and re.search("[;\t]", header[0]):
        raise ConfigError(f"{where}: the heading is {quoted(header[0])}; separate the columns by commas")


def _text(path: Path, name: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: cannot be read: it is not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from None
