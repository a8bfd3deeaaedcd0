"""In what sweeps differ beside their tests: all that makes arms of one table unequal without forbidding it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tunekit.markdown import plain
from tunekit.reports.across.reading import Compared, Group, Member
from tunekit.reports.across.same_tests import unknown_tests
from tunekit.reports.caveats import by_value, caveats_of_selection, caveats_of_sweep, caveats_of_tables
from tunekit.reports.results import ArmResult
from tunekit.wording import names, plural


def reservations(found: Compared) -> list[str]:
    """What a reader must know before quoting a number: sentences of Markdown, the gravest first."""
    return [
        *caveats_of_selection(found.members[0].result),
        *(text for group in found.groups for text in unknown_tests(group.read)),
        *(f"{plain(member.label)}: {text}" for member in found.members for text in caveats_of_sweep(member.result)),
        *_different_sweeps(found),
        *(text for group in found.groups for text in _different_arms(found, group)),
        *caveats_of_tables(found.result.comparisons),
        *(f"{plain(label)} alone has {plain(names(tasks))}: not compared." for label, tasks in found.alone.items()),
    ]


def _different_sweeps(found: Compared) -> Iterator[str]:
    shown = {member.label for group in found.groups for member in group.owners.values()}
    for what, of in _OF_SWEEPS.items():
        values = {plain(member.label): plain(of(member)) for member in found.members if member.label in shown}
        if len(set(values.values())) > 1:
            yield f"**Different {what}**: {by_value(values)}."


def _searched(member: Member) -> str:
    sweep, search = member.result.sweep, member.result.sweep.search
    seeds = f"{'seed' if len(sweep.seeds) == 1 else 'seeds'} {names(sweep.seeds)}"
    return f"{search.searcher} (seed {search.seed}), {sweep.points_in_words()}, on {seeds}"


def _scheduled(member: Member) -> str:
    scheduler = member.result.sweep.scheduler
    return "none" if scheduler.name == "none" else f"{scheduler.name} from epoch {scheduler.grace_period}"


def _finalised(member: Member) -> str:
    return plural(member.result.sweep.finalise.top, "point")


_OF_SWEEPS: Mapping[str, Callable[[Member], str]] = {
    "protocols": lambda member: member.result.sweep.protocol or "none",
    "searches": _searched,
    "early stopping": _scheduled,
    "numbers of finalised points of an arm": _finalised,
    "limits of an arm's time and money": lambda member: (
        "; ".join(f"{limit.total:,g} {limit.unit}" for limit in member.result.arms[0].limits) or "none"
    ),
}


def _different_arms(found: Compared, group: Group) -> Iterator[str]:
    several = len(found.groups) > 1
    start = f"{plain(group.comparison.task)}: " if several else ""
    for what, of in _OF_ARMS.items():
        values = {plain(arm.name): plain(text) for arm in group.comparison.arms if (text := of(arm))}
        if len(set(values.values())) > 1:
            yield f"{start}**Different {what}**: {by_value(values)}."
    if group.comparison.further:
        yield f"{start}**Different target languages**: {_targets(group)}."


def _replicates(arm: ArmResult) -> str:
    return names(sorted(str(trial.replicate) for trial in arm.best.trials)) if arm.best is not None else ""


def _backbone(arm: ArmResult) -> str:
    backbone = arm.arm.backbone
    revision = f" at {backbone.revision}" if backbone.revision else ""
    return f"{backbone.name}{revision}, {backbone.dtype}"


_OF_ARMS: Mapping[str, Callable[[ArmResult], str]] = {"final seeds": _replicates, "backbones": _backbone}


def _targets(group: Group) -> str:
    values = {plain(row.arm.name): plain(_listed(row.arm.targets)) for row in group.read}
    common = _listed(group.shared)
    return f"{by_value(values)}. zero_shot is the mean over {common or 'none of them'}, which all arms have"


def _listed(languages: Iterable[str]) -> str:
    return ", ".join(languages)
