"""How a cell of a table is written for people, alike in Markdown, HTML, LaTeX and the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tunekit.reports.scores import Spread
from tunekit.reports.tables import Cell, Column, Kind, Value
from tunekit.wording import NOTHING, count, duration, in_bytes, percent, share

LEFT: tuple[Kind, ...] = ("text", "code")
"""Kinds that are aligned left; numbers are aligned right."""


def spread(value: Spread | None) -> str:
    """``mean ± std`` of a score; the mean alone for one seed."""
    return _with_spread(percent, value)


def cell_text(cell: Cell, column: Column) -> str:
    """A cell as plain text: its value, what is remarked on it, and its marks."""
    remark = f" {cell.remark}" if cell.remark else ""
    marks = f" {''.join(cell.marks)}" if cell.marks else ""
    return f"{value_text(cell.value, column.kind)}{remark}{marks}"


def value_text(value: Value, kind: Kind) -> str:
    """A value of a kind as plain text; a dash for None."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    return _with_spread(_NUMBERS[kind], value) if isinstance(value, Spread) else _NUMBERS[kind](value)


def _with_spread(written: Callable[[float], str], value: Spread | None) -> str:
    if value is None:
        return NOTHING
    return written(value.mean) if value.std is None else f"{written(value.mean)} ± {written(value.std).lstrip('+')}"


def _signed(difference: float) -> str:
    """With its sign; one that would be 0.0 has a digit more, so that an interval's end is seen on its side of 0."""
    text = percent(difference)
    if float(text) == 0:
        text = percent(difference, decimals=2)
    if float(text) == 0:
        return percent(0.0)
    return f"+{text}" if float(text) > 0 else text


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


_NUMBERS: Mapping[Kind, Callable[[float], str]] = {
    "text": str,
    "code": str,
    "count": count,
    "score": percent,
    "difference": _signed,
    "number": lambda value: f"{value:z,.2f}",
    "share": share,
    "hours": lambda seconds: f"{seconds / 3600:.2f}",
    "money": lambda value: f"{value:,.2f}",
    "duration": duration,
    "bytes": in_bytes,
    "p": _p,
}
