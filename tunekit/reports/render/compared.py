"""A comparison of sweeps in one format each: ``compare.md``, ``compare.csv`` and the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from tunekit.reports.across import Compared
from tunekit.reports.across.contents import differences, sections, sweeps, title
from tunekit.reports.across.reading import Group
from tunekit.reports.across.settings import reservations
from tunekit.reports.best import GAP, ZERO_SHOT
from tunekit.reports.files import save
from tunekit.reports.render.csv_text import csv_text
from tunekit.reports.render.formats import LEFT, cell_text
from tunekit.reports.render.markdown import section_text
from tunekit.reports.render.terminal import before_quoting, bold, scores
from tunekit.reports.render.terminal_published import plain_table
from tunekit.reports.results import ArmResult
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Table
from tunekit.schema import JsonObject
from tunekit.storage import AnyPath
from tunekit.wording import one_line

COLUMNS = (
    "task", "source_language", "sweep", "selection", "is_finished", "arm", "method", "backbone", "shots", "point",
    "metric", "language", "role", "mean", "std", "n",
)  # fmt: skip
"""Scores are fractions. `role`: source, target (in the zero-shot mean), further (in no mean), or the mean itself."""

SHOWN = ("one", "other", "difference", "low", "high", "p_holm", "num_examples", "num_seeds")
"""Columns of a table of differences that the terminal shows."""


def write(found: Compared, out: AnyPath) -> list[AnyPath]:
    """Write ``compare.md`` and ``compare.csv`` into `out`."""
    return [save(out / "compare.md", to_markdown(found)), save(out / "compare.csv", to_csv(found))]


def to_markdown(found: Compared) -> str:
    """The text of ``compare.md``."""
    return "\n\n".join(map(section_text, sections(found))) + "\n"


def to_csv(found: Compared) -> str:
    """The text of ``compare.csv``: a row for each arm and language of the tables, and for its means."""
    rows = (row for group in found.groups for arm in group.comparison.arms for row in _rows(group, arm))
    return csv_text(COLUMNS, rows)


def _rows(group: Group, arm: ArmResult) -> Iterator[JsonObject]:
    member, comparison = group.owners[arm.name], group.comparison
    if arm.best is None:
        return
    common = {
        "task": comparison.task,
        "source_language": comparison.source,
        "sweep": member.label,
        "selection": member.result.sweep.selection,
        "is_finished": member.result.is_finished,
        "arm": arm.name,
        "method": arm.arm.method,
        "backbone": arm.arm.backbone.name,
        "shots": arm.task.shots,
        "point": arm.best.number,
        "metric": comparison.metric,
    }
    found: list[tuple[str, str, Spread | None]] = [
        (language, _role(group, language), arm.best.score(language, comparison.metric))
        for language in comparison.languages
    ]
    found.append((ZERO_SHOT, "mean", arm.best.zero_shot(arm.targets, comparison.metric)))
    found.append((GAP, "mean", arm.best.transfer_gap(comparison.source, arm.targets, comparison.metric)))
    for language, role, value in found:
        if value is not None:
            row = {"language": language, "role": role, "mean": value.mean, "std": value.std, "n": value.n}
            yield {**common, **row}


def _role(group: Group, language: str) -> str:
    if language == group.comparison.source:
        return "source"
    return "target" if language in group.shared else "further"


def on_terminal(found: Compared) -> RenderableType:
    """The same in a screenful or two."""
    parts: list[RenderableType] = [_shown(sweeps(found)), Text()]
    for group in found.groups:
        parts += [Text(one_line(title(found, group)), style="bold"), *scores(found.result, group.comparison)[1:]]
        for part in differences(found, group):
            parts += [bold(part)] if isinstance(part, str) else _on_the_mean(part)
        parts.append(Text())
    return Lines(*parts, *before_quoting(reservations(found)))


def _on_the_mean(table: Table) -> list[RenderableType]:
    """The differences on the mean, in the columns that fit a terminal; nothing of a table that has single languages.

    Of a table with both, the rows on the mean.
    """
    kept = [index for index, column in enumerate(table.columns) if column.key in SHOWN]
    place = next(index for index, column in enumerate(table.columns) if column.key == "language")
    rows = tuple(tuple(row[index] for index in kept) for row in table.rows if row[place].value == ZERO_SHOT)
    if not rows:
        return []
    short = replace(table, columns=tuple(table.columns[index] for index in kept), rows=rows)
    return [Text(one_line(f"{table.title}, on {ZERO_SHOT}"), style="bold"), _shown(short), *map(Text, table.notes)]


def _shown(table: Table) -> RichTable:
    """A table without lines; what is no number may be wrapped."""
    found = plain_table(*(column.title for column in table.columns))
    for shown, column in zip(found.columns, table.columns, strict=True):
        shown.justify, shown.no_wrap = ("left", False) if column.kind in LEFT else ("right", True)
    for row in table.rows:
        found.add_row(*(Text(cell_text(c, column)) for c, column in zip(row, table.columns, strict=True)))
    return found
