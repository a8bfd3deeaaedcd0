"""A picture before it is drawn: what plotly is told, what it shows in words, and the numbers behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunekit.reports.tables import Table
from tunekit.schema import JsonObject, Values

DIGITS = 5
"""Digits that count in the numbers of a picture; tables hold them whole."""
COLOURS = ("#3b7dd8", "#d9730d", "#2a9d6f", "#9a6dd7", "#d64550", "#1593a5", "#a67c52", "#7d8590")
"""Of arms, over and over: each stands out from white and from near black."""
GREY, RED, BLUE, ORANGE, GREEN = "#8b949e", "#d64550", "#3b7dd8", "#d9730d", "#2a9d6f"
SCALE = [[0.0, "#e4edf7"], [0.5, "#8ab4e0"], [1.0, "#2462a8"]]
"""From low to high in areas; a text on it is black or white, as plotly finds it readable."""
POINTS_SCALE = [[0.0, "#d9730d"], [0.5, "#b08db5"], [1.0, "#2f74cf"]]
"""From low to high for single points, which stand on the page itself, light or dark."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One picture."""

    name: str
    """Fit for an element's id: lower case, words parted by ``-``."""
    title: str
    """One line, plain text."""
    alt: str
    """What there is to see, for those who do not see it: plain text, with the numbers that matter."""
    drawing: JsonObject
    """``data`` and ``layout`` of plotly, plain JSON."""
    height: int = 340
    """In pixels."""
    notes: tuple[str, ...] = ()
    """Sentences below it, plain text: what is meant, what was left out."""
    table: Table | None = None
    """The numbers behind it, or the most telling of them."""
    min_width: int = 0
    """In pixels: on a narrower page it scrolls; 0: it may become as narrow as the page."""
    is_wide: bool = True
    """Whether it takes the whole width; others stand side by side where there is room."""


def drawing(data: Sequence[Values], layout: Values, *, hover: str | None = None) -> JsonObject:
    """What plotly is told, as plain JSON: numbers rounded to `DIGITS`, and texts that show what they hold.

    Plotly reads a small HTML in its texts, so that a name from outside could hide or link something. Only `hover`, its
    template for what is under the pointer, is taken as it is.

    Args:
        data: traces; theirs are replaced by `hover`.
        layout: theme and title in it are left out, since the page gives them.
        hover: the same for all traces; None leaves the choice to plotly.
    """
    traces = []
    for trace in data:
        plain = {key: _plain(value) for key, value in trace.items() if key != "hovertemplate"}
        traces.append(plain if hover is None else {**plain, "hovertemplate": hover})
    kept = {key: value for key, value in layout.items() if key not in ("template", "title")}
    return {"data": traces, "layout": _plain(kept)}


def rounded(value: float) -> float | None:
    """A number with `DIGITS` digits that count; None (JSON has no NaN) if it is none."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _plain(value: object) -> object:
    match value:
        case str():
            return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        case bool() | int() | None:
            return value
        case float():
            found = rounded(value)
            return int(found) if found is not None and found.is_integer() and abs(found) < 1e15 else found
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
        case Sequence():
            return [_plain(inner) for inner in value]
    as_list = getattr(value, "tolist", None)  # an array or a number of numpy
    return _plain(as_list()) if as_list is not None else _plain(str(value))
