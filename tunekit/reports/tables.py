"""A table before it has a format: each number is computed once, and Markdown, LaTeX, CSV, Parquet and HTML write it.

A cell holds a value and not a text: a score is a fraction here, and a renderer shows it x 100. What a reader must know
of single cells (best of its column, significant) stands in the cell too, so that no format can leave it out.
:func:`tunekit.reports.render.formats.cell_text` writes a cell for people, alike in every format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tunekit.reports.scores import Spread

Kind = Literal[
    "text", "code", "count", "score", "difference", "number", "share", "hours", "money", "duration", "bytes", "p"
]
"""What a column holds. ``code`` is a name that a program reads, such as a key or a file. ``score`` and ``difference``
are fractions, shown x 100, with their spread if they have one, a difference with its sign; ``share`` is a fraction of a
whole, ``duration`` and ``hours`` are in seconds, ``p`` is a p-value, ``number`` anything else that is measured."""
Value = str | int | float | Spread | None
"""A text stands in any column as it is."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """What stands below one heading."""

    key: str
    """Its name in files for machines: lower case, one word. Of the scores in a language, the language."""
    title: str
    """Its heading for people, plain text."""
    kind: Kind = "text"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One value, and what is to be said of it."""

    value: Value
    is_best: bool = False
    """The best of what it is compared with: shown in bold."""
    marks: tuple[str, ...] = ()
    """Signs behind the value, each explained in the table's notes."""
    remark: str = ""
    """Words behind the value, such as a unit that is not that of its column."""
    title: str = ""
    """Further words on it, where a format has room for them."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells below headings."""

    name: str
    """Fit for a file: lower case, words parted by ``_``."""
    title: str
    """One line, plain text."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """Each as long as `columns`."""
    notes: tuple[str, ...] = ()
    """Sentences below the table, plain text: what marks mean, n, what is left out."""
    rules: tuple[int, ...] = ()
    """Numbers of the rows before which a line stands: what is below it is of another kind than what is above."""
    footnotes: tuple[str, ...] = ()
    """What ``[1]``, ``[2]``, ... in the cells refer to, plain text."""

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row) == len(self.columns), f"{self.name}: a row of {len(row)} cells, not {len(self.columns)}"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A text that a program reads, such as a sweep file."""

    text: str
    language: str
    """As a fence of Markdown names it: ``yaml``."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What stands below one heading of a report."""

    key: str
    """Fit for an anchor."""
    title: str
    """Plain text."""
    parts: tuple[str | Table | Listing, ...]
    """In their order. A text is a paragraph or a list, in Markdown; names from outside are escaped in it."""
    level: int = 2
    """Of its heading; 1 is the report's own."""
    files: tuple[Table, ...] = ()
    """Tables too long for a page, which stand in files alone."""

    @property
    def tables(self) -> Iterator[Table]:
        """Those among its parts, then those in files alone."""
        yield from (part for part in self.parts if isinstance(part, Table))
        yield from self.files


def plain_row(values: Iterable[Value]) -> tuple[Cell, ...]:
    """A row of cells of which nothing but the value is to be said."""
    return tuple(Cell(value=value) for value in values)


def table_name(*parts: str) -> str:
    """The parts as the name of a table.

    >>> table_name("scores", "udpos", "macro F1")
    'scores_udpos_macro_f1'
    """
    return "_".join(word for part in parts for word in re.findall(r"\w+", part.casefold()))


def named_apart(tables: Iterable[Table]) -> list[Table]:
    """The same tables; of several with one name the second is called ``NAME_2``, and so on."""
    found: dict[str, Table] = {}
    for table in tables:
        name, number = table.name, 1
        while name in found:
            number += 1
            name = f"{table.name}_{number}"
        found[name] = table if name == table.name else replace(table, name=name)
    return list(found.values())
