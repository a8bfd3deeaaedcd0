"""``tables/NAME.csv``: each table of the report as numbers, to paste into a spreadsheet or to plot."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.reports.contents import tables
from tunekit.reports.files import save
from tunekit.reports.render.csv_text import csv_text
from tunekit.reports.results import SweepResult
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Cell, Column, Table
from tunekit.storage import AnyPath, remove

Row = dict[str, str | float | None]


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write a file into ``out/tables`` for each table.

    In the sweep's own folder, files of tables that are no more are removed; elsewhere they may be somebody else's.
    """
    folder = out / "tables"
    written = [save(folder / f"{table.name}.csv", to_csv(table)) for table in tables(result)]
    if result.folder is not None and out == result.folder.report:
        remove(*(path for path in folder.glob("*.csv") if path not in written))
    return written


def to_csv(table: Table) -> str:
    """The text of a file: its heading has the keys of the columns, scores are fractions and times seconds.

    Where a column holds means with a spread, ``KEY_std`` and ``KEY_n`` follow it; ``KEY_mark`` where cells are marked,
    with ``best`` for the best of a column, or have a remark. Text that a spreadsheet would take for a formula stands
    behind an apostrophe.
    """
    rows = [_row(table, row) for row in table.rows]
    heads = dict.fromkeys(key for column in table.columns for key in (column.key, *_further(column, rows)))
    return csv_text(list(heads), ({key: _no_formula(row.get(key)) for key in heads} for row in rows))


def _no_formula(value: object) -> object:
    """Text that a spreadsheet would compute, such as a test sentence that begins with ``=``, behind an apostrophe."""
    is_formula = isinstance(value, str) and len(value) > 1 and value.startswith(("=", "+", "-", "@", "\t"))
    return f"'{value}" if is_formula else value


def _row(table: Table, row: tuple[Cell, ...]) -> Row:
    return dict(pair for cell, column in zip(row, table.columns, strict=True) for pair in _values(cell, column))


def _values(cell: Cell, column: Column) -> Iterator[tuple[str, str | float | None]]:
    value = cell.value
    if isinstance(value, Spread):
        yield column.key, value.mean
        yield f"{column.key}_std", value.std
        yield f"{column.key}_n", value.n
    else:
        yield column.key, value
    marks = [*(["best"] if cell.is_best else []), *cell.marks, *([cell.remark] if cell.remark else [])]
    if marks:
        yield f"{column.key}_mark", " ".join(marks)


def _further(column: Column, rows: list[Row]) -> list[str]:
    return [key for end in ("std", "n", "mark") if any((key := f"{column.key}_{end}") in row for row in rows)]
