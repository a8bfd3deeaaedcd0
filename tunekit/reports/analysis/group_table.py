"""Scores and gains by groups of languages: near and distant, by script, family and resources."""

from __future__ import annotations

from collections.abc import Sequence

from tunekit import languages
from tunekit.reports.analysis.facts import LOW_RESOURCE, NEAR, Group, groups
from tunekit.reports.analysis.gains import Pair
from tunekit.reports.analysis.naming import key_of, keys_of, title_of
from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Cell, Column, Table
from tunekit.wording import names, plural

PARTLY = "†"
"""Marks a mean over a part of a group's languages."""


def group_table(comparison: Comparison, scored: Sequence[ArmResult], beside: Sequence[Pair]) -> Table | None:
    """A row for each group of target languages; None where they cannot be told apart.

    Args:
        comparison: which.
        scored: its arms with test scores.
        beside: its pairs of arms.
    """
    found = groups(comparison)
    if not found:
        return None
    columns = [
        Column(key="view", title="by"),
        Column(key="group", title="group"),
        Column(key="languages", title="languages", kind="count"),
        *(Column(key=f"score_{key}", title=arm.name, kind="score")
          for arm, key in zip(scored, keys_of(scored), strict=True)),
        *(Column(key=f"gain_{key}", title=pair.label, kind="difference")
          for pair, key in zip(beside, keys_of([pair.arm for pair in beside]), strict=True)),
    ]  # fmt: skip
    rows = tuple(_group_row(group, comparison.metric, scored, beside) for group in found)
    trials = names(f"{arm.name} {len(arm.best.trials)}" for arm in scored if arm.best)
    notes = [
        "Means over the target languages of a group, taken for each trial, then over trials: mean ± standard deviation"
        f" (trials: {trials}).",
        f"{_near(found)}Script, and related: the script and family of the source language, {comparison.source}, or"
        " another one. Resources:"
        f" {languages.SOURCE}; low is class 0 to {LOW_RESOURCE}. Unknown: the tables do not say. The views overlap and"
        " are not independent.",
    ]
    if any(PARTLY in cell.marks for row in rows for cell in row):
        notes.append(f"{PARTLY} Over those languages of the group alone that the arm, or both, has scores in.")
    title = f"Test scores and gains by groups of languages: {title_of(comparison)}"
    return Table(
        name=f"groups_{key_of(comparison)}", title=title, columns=tuple(columns), rows=rows, notes=tuple(notes)
    )


def _near(found: Sequence[Group]) -> str:
    """What the view of distances means, if there is one."""
    is_told = any(group.view == "distance" for group in found)
    return f"Near: a syntactic distance below {NEAR} on its scale of 0 to 1. " if is_told else ""


def _group_row(group: Group, metric: str, scored: Sequence[ArmResult], beside: Sequence[Pair]) -> tuple[Cell, ...]:
    cells = [
        Cell(value=group.view),
        Cell(value=group.label),
        Cell(value=len(group.languages), title=names(group.languages)),
    ]
    for arm in scored:
        assert arm.best is not None
        own = [language for language in group.languages if arm.best.score(language, metric) is not None]
        cells.append(_part(arm.best.zero_shot(own, metric), own, group))
    for pair in beside:
        own = [language for language in group.languages if language in pair.targets]
        cells.append(_part(pair.gain(own) if own else None, own, group))
    return tuple(cells)


def _part(value: Spread | None, own: Sequence[str], group: Group) -> Cell:
    is_part = 0 < len(own) < len(group.languages)
    title = f"over {plural(len(own), 'language')}: {names(own)}" if is_part else ""
    return Cell(value=value, marks=(PARTLY,) if is_part else (), title=title)
