"""Several sweeps as one: arms with names of their own, and the languages that all of them have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tunekit.errors import ConfigError
from tunekit.journal import SweepRecord
from tunekit.reports.across.same_tests import Read, require_same_tests
from tunekit.reports.results import ArmResult, Comparison, SweepResult, read
from tunekit.reports.significance import Differences
from tunekit.reports.significance.pairs import compare_counts, joined
from tunekit.reports.significance.reading import read_counts
from tunekit.storage import SweepFolder
from tunekit.wording import names

LEAST_SWEEPS = 2
"""Fewer have nothing to be compared with."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the sweeps."""

    label: str
    """Its name; its path where another one is called the same."""
    result: SweepResult
    """Its arms are called by their names, or ``SWEEP/ARM`` where several sweeps have an arm of that name."""

    @property
    def folder(self) -> SweepFolder:
        """Where it is."""
        assert self.result.folder is not None
        return self.result.folder


@dataclass(frozen=True, kw_only=True)
class Group:
    """What stands in one table."""

    comparison: Comparison
    """Arms with the target languages that all of them have; the mean over these is theirs."""
    owners: Mapping[str, Member]
    """By arm."""
    read: tuple[Read, ...]
    """What each arm was asked on test, and what it got right there."""

    @property
    def shared(self) -> tuple[str, ...]:
        """The target languages that all arms have."""
        return self.comparison.arms[0].targets

    def differences(self) -> Differences:
        """Of all pairs of arms, on the source language and on the common target languages."""
        kept = (self.comparison.source, *self.shared)
        counts = [
            replace(
                each.counts,
                arm=arm,
                names={language: name for language, name in each.counts.names.items() if language in kept},
                counts={language: found for language, found in each.counts.counts.items() if language in kept},
            )
            for arm, each in zip(self.comparison.arms, self.read, strict=True)
        ]
        return compare_counts(counts, task=self.comparison.task, source=self.comparison.source)


@dataclass(frozen=True, kw_only=True)
class AcrossResult(SweepResult):
    """Several sweeps as if they were one, for what makes tables of a sweep; record and settings are the first one's."""

    groups: tuple[Comparison, ...]

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """One for each task and source language that several sweeps have."""
        return self.groups


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Several sweeps as one."""

    members: tuple[Member, ...]
    groups: tuple[Group, ...]
    alone: Mapping[str, Sequence[str]]
    """Tasks that one sweep alone has, by its label: they stand in no table."""

    @cached_property
    def result(self) -> AcrossResult:
        """All of it as one; published figures are left out."""
        first = self.members[0].result
        protocols = {member.result.sweep.protocol for member in self.members}
        protocol = protocols.pop() if len(protocols) == 1 else None
        comparisons = tuple(group.comparison for group in self.groups)
        found = AcrossResult(
            record=first.record,
            sweep=replace(first.sweep, references=(), protocol=protocol),
            arms=tuple(arm for comparison in comparisons for arm in comparison.arms),
            groups=comparisons,
        )
        found.once("differences", lambda: joined([group.differences() for group in self.groups]))
        return found


def compared(sweeps: Sequence[tuple[SweepRecord, SweepFolder]]) -> Compared:
    """The arms of several sweeps side by side, in any state.

    Args:
        sweeps: each with its folder, whose predictions tell on which examples it was scored.

    Raises:
        ConfigError: fewer than two sweeps, the same one twice, no task and source language in common, another selection
            rule or metric, or other test data.
        StorageError: predictions are there and cannot be read.
    """
    members = _members(sweeps)
    _require_one_rule(members)
    found: dict[tuple[str, str], list[tuple[Member, ArmResult]]] = {}
    for member in members:
        for arm in member.result.arms:
            found.setdefault((arm.task.name, arm.source), []).append((member, arm))
    shared = {key: rows for key, rows in found.items() if len({member.label for member, _ in rows}) >= LEAST_SWEEPS}
    if not shared:
        tasks = (f"{member.label} has {_in_words(_tasks(member))}" for member in members)
        raise ConfigError(f"no two of these sweeps have a task and a source language in common: {'; '.join(tasks)}")
    alone: dict[str, list[str]] = {}
    for key, rows in found.items():
        if key not in shared:
            alone.setdefault(rows[0][0].label, []).append(_in_words([key]))
    return Compared(members=members, groups=tuple(_group(rows) for rows in shared.values()), alone=alone)


def _members(sweeps: Sequence[tuple[SweepRecord, SweepFolder]]) -> tuple[Member, ...]:
    if len(sweeps) < LEAST_SWEEPS:
        raise ConfigError("a comparison needs two sweeps or more; one alone has its report: tunekit report NAME")
    paths = Counter(str(folder.path) for _, folder in sweeps)
    twice = next((path for path, number in paths.items() if number > 1), None)
    if twice is not None:
        raise ConfigError(f"sweep {twice} is named twice; name each sweep once")
    called = Counter(folder.name for _, folder in sweeps)
    labels = [folder.name if called[folder.name] == 1 else str(folder.path) for _, folder in sweeps]
    results = [read(record, folder) for record, folder in sweeps]
    arms = Counter(arm.name for result in results for arm in result.arms)
    return tuple(
        Member(label=label, result=replace(result, arms=tuple(_renamed(arm, label, arms) for arm in result.arms)))
        for label, result in zip(labels, results, strict=True)
    )


def _renamed(arm: ArmResult, label: str, called: Mapping[str, int]) -> ArmResult:
    name = arm.name if called[arm.name] == 1 else f"{label}/{arm.name}"
    return replace(arm, arm=replace(arm.arm, name=name))


def _require_one_rule(members: Sequence[Member]) -> None:
    rules: dict[str, list[str]] = {}
    for member in members:
        rules.setdefault(member.result.sweep.selection, []).append(member.label)
    if len(rules) > 1:
        sides = "; ".join(f"{rule}: {names(labels)}" for rule, labels in rules.items())
        raise ConfigError(
            f"these sweeps selected by different rules ({sides}). One of them sees dev of the target languages and the"
            " other does not, so their scores never stand in one table; compare only sweeps of one rule"
        )


def _group(rows: Sequence[tuple[Member, ArmResult]]) -> Group:
    arms = [arm for _, arm in rows]
    read = tuple(
        Read(sweep=member.label, arm=arm, counts=read_counts(arm, member.result.folder)) for member, arm in rows
    )
    require_same_tests(read)
    common = tuple(language for language in arms[0].targets if all(language in arm.targets for arm in arms))
    union = dict.fromkeys(language for arm in arms for language in arm.targets)
    comparison = Comparison(
        task=arms[0].task.name,
        source=arms[0].source,
        arms=tuple(_with_targets(arm, common) for arm in arms),
        further=tuple(language for language in union if language not in common),
    )
    return Group(comparison=comparison, owners={arm.name: member for member, arm in rows}, read=read)


def _with_targets(arm: ArmResult, targets: tuple[str, ...]) -> ArmResult:
    return replace(arm, arm=replace(arm.arm, task=replace(arm.task, target_languages=targets)))


def _tasks(member: Member) -> list[tuple[str, str]]:
    return list(dict.fromkeys((arm.task.name, arm.source) for arm in member.result.arms))


def _in_words(tasks: Iterable[tuple[str, str]]) -> str:
    return names(f"{task} from {source}" for task, source in tasks)
