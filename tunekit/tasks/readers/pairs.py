"""Pairs of texts and their label, one pair in each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunekit.tasks.examples import PairExample
from tunekit.tasks.readers import layout as layouts
from tunekit.tasks.readers.layout import UNSAID, Layout, Said, header_of
from tunekit.tasks.readers.parsed import Parsed
from tunekit.tasks.readers.rows import NAMES, Row, broken, clean_label, refuse_quoting, separated

SAY_COMMENT = "; if it is a comment, say how comments begin, such as comment: '# '"


def tsv_pairs(path: Path, columns: Sequence[str] = (), *, width: int | None = None, said: Said = UNSAID) -> Parsed:
    """Pairs of texts, one on each line, with columns separated by tabs; quotation marks are part of the text.

    A file with a header row in which quotation marks are doubled, as a table's writer does, is refused unless
    `said` has its separator: the text could be meant with them or without. (PAWS-X has doubled ones and no header.)

    Args:
        path: the file.
        columns: first text, second text, label, as numbers (from 0) or as names in a header row; default by their
            usual names if the first row has them, else the three columns that there are.
        width: number of columns that every row must have; default as many as most rows have.
        said: what is known of the file; it is obeyed, not guessed.

    Raises:
        DataError: a row that cannot be understood.
    """
    separator, rows = separated(path, "tab")
    has_header = said.header or any(header_of(row.cells, "pair", columns) for row in rows[:1])
    if has_header and width is None and said.separator is None:
        refuse_quoting(path, rows)
    return _parse(path, rows, columns, width, said=said, between=NAMES[separator])


def csv_pairs(path: Path, columns: Sequence[str] = (), *, said: Said = UNSAID) -> Parsed:
    """Pairs of texts as `tsv_pairs` reads them, with columns separated by commas (or tabs, if those are said).

    A quoted cell may hold separators and line ends."""
    separator, rows = separated(path, said.separator, is_quoted=True)
    return _parse(path, rows, columns, said=said, between=NAMES[separator])


def _parse(
    path: Path,
    rows: Sequence[Row],
    columns: Sequence[str],
    width: int | None = None,
    *,
    said: Said,
    between: str,
) -> Parsed:
    parsed = Parsed()
    data = [row for row in rows if row.cells]
    if said.comment:
        kept = [row for row in data if not row.text.startswith(said.comment)]
        parsed.left_out["comment lines"] += len(data) - len(kept)
        data = kept
    if not data:
        return parsed
    layout = _layout(path, data, columns, width, header=said.header)
    if layout.has_header:
        parsed.left_out["header rows"] += 1
        data = data[1:]
    first, second, at = (index + layout.lead + 1 for index in layout.indices)
    parsed.notes.append(
        f"columns: texts {first} and {second}, label {at} of {layout.width + layout.lead}, separated by {between}"
    )
    parsed.notes += layout.notes
    for row in data:
        hint = SAY_COMMENT if row.text.startswith("#") else ""
        cells = layouts.fitted(layout, row, f"{path}:{row.number}", hint)
        text_a, text_b, label = (cells[index] for index in layout.indices)
        parsed.examples.append(PairExample(text_a, text_b, clean_label(label)))
        parsed.lines.append((row.number,))
    return parsed


def _layout(
    path: Path, data: Sequence[Row], columns: Sequence[str], width: int | None, *, header: bool | None
) -> Layout:
    first = data[0]
    place = f"{path}:{first.number}"
    if header is False:
        layouts.refuse_names(columns)
    is_usual = header_of(first.cells, "pair", columns)
    if header is None:
        header = is_usual or (not columns and width is None and layouts.is_unnamed_index(data))
    if header and (columns or is_usual or layouts.is_unnamed_index(data)):
        return layouts.by_header(place, "pair", columns, first.cells)
    body = (data[1:] if header else data) or data
    size, lead = layouts.wide_enough(body, columns, 3, width)
    if columns:
        return Layout(tuple(map(int, columns)), size, lead, has_header=bool(header))
    if size == 4 and _numbers_rows(body):
        notes = ("column 1 numbers the rows and is left out",)
        return Layout((1, 2, 3), size, lead, has_header=bool(header), notes=notes)
    if size > 3:
        raise broken(
            place, first.cells, 3, "; or columns must say which are the two texts and the label, such as [0, 1, 3]"
        )
    return Layout((0, 1, 2), size, lead, has_header=bool(header))


def _numbers_rows(rows: Sequence[Row]) -> bool:
    """Whether the first of four columns counts from 0 or 1."""
    start = rows[0].cells[0].strip()
    return start in ("0", "1") and all(
        row.cells[0].strip() == str(number) for number, row in enumerate(rows, int(start))
    )
