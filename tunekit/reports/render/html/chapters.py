"""The chapters of the page: what every format says, the figures, and a card for each winner, in the page's own order.

The contents come from :mod:`tunekit.reports.contents`. What has no place of its own here stands in a last chapter, so
that nothing of the contents gets lost.
"""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.markdown import plain
from tunekit.reports.contents import sections, winners
from tunekit.reports.figures.arms import gains, gaps
from tunekit.reports.figures.importance import Importances
from tunekit.reports.figures.languages import heat_map
from tunekit.reports.figures.parameters import ParameterFigures
from tunekit.reports.figures.search import curves, history
from tunekit.reports.figures.workers import hours, timeline
from tunekit.reports.render.html.cards import card
from tunekit.reports.render.html.parts import Block, Chapter, Gallery, Part
from tunekit.reports.results import Comparison, SweepResult
from tunekit.reports.tables import Section, Table


class Contents:
    """The sections of a report, taken one by one by their keys."""

    def __init__(self, result: SweepResult) -> None:
        self._left = {section.key: section for section in sections(result)}

    def take(self, key: str) -> tuple[Part, ...]:
        """The parts of a section, which is then taken; none if it has none, or was taken."""
        found = self._left.pop(key, None)
        return () if found is None else _without_titles(found.parts)

    def block(self, key: str) -> Block | None:
        """The same with its heading."""
        found = self._left.pop(key, None)
        return None if found is None else _block(found)

    def rest(self) -> list[Block]:
        """What nobody has taken."""
        found, self._left = self._left, {}
        return [_block(section) for section in found.values()]


def _block(section: Section) -> Block:
    return Block(key=section.key, title=section.title, parts=_without_titles(section.parts))


