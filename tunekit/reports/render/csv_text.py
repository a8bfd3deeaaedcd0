"""The text of a CSV file of a report."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

_LINE_END = re.compile("\r\n?")


def csv_text(heads: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A heading and a line for each row.

    Line breaks inside a cell are line feeds: Python's writer leaves a carriage return unquoted, and readers then take
    it for the end of a row.

    Args:
        heads: names of the columns.
        rows: values by the name of their column; a row may lack some.

    Raises:
        ValueError: a row has a value of no column.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(heads), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    return _LINE_END.sub("\n", value) if isinstance(value, str) else value
