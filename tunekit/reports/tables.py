"""A table before it has a format: each number is computed once, and Markdown, LaTeX, CSV, Parquet and HTML write it.

A cell holds a value and not a text: a score is a fraction here, and a renderer shows it x 100. What a reader must know
of single cells (best of its column, significant) stands in the cell too, so that no format can leave it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunekit.reports.scores import Spread

Kind = Literal["text", "count", "score", "difference", "number", "duration", "bytes", "p"]
"""What a column holds. ``score`` and ``difference`` are fractions, shown x 100, with their spread if they have one;
``duration`` is in seconds, ``p`` a p-value, ``number`` anything else that is measured."""
Value = str | int | float | Spread | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """What stands below one heading."""

    key: str
    """Its name in files for machines: lower case, one word."""
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

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row) == len(self.columns), f"{self.name}: a row of {len(row)} cells, not {len(self.columns)}"
