"""Published rows of a table of scores, and the footnotes that say what each of them is."""

from __future__ import annotations

from tunekit.markdown import plain
from tunekit.reports.published import ScoreTable, languages_left_out
from tunekit.reports.render.formats import spread
from tunekit.reports.results import Comparison
from tunekit.wording import NOTHING, percent


def published_rows(comparison: Comparison, table: ScoreTable) -> list[list[str]]:
    """The cells of each published row: name, runs, every language, zero-shot mean and transfer gap."""
    targets, rows = comparison.languages[1:], []
    for number, row in enumerate(table.published, start=1):
        scores = [spread(row.score(language)) for language in comparison.languages]
        means = [percent(row.zero_shot(targets)), percent(row.transfer_gap(comparison.source, targets))]
        rows.append([f"{plain(table.label(row))} [{number}]", row.runs or NOTHING, *scores, *means])
    return rows


def footnotes(comparison: Comparison, table: ScoreTable) -> list[str]:
    """Of each published row of a table its metric, split, runs and source, in one line of plain Markdown."""
    found = []
    for row in table.published:
        runs = f"n = {row.runs}" if row.runs else "number of runs not given"
        left_out = languages_left_out(row, comparison)
        more = f" No column here: {', '.join(map(plain, left_out))}." if left_out else ""
        source = plain(row.source.rstrip("."))
        found.append(f"metric {row.metric}, split {row.split}, {runs}. Source: {source}.{more}")
    return found
