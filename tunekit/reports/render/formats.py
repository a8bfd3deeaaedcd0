"""What belongs to the tables of a report: cells, headings, Markdown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tunekit.reports.scores import Spread
from tunekit.wording import NOTHING, one_line, parameters, percent

METRIC_NAMES = {
    "f1": "entity F1 (micro)",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "seqeval_f1": "seqeval F1 of the tags",
}
"""Metrics whose key says too little."""


def metric_name(metric: str) -> str:
    """A metric as a heading names it, scale included."""
    return f"{METRIC_NAMES.get(metric, metric)} × 100"


def spread(value: Spread | None) -> str:
    """``mean ± std``; the mean alone for one seed."""
    if value is None:
        return NOTHING
    return percent(value.mean) if value.std is None else f"{percent(value.mean)} ± {percent(value.std)}"


def searched(params: Mapping[str, object]) -> str:
    """What the search chose, in one line."""
    return parameters(params) or "nothing was searched"


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
