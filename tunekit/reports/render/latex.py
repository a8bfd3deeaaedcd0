"""``tables.tex``: the tables of test scores, each ready to paste into a paper, for booktabs and nothing else.

Arms are rows and languages columns where that fits the width of a page. Otherwise languages are rows; where that does
not fit either, the columns are cut into blocks below each other. What is longer than a page becomes several tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunekit.reports.best import GAP, ZERO_SHOT
from tunekit.reports.files import save
from tunekit.reports.headline import headline
from tunekit.reports.render.formats import cell_text, value_text
from tunekit.reports.render.tex import comment, tex, unwritten
from tunekit.reports.results import SweepResult
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Cell, Column, Table, named_apart
from tunekit.storage import AnyPath
from tunekit.version import __version__

PAGE_WIDTH = 455
"""Points across both columns of a page, as in the styles of ACL."""
SIGN_WIDTH, SPACE_WIDTH = 4.3, 6.0
"""Points that a digit takes in the size of the tables, and the space between two columns."""
MOST_COLUMNS, MOST_ROWS = 12, 46
"""Of scores side by side, and of rows in a table that fits a page."""
REPEATED = (0, 1)
"""Columns that stand in each block: arm and n."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table as text, row by row, its heading first."""

    lines: list[list[str]]
    """In LaTeX."""
    widths: list[float]
    """Of its columns, in points."""
    rules: frozenset[int]
    """Numbers of the lines before which a line is drawn."""

    @property
    def width(self) -> float:
        """In points."""
        return sum(self.widths)

    def columns(self, chosen: Sequence[int]) -> Grid:
        """Some of its columns."""
        lines = [[line[column] for column in chosen] for line in self.lines]
        return Grid(lines=lines, widths=[self.widths[column] for column in chosen], rules=self.rules)


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write ``tables.tex`` into `out`."""
    return [save(out / "tables.tex", render(result))]


def render(result: SweepResult) -> str:
    """The whole file: comments that say where it comes from, and a table for each task and metric."""
    found = [headline(result, comparison) for comparison in result.comparisons]
    tables = named_apart(table for each in found if each is not None for table in each.tables)
    body = [environment for table in tables for environment in environments(table)]
    if not body:
        body = [comment("No arm has test scores yet.")]
    return "\n\n".join([_head(result, tables), *body]) + "\n"


def _head(result: SweepResult, tables: Sequence[Table]) -> str:
    record = result.record
    lines = [
        f"Sweep {result.sweep.name}: scores on test, written by tunekit {__version__}.",
        f"Launched {record.launched_at or 'never'}, last event {record.last_event_at or 'none'} (UTC).",
        f"Made again by: tunekit report {result.sweep.name}",
        "Needs \\usepackage{booktabs}, and nothing else. Scores are x 100.",
        *([] if result.is_finished else ["THE SWEEP IS UNFINISHED: scores may still change."]),
    ]
    strange = unwritten(text for table in tables for text in _texts(table))
    lines += [f"{written} stands for {word}, which pdflatex has no letters for." for written, word in strange.items()]
    return "\n".join(map(comment, lines))


def _texts(table: Table) -> Iterator[str]:
    yield from (table.title, *table.notes, *table.footnotes, *(column.title for column in table.columns))
    yield from (cell.value for row in table.rows for cell in row if isinstance(cell.value, str))


def environments(table: Table) -> list[str]:
    """A table of test scores as LaTeX: one environment, or several where one is longer than a page."""
    pages: list[list[Grid]] = [[]]
    for grid in _blocks(table):
        if pages[-1] and sum(len(each.lines) + 2 for each in (*pages[-1], grid)) > MOST_ROWS:
            pages.append([])
        pages[-1].append(grid)
    return [_environment(table, grids, number, len(pages)) for number, grids in enumerate(pages, start=1)]


def _blocks(table: Table) -> list[Grid]:
    whole = _grid(table)
    num_scores = sum(column.kind == "score" for column in table.columns)
    if whole.width <= PAGE_WIDTH and num_scores <= MOST_COLUMNS:
        return [whole]
    turned = _turned(table)
    if turned.width <= PAGE_WIDTH and len(turned.lines) <= MOST_ROWS:
        return [turned]
    scores = [number for number, column in enumerate(table.columns) if column.kind == "score"]
    beside = [number for number in range(len(table.columns)) if number not in scores]
    blocks: list[list[int]] = [beside]  # what is no score stands in the first block; the others repeat arm and n
    num_beside = len(beside)
    for number in scores:
        found = blocks[-1]
        is_full = whole.columns([*found, number]).width > PAGE_WIDTH or len(found) - num_beside == MOST_COLUMNS
        if is_full and len(found) > num_beside:
            blocks.append(list(REPEATED))
            num_beside = len(REPEATED)
        blocks[-1].append(number)
    return [whole.columns(block) for block in blocks]


def _grid(table: Table) -> Grid:
    lines = [[tex(column.title) for column in table.columns]]
    lines += [[_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    return Grid(lines=lines, widths=_widths(_plain(table)), rules=frozenset({1, *(rule + 1 for rule in table.rules)}))


def _turned(table: Table) -> Grid:
    """Columns as rows; means stand apart from languages, and these from what is no score."""
    lines = [list(line) for line in zip(*_grid(table).lines, strict=True)]
    widths = _widths([list(line) for line in zip(*_plain(table), strict=True)])
    kinds = [column.kind == "score" and column.key not in (ZERO_SHOT, GAP) for column in table.columns]
    rules = {number for number in range(1, len(kinds)) if kinds[number] != kinds[number - 1]}
    return Grid(lines=lines, widths=widths, rules=frozenset({1, *rules}))


def _plain(table: Table) -> list[list[str]]:
    """Headings and cells as plain text."""
    rows = [[cell_text(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    return [[column.title for column in table.columns], *rows]


def _widths(texts: Sequence[Sequence[str]]) -> list[float]:
    """Points of each column. Blanks around ± are not written."""
    columns = zip(*texts, strict=True)
    return [max(len(text.replace(" ± ", "±")) for text in column) * SIGN_WIDTH + SPACE_WIDTH for column in columns]


def _cell(cell: Cell, column: Column) -> str:
    text = value_text(cell.value, column.kind)
    mean, std = tex(text), ""
    if isinstance(cell.value, int | float | Spread):
        shown, _, spread = text.partition(" ± ")
        mean = tex(shown).replace("-", "$-$")
        std = rf"{{\scriptsize$\pm${spread}}}" if spread else ""
    mean = rf"\textbf{{{mean}}}" if cell.is_best else mean
    return "".join([mean, std, f" {tex(cell.remark)}" if cell.remark else "", *map(tex, cell.marks)])


def _environment(table: Table, grids: Sequence[Grid], number: int, of: int) -> str:
    part = f" ({number} of {of})" if of > 1 else ""
    name = "".join(sign if sign.isascii() else f"{ord(sign):x}" for sign in table.name)
    label = f"{name}_{number}" if part else name
    notes = [tex(note) for note in table.notes]
    notes += [rf"\par {{[}}{n}{{]}} {tex(note)}" for n, note in enumerate(table.footnotes, start=1)]
    tabulars = "\n\n\\medskip\n".join(map(_tabular, grids))
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{tex(table.title + part)}.}}",
        rf"\label{{tab:{label}}}",
        tabulars,
        "",
        r"\smallskip",
        r"\begin{minipage}{\linewidth}",
        r"\scriptsize",
        *(notes if number == of else ["The last part has the notes."]),
        r"\end{minipage}",
        r"\end{table*}",
    ]
    return "\n".join(lines)


def _tabular(grid: Grid) -> str:
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(grid.widths) - 1)}}}", r"\toprule"]
    for number, line in enumerate(grid.lines):
        lines += [r"\midrule"] if number in grid.rules else []
        lines.append(" & ".join(line) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])
