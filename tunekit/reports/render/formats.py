"""How numbers, parameters and tables are written for people. Scores become percentages here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from tunekit.reports.scores import Spread
from tunekit.schema import Values

NOTHING = "–"
"""Stands where a table has no value."""

METRIC_NAMES = {"f1": "entity F1 (micro)", "accuracy": "accuracy"}
"""Metrics whose key says too little."""


def metric_name(metric: str) -> str:
    """A metric as a heading names it, scale included."""
    return f"{METRIC_NAMES.get(metric, metric)} × 100"


def percent(score: float | None) -> str:
    """A fraction as a percentage with one decimal."""
    return NOTHING if score is None else f"{100 * score:.1f}"


def spread(value: Spread | None) -> str:
    """``mean ± std``; the mean alone for one seed."""
    if value is None:
        return NOTHING
    return percent(value.mean) if value.std is None else f"{percent(value.mean)} ± {percent(value.std)}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever has few digits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(number: int | None) -> str:
    """A whole number with thousands set apart."""
    return NOTHING if number is None else f"{number:,}"


def plural(number: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def parameter(value: object) -> str:
    """One value of a parameter, to four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def parameters(params: Values) -> str:
    """Parameters on one line."""
    return ", ".join(f"{name} {parameter(value)}" for name, value in params.items()) or "nothing was searched"


def names(values: Iterable[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = [str(value) for value in values]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def one_line(text: str, *, limit: int = 200) -> str:
    """`text` without line breaks, cut at `limit` characters; bytes of a file name that are no UTF-8 are spelled out."""
    flat = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def code(text: object) -> str:
    """`text` as Markdown code, whatever backticks it holds."""
    plain = one_line(str(text))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    return f"{fence} {plain} {fence}" if len(fence) > 1 else f"`{plain}`"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: Collection[str] = ()) -> str:
    """A Markdown table that is also readable as plain text.

    Args:
        header: the columns' names.
        rows: cells; every row as long as the header.
        texts: columns that are aligned left, as the first one is; the others hold numbers and are aligned right.
    """
    from rich.cells import cell_len

    lines = [[one_line(cell, limit=1000).replace("|", "\\|") for cell in row] for row in [header, *rows]]
    is_text = [index == 0 or name in texts for index, name in enumerate(header)]
    widths = [max(3, *(cell_len(line[column]) for line in lines)) for column in range(len(header))]

    def written(line: Sequence[str]) -> str:
        cells = []
        for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
            padding = " " * (width - cell_len(cell))
            cells.append(cell + padding if is_text[column] else padding + cell)
        return f"| {' | '.join(cells)} |"

    rule = [":" + "-" * (w - 1) if is_text[column] else "-" * (w - 1) + ":" for column, w in enumerate(widths)]
    return "\n".join([written(lines[0]), f"| {' | '.join(rule)} |", *map(written, lines[1:])])
