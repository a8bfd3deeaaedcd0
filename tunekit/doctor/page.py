"""The page that ``tunekit doctor`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunekit.doctor.findings import Finding, Level
from tunekit.wording import plural

STYLES: Mapping[Level, str] = {"ok": "green", "warning": "yellow", "wrong": "bold red"}
NAME_WIDTH = 16
"""Longer names, such as those of hosts, are broken; a column of one width for all tables."""


def render(found: Mapping[str, Sequence[Finding]]) -> RenderableType:
    """Findings by title as a page, for a console of any width; the verdict stands last, where the eye is."""
    parts: list[RenderableType] = []
    for title, findings in found.items():
        parts += [Text(title, style="bold"), Padding(_table(findings), (0, 0, 1, 2))]
    return Group(*parts, Text(verdict([one for findings in found.values() for one in findings]), style="bold"))


def _table(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=7, no_wrap=True)
    table.add_column(width=NAME_WIDTH, overflow="fold", style="dim")
    table.add_column(overflow="fold", ratio=1)
    for finding in findings:
        text = Text(finding.found)
        if finding.cure:
            text.append(f"\n→ {finding.cure}", style="italic")
        table.add_row(Text(finding.level, style=STYLES[finding.level]), Text(finding.name), text)
    return table


def verdict(findings: Sequence[Finding]) -> str:
    """All in one sentence."""
    wrong, warnings = (sum(one.level == level for one in findings) for level in ("wrong", "warning"))
    if wrong:
        things = f"{plural(wrong, 'thing')} {'is' if wrong == 1 else 'are'} wrong"
        return f"{things}, {plural(warnings, 'warning')}" if warnings else things
    return f"nothing is wrong, {plural(warnings, 'warning')}" if warnings else "nothing is wrong"
