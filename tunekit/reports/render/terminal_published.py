"""The terminal's tables of published figures: below ours, and apart from them."""

from __future__ import annotations

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tunekit.reports.headline import footnotes
from tunekit.reports.published import ScoreTable
from tunekit.reports.render.formats import spread
from tunekit.reports.results import Comparison
from tunekit.wording import NOTHING, one_line, percent


def plain_table(*header: str) -> Table:
    """A table of numbers without lines around it; the first column is aligned left, and one called ``next``."""
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    for index, name in enumerate(header):
        table.add_column(
            Text(one_line(name)), justify="right" if index and name != "next" else "left", no_wrap=name != "next"
        )
    return table


def published_below(comparison: Comparison, table: ScoreTable, *, by_language: bool) -> list[RenderableType]:
    """What stands under a table of our arms: published rows, each with its footnote; nothing if there are none.

    Args:
        comparison: whose languages are shown.
        table: which rows.
        by_language: a row for each language, as in our table above; else the source and the means alone.
    """
    if not table.published:
        return []
    shown = _by_language(comparison, table) if by_language else _means(comparison, table)
    grid = Table.grid(padding=(0, 1))
    for number, (row, note) in enumerate(zip(table.published, footnotes(comparison, table), strict=True), start=1):
        grid.add_row(Text(f"[{number}]"), Text(f"{one_line(table.label(row))}: {one_line(note, limit=1000)}"))
    return [Text("Published, not of this sweep", style="bold"), shown, grid]


def _by_language(comparison: Comparison, table: ScoreTable) -> Table:
    rows, targets = table.published, comparison.languages[1:]
    shown = plain_table("", *(f"[{number}]" for number in range(1, len(rows) + 1)))
    for language in comparison.languages:
        label = f"{language} (source)" if language == comparison.source else language
        shown.add_row(Text(one_line(label)), *(spread(row.score(language)) for row in rows))
    shown.add_section()
    shown.add_row("zero_shot", *(percent(row.zero_shot(targets)) for row in rows))
    shown.add_row("transfer_gap", *(percent(row.transfer_gap(comparison.source, targets)) for row in rows))
    shown.add_row("n (runs)", *(row.runs or NOTHING for row in rows))
    return shown


def _means(comparison: Comparison, table: ScoreTable) -> Table:
    targets = comparison.languages[1:]
    shown = plain_table("", "n", f"{comparison.source} (source)", "zero_shot", "transfer_gap")
    for number, row in enumerate(table.published, start=1):
        source = spread(row.score(comparison.source))
        means = (percent(row.zero_shot(targets)), percent(row.transfer_gap(comparison.source, targets)))
        shown.add_row(Text(f"[{number}]"), row.runs or NOTHING, source, *means)
    return shown
