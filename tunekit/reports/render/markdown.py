"""``report.md``: what was found, how it was chosen, what it cost, and how to do it again.

Markdown that also reads well as plain text. Texts of the contents are Markdown already; cells, notes and headings are
plain text, whatever stands in them, and are escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunekit.markdown import code, plain
from tunekit.reports.contents import sections
from tunekit.reports.files import save
from tunekit.reports.render.formats import LEFT, cell_text
from tunekit.reports.results import SweepResult
from tunekit.reports.tables import Cell, Column, Listing, Section, Table
from tunekit.storage import AnyPath

MOST_IN_A_CELL, MOST_IN_A_NOTE = 1000, 5000
"""Characters; what is longer is cut."""
MOST_IN_A_PARAGRAPH = 2
"""Notes."""


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write ``report.md`` into `out`."""
    return [save(out / "report.md", render(result))]


def render(result: SweepResult) -> str:
    """The whole report."""
    return "\n\n".join(map(section_text, sections(result))) + "\n"


def section_text(section: Section) -> str:
    """A heading and what stands below it."""
    parts = [f"{'#' * section.level} {plain(section.title)}"]
    for part in section.parts:
        if isinstance(part, Table):
            parts.append(table_text(part))
        else:
            parts.append(_listing(part) if isinstance(part, Listing) else part)
    return "\n\n".join(parts)


def table_text(table: Table) -> str:
    """A table, the notes below it, and its footnotes."""
    header = [plain(column.title, limit=MOST_IN_A_CELL) for column in table.columns]
    rows = [[_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    is_left = [number == 0 or column.kind in LEFT for number, column in enumerate(table.columns)]
    return "\n\n".join(filter(None, (_lines(header, rows, is_left), _below(table))))


def _below(table: Table) -> str:
    """Notes and footnotes: a paragraph of a few, a list of many."""
    notes = [plain(note, limit=MOST_IN_A_NOTE) for note in table.notes]
    footnotes = [f"[{n}] {plain(note, limit=MOST_IN_A_NOTE)}" for n, note in enumerate(table.footnotes, start=1)]
    if len(notes) <= MOST_IN_A_PARAGRAPH and not footnotes:
        return " ".join(notes)
    return "\n".join(f"- {note}" for note in (*notes, *footnotes))


def _cell(cell: Cell, column: Column) -> str:
    text = cell_text(cell, column)
    if column.kind == "code" and isinstance(cell.value, str):
        return code(text)
    text = plain(text, limit=MOST_IN_A_CELL)
    return f"**{text}**" if cell.is_best else text


def _listing(listing: Listing) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", listing.text)), default=0))
    return f"{fence}{listing.language}\n{listing.text}{fence}"


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]], is_left: Sequence[bool]) -> str:
    """The lines of a table whose columns are as wide as what stands in them."""
    from rich.cells import cell_len

    lines = [[cell.replace("|", "\\|") for cell in row] for row in [header, *rows]]
    widths = [max(3, *(cell_len(line[column]) for line in lines)) for column in range(len(header))]

    def written(line: Sequence[str]) -> str:
        cells = []
        for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
            padding = " " * (width - cell_len(cell))
            cells.append(cell + padding if is_left[column] else padding + cell)
        return f"| {' | '.join(cells)} |"

    rule = [":" + "-" * (w - 1) if is_left[column] else "-" * (w - 1) + ":" for column, w in enumerate(widths)]
    return "\n".join([written(lines[0]), f"| {' | '.join(rule)} |", *map(written, lines[1:])])
