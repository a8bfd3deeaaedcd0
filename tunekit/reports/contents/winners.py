"""The point that each arm ends with: how sure the choice is, and its score without the luck of it."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.markdown import plain
from tunekit.reports.results import SweepResult
from tunekit.reports.tables import Cell, Column, Section, Table
from tunekit.reports.winner import Winner, winners
from tunekit.reports.words import searched
from tunekit.wording import listed, names, percent, plural, share

TITLE = "How sure the choices are"


def not_told(result: SweepResult) -> str:
    """Which arms' choices cannot be told from noise, in Markdown; empty if all can, or none is made yet."""
    final = [winner for winner in found(result) if winner.is_final and not winner.is_told]
    close = [plain(winner.arm) for winner in final if winner.num_points > 1]
    alone = [plain(winner.arm) for winner in final if winner.num_points == 1 and _num_searched(result, winner) > 1]
    parts = []
    if close:
        parts.append(
            f"**The choice of a point cannot be told from noise** in {names(close)}: others are not shown to be worse."
        )
    if alone:
        parts.append(
            f"{'**Nothing tells the chosen point from those behind it**' if not close else 'Nothing tells it so'} in"
            f" {names(alone)}: one point was finalised."
        )
    return " ".join(parts)


def _num_searched(result: SweepResult, winner: Winner) -> int:
    """Configurations that the search brought to an end."""
    return len({point.point_id for point in result.arm(winner.arm).points if point.value is not None})


def found(result: SweepResult) -> tuple[Winner, ...]:
    """The winner of each arm, made once of a result."""
    return result.once("winners", lambda: winners(result))


def section(result: SweepResult) -> Section:
    """What is to be said of the winners; without content as long as there are none."""
    each = found(result)
    parts: list[str | Table] = []
    if each:
        parts.append("\n".join(f"- {plain(winner.first_line, limit=1000)}" for winner in each))
        parts.append(_winners(each))
        rivals = _rivals(each)
        if rivals.rows:
            parts += ["Points that cannot be told from them:", rivals]
    return Section(key="winners", title=TITLE, parts=tuple(parts))


def _winners(found: tuple[Winner, ...]) -> Table:
    return Table(
        name="winners",
        title="The point that each arm ends with, by dev",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="point", title="point", kind="count"),
            Column(key="num_points", title="chosen from", kind="count"),
            Column(key="dev", title="dev", kind="score"),
            Column(key="n", title="n", kind="count"),
            Column(key="low", title="95 % from", kind="score"),
            Column(key="high", title="to", kind="score"),
            Column(key="corrected", title="corrected", kind="score"),
            Column(key="corrected_low", title="95 % from", kind="score"),
            Column(key="corrected_high", title="to", kind="score"),
            Column(key="by", title="by"),
            Column(key="chance", title="another is better", kind="share"),
            Column(key="rivals", title="not told from points"),
        ),
        rows=tuple(map(_row, found)),
        notes=tuple(_notes(found)),
    )


def _row(winner: Winner) -> tuple[Cell, ...]:
    own, corrected = winner.interval, winner.corrected
    by = None if corrected is None else winner.correction
    if by == "new seeds":
        by_words: str | None = plural(winner.num_corrected, "new seed")
    else:
        by_words = None if by is None else f"a model, {plural(winner.num_corrected, 'seed')}"
    rivals = listed(rival.number for rival in winner.rivals)
    values = (
        winner.arm,
        winner.number,
        winner.num_points,
        winner.dev,
        winner.dev.n,
        own.low if own else None,
        own.high if own else None,
        corrected.mean if corrected else None,
        corrected.low if corrected else None,
        corrected.high if corrected else None,
        by_words,
        winner.chance,
        rivals or None,
    )
    marks = () if winner.is_final else ("…",)
    return (Cell(value=winner.arm, marks=marks), *(Cell(value=value) for value in values[1:]))


def _notes(found: tuple[Winner, ...]) -> Iterator[str]:
    yield (
        "dev: over the n seeds that took part in the choice, which is too high in expectation, being the highest of"
        " several; corrected: without that, from seeds that took no part in it, or else by a model of all finalised"
        " points (shrinkage). All intervals are over seeds alone, on this dev set."
    )
    if any(winner.chance is not None for winner in found):
        margins = dict.fromkeys(winner.delta for winner in found if winner.chance is not None)
        by = names(percent(delta, decimals=2) for delta in margins)
        worse = f" by more than {by}" if any(margins) else ""
        yield f"another is better: at most the chance that another finalised point is better{worse}."
    if not all(winner.is_final for winner in found):
        yield "…: leads so far; the choice is not over."
    levels = dict.fromkeys(winner.confidence for winner in found)
    if list(levels) != [0.95]:
        yield f"Intervals have the confidence of the race: {names(share(level) for level in levels)}."


def _rivals(found: tuple[Winner, ...]) -> Table:
    rows = [
        (
            Cell(value=winner.arm),
            Cell(value=rival.number),
            Cell(value=rival.dev),
            Cell(value=rival.dev.n),
            Cell(value=rival.chance_better),
            Cell(value=searched(rival.params)),
        )
        for winner in found
        for rival in winner.rivals
    ]
    return Table(
        name="not_told_from_the_winners",
        title="Finalised points that cannot be told from the winner of their arm",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="point", title="point", kind="count"),
            Column(key="dev", title="dev", kind="score"),
            Column(key="n", title="n", kind="count"),
            Column(key="chance", title="is better", kind="share"),
            Column(key="params", title="params"),
        ),
        rows=tuple(rows),
        notes=("is better: the chance that it is truly better than the winner.",) if rows else (),
    )
