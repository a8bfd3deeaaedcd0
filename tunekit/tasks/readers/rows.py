"""Text files as rows, and rows as cells. Every complaint is a DataError that begins with ``path:line``.

Lines end at ``\\n``, ``\\r\\n`` or, in a file without any ``\\n``, at ``\\r``; never at the other characters at which
`str.splitlines` breaks a line, which data sets hold inside their texts. A byte order mark at the start is dropped.
"""

from __future__ import annotations

import csv
import gc
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

from tunekit.errors import DataError
from tunekit.patience import passing, persist

Separator = Literal["tab", "space", "comma"]
NAMES: dict[Separator, str] = {"tab": "tabs", "space": "blanks", "comma": "commas"}
"""What separates columns, in words."""
QUOTED = re.compile(r'"(?:[^"]|"")*"')
"""A whole cell as a CSV writer puts it in quotation marks."""
INVISIBLE = "\ufeff\u200b\u200e\u200f"
"""A byte order mark, a blank of no width and two direction marks: nothing that a person sees in a label."""


class Row(NamedTuple):
    """One row of a file, as it stands and cut into cells."""

    number: int
    """Its line, from 1."""
    text: str
    cells: list[str]
    """Not one for a row that is blank."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the operating system's errors inside into a DataError about the file at `path`."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


@contextmanager
def collected_later() -> Iterator[None]:
    """Put the collection of garbage off: reading makes a list for each row and no circles, and is thrice as fast."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def text_of(path: Path) -> str:
    """A UTF-8 file whose lines end at ``\\n``, however they ended.

    Raises:
        DataError: it cannot be opened, or a byte is not UTF-8.
    """
    with readable(path):
        data = persist(lambda: path.read_bytes(), partial(passing, doing=f"read {path}"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, bad = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise DataError(f"{path}:{line}: byte 0x{bad:02x} is not UTF-8; save the file as UTF-8") from None
    if "\r" not in text:
        return text
    return re.sub("\r+\n", "\n", text) if "\n" in text else text.replace("\r", "\n")


def rows_of(path: Path) -> list[str]:
    """The lines of a UTF-8 file.

    Raises:
        DataError: it cannot be opened, a byte is not UTF-8, or some lines end in ``\\n`` and others in ``\\r`` alone.
    """
    text = text_of(path)
    if "\r" in text:
        line = text.count("\n", 0, text.index("\r")) + 1
        raise DataError(
            f"{path}:{line}: a carriage return (\\r) inside the line; lines must all end in \\n, in \\r\\n or in \\r"
        )
    return text.split("\n")


def separated(path: Path, separator: Separator | None, *, is_quoted: bool = False) -> tuple[Separator, list[Row]]:
    """The rows of a file and what separates their cells; a row without text has no cells.

    Args:
        path: the file.
        separator: None finds out whether most rows are cut by tabs or by blanks.
        is_quoted: tabs stand between cells that are quoted as in CSV; commas always do.
    """
    if separator == "comma" or is_quoted:
        separator = separator or "comma"
        return separator, list(_csv_rows(path, "," if separator == "comma" else "\t"))
    lines = rows_of(path)
    is_found, separator = separator is None, separator or _most_rows(lines)
    if separator == "tab":
        return separator, _rows(lines, [line.split("\t") if line and not line.isspace() else [] for line in lines])
    if is_found and any("\t" in line for line in lines):
        return separator, _rows(lines, [_split_blanks(line.replace("\t", " ")) for line in lines])
    return separator, _rows(lines, [_split_blanks(line) for line in lines])


def clean_label(text: str) -> str:
    """A label without the blanks around it: of any width, no-break or ideographic, and invisible marks."""
    stripped = text.strip()
    while stripped and (stripped[0] in INVISIBLE or stripped[-1] in INVISIBLE):
        stripped = stripped.strip(INVISIBLE).strip()
    return stripped


def broken(place: str, cells: Iterable[str], right: int, hint: str = "") -> DataError:
    """The error of a row that has too few or too many columns, or no word."""
    cells = list(cells)
    shown = short("\t".join(cells))
    if len(cells) == right:
        return DataError(f"{place}: the word is empty in {shown}{hint}")
    found = f"{len(cells)} column" + "s" * (len(cells) != 1)
    return DataError(f"{place}: {found} in {shown}, must be {right}{hint}")


def short(text: str) -> str:
    """A text in quotes, at most 80 characters of it."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def refuse_quoting(path: Path, rows: Iterable[Row]) -> None:
    """Raise a DataError where a file between tabs was written by a CSV writer that quotes cells.

    Quotation marks are text here. They are taken for a writer's only if each cell that holds one is wholly quoted,
    and one of them is doubled inside.
    """
    first: Row | None = None
    for row in rows:
        if '"' not in row.text:
            continue
        for cell in row.cells:
            if '"' in cell:
                if not QUOTED.fullmatch(cell):
                    return
                first = first or (row if '""' in cell[1:-1] else None)
    if first:
        raise DataError(
            f"{path}:{first.number}: quotation marks are doubled in {short(first.text)}, as writers of CSV (pandas, "
            "datasets) do, but between tabs they are text; if they are, say separator: tab; if not, name the file .csv "
            "and say separator: tab, or write it with quoting=csv.QUOTE_NONE"
        )


def _rows(lines: list[str], cells: list[list[str]]) -> list[Row]:
    return list(map(partial(tuple.__new__, Row), zip(count(1), lines, cells, strict=False)))


def _split_blanks(line: str) -> list[str]:
    # Only ASCII blanks: a no-break space is part of a word.
    return [] if line.isspace() else [cell for cell in line.split(" ") if cell]


def _most_rows(lines: list[str]) -> Separator:
    """Tabs if at least half of the rows (but comments and marks) are cut by one, else blanks."""
    wanted = [line for line in lines if line and line[0] != "#" and not line.startswith("-DOCSTART-")] or lines
    tabbed = sum("\t" in line and "\t" in line.strip() for line in wanted)
    others = sum(not line.isspace() for line in wanted) - tabbed
    return "tab" if tabbed and tabbed >= others else "space"


def _csv_rows(path: Path, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text_of(path), newline=""), strict=True, delimiter=delimiter)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}:{start}: not CSV: {error}") from None
        yield Row(start, delimiter.join(cells), cells if "".join(cells).strip() else [])