def _without_titles(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts without sentences that only announce a table by its title, which stands above it on the page."""
    following = (*parts[1:], None)
    return tuple(part for part, after in zip(parts, following, strict=True) if not _announces(part, after))


def _announces(part: Part, after: Part | None) -> bool:
    return isinstance(after, Table) and isinstance(part, str) and part.removesuffix(":") == plain(after.title)


def opening(contents: Contents) -> tuple[Part, ...]:
    """What stands at the very top, below the title: the state, and which choices cannot be told from noise."""
    return contents.take("top")


def chapters(result: SweepResult, contents: Contents) -> list[Chapter]:
    """All of them, in their order; those without content are left out."""
    made = [
        Chapter(key="scores", title="Scores", blocks=tuple(_scores(result, contents))),
        Chapter(key="winners", title="The chosen configurations", blocks=tuple(_winners(result, contents))),
        Chapter(key="search", title="The search", blocks=tuple(_search(result, contents))),
        Chapter(key="parameters", title="Parameters", blocks=tuple(_parameters(result, contents))),
        Chapter(key="curves", title="Learning curves", blocks=tuple(_curves(result))),
        Chapter(key="cost", title="Cost", blocks=tuple(_cost(result, contents))),
        _whole("failures", "Trials that did not complete", contents),
        Chapter(key="caveats", title="Before you quote a number", blocks=tuple(_caveats(contents))),
        Chapter(key="differences", title="Differences between arms", blocks=tuple(_differences(result, contents))),
        Chapter(key="languages", title="Languages", blocks=tuple(_languages(result, contents))),
        _whole("errors", "Errors", contents),
        Chapter(key="environment", title="What it ran on", blocks=tuple(_environment(result, contents))),
        _whole("again", "Doing it again", contents),
        Chapter(key="further", title="Further tables", blocks=tuple(contents.rest())),
    ]
    return [chapter for chapter in made if chapter.blocks]


def _whole(key: str, title: str, contents: Contents) -> Chapter:
    parts = contents.take(key)
    return Chapter(key=key, title=title, blocks=(Block(title="", parts=parts),) if parts else ())


def _scores(result: SweepResult, contents: Contents) -> Iterator[Block]:
    for number, comparison in enumerate(result.comparisons):
        found = contents.block(_key(comparison))
        if found is None:
            continue
        figure = heat_map(comparison, f"heat-{number}")
        place = next((at for at, part in enumerate(found.parts, start=1) if isinstance(part, Table)), 0)
        extra = (figure,) if figure is not None else ()
        yield Block(key=found.key, title=found.title, parts=(*found.parts[:place], *extra, *found.parts[place:]))


def _winners(result: SweepResult, contents: Contents) -> Iterator[Block]:
    parts = contents.take("winners")
    if parts:
        yield Block(title="", parts=parts)
    known = {winner.arm: winner for winner in winners.found(result)}
    for arm in result.arms:
        yield Block(key=f"winner-{arm.name}", title=arm.name, parts=(card(result, arm, known.get(arm.name)),))


def _search(result: SweepResult, contents: Contents) -> Iterator[Block]:
    parts = contents.take("search")
    if parts:
        yield Block(title="", parts=parts)
    for number, comparison in enumerate(result.comparisons):
        figure = history(comparison, f"history-{number}")
        if figure is not None:
            yield Block(title=comparison.task, key=f"history-of-{_key(comparison)}", parts=(figure,))


def _parameters(result: SweepResult, contents: Contents) -> Iterator[Block]:
    for number, arm in enumerate(result.arms):
        parts = [*contents.take(f"arm-{arm.name}")]
        if arm.arm.space and arm.leader is not None:
            parts += _parameter_figures(ParameterFigures(Importances(arm), f"arm-{number}", len(result.arms)))
        if parts:
            yield Block(key=f"parameters-{arm.name}", title=arm.name, parts=tuple(parts))


def _parameter_figures(found: ParameterFigures) -> Iterator[Part]:
    importance = found.importances.figure(f"{found.name}-importance")
    yield importance if importance is not None else found.importances.why_none
    slices, pairs = tuple(found.slices()), tuple(found.pairs())
    if pairs:
        yield Gallery(title="Two parameters at a time", figures=pairs)
    if slices:
        yield Gallery(title="One parameter at a time", figures=slices, notes=found.notes_on_slices)


def _curves(result: SweepResult) -> Iterator[Block]:
    for number, arm in enumerate(result.arms):
        figure = curves(arm, f"curves-{number}", num_arms=len(result.arms))
        if figure is not None:
            yield Block(key=f"curves-{arm.name}", title=arm.name, parts=(figure,))


def _cost(result: SweepResult, contents: Contents) -> Iterator[Block]:
    for comparison in result.comparisons:
        found = contents.block(f"{_key(comparison)}-budget")
        if found is not None:
            yield Block(key=found.key, title=f"{comparison.task}: {found.title.lower()}", parts=found.parts)
    figures = [figure for figure in (hours(result, "hours"), timeline(result, "workers")) if figure is not None]
    if figures:
        yield Block(key="time", title="Time", parts=tuple(figures))


def _caveats(contents: Contents) -> Iterator[Block]:
    parts = contents.take("caveats")
    if parts:
        yield Block(title="", parts=parts)
    chosen = contents.block("selection")
    if chosen is not None:
        yield chosen


def _languages(result: SweepResult, contents: Contents) -> Iterator[Block]:
    for comparison in result.comparisons:
        for end in ("by", "tokens"):
            found = contents.block(f"{_key(comparison)}-{end}")
            if found is not None:
                yield Block(key=found.key, title=f"{comparison.task}: {found.title.lower()}", parts=found.parts)

    across = contents.block("across")
    if across is not None:
        yield across
    figures = tuple(gains(result, "gain"))
    if figures:
        yield Block(title="", parts=(Gallery(title="Gains by properties of the languages", figures=figures),))


def _differences(result: SweepResult, contents: Contents) -> Iterator[Block]:
    for number, comparison in enumerate(result.comparisons):
        found = contents.block(f"{_key(comparison)}-differences")
        if found is not None:
            figure = gaps(result, comparison, f"gaps-{number}")
            parts: tuple[Part, ...] = (figure, *found.parts) if figure is not None else found.parts
            yield Block(key=found.key, title=comparison.task, parts=parts)


def _environment(result: SweepResult, contents: Contents) -> Iterator[Block]:
    parts = contents.take("environment")
    if parts:
        yield Block(title="", parts=parts)
    for comparison in result.comparisons:
        found = contents.block(f"{_key(comparison)}-data")
        if found is not None:
            yield Block(key=found.key, title=f"{comparison.task}: {found.title.lower()}", parts=found.parts)


def _key(comparison: Comparison) -> str:
    return "-".join((comparison.task, comparison.source))
