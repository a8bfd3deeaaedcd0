"""What a journal's record adds up to for a reader: arms, their best points, and scores over seeds and draws.

The best point of an arm is, among its finalised points that failed on the fewest seeds, the one with the highest mean
dev objective over the trials of finalising; of equals the one drawn first. Where points raced for further seeds, it is
the winner of the race. Test scores take no part in it. Every renderer reads from here, so that no two of them can
disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast

from tunekit.errors import ConfigError, nearest
from tunekit.journal import ArmProgress, ArmRace, ArmRecord, FinalTrial, Point, SweepProgress, SweepRecord, TrialRecord
from tunekit.reports.language_facts import LanguageFacts
from tunekit.reports.scores import FinalPoint, final_point
from tunekit.storage import SweepFolder
from tunekit.sweep import Arm, Limit, Sweep
from tunekit.trial import Replicate, TaskConfig, TrialFacts

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One arm: what it is, what it tried, what came out, what it cost."""

    arm: Arm
    record: ArmRecord
    progress: ArmProgress
    tested: tuple[FinalPoint, ...]
    """Every point with test scores, best on dev first; before them the winner of a race."""
    best: FinalPoint | None
    """The reported one: the first of `tested` that is still among the arm's top points."""
    finals: tuple[FinalTrial, ...]
    """What finalising asks for."""
    race: ArmRace | None = None
    """How its points raced for further seeds; None where they do not."""
    limits: tuple[Limit, ...] = ()
    """Its share of each limit of the budget in time and money, with what it has spent of it."""
    folder: SweepFolder | None = None
    """Of its sweep, where the predictions of its trials are; None if only the journal is at hand."""

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.arm.name

    @property
    def task(self) -> TaskConfig:
        """What it learns."""
        return self.arm.task

    @property
    def source(self) -> str:
        """The source language."""
        return self.task.source_language

    @property
    def targets(self) -> tuple[str, ...]:
        """The target languages."""
        return self.task.target_languages

    @property
    def has_draws(self) -> bool:
        """Whether the reported trials read more than one draw of the data."""
        return self.best is not None and len({trial.draw for trial in self.best.trials}) > 1

    @property
    def metric(self) -> str:
        """The task's main metric: the one that the objective is made of."""
        return self.arm.metric or "score"

    @property
    def trials(self) -> list[TrialRecord]:
        """All trials, in the order of creation."""
        return self.record.trials

    @property
    def points(self) -> list[Point]:
        """All points, in the order in which they were drawn."""
        return self.record.points

    @cached_property
    def searched(self) -> tuple[TrialRecord, ...]:
        """The trials of the search, finalising left out."""
        return tuple(trial for trial in self.trials if trial.phase == "search")

    @cached_property
    def leader(self) -> Point | None:
        """The best point of the search, by dev on the search's seeds."""
        return next(iter(self.record.top(1)), None)

    def num_searched(self, state: str) -> int:
        """Search trials in a state."""
        return self.record.num(phase="search", state=state)

    @property
    def best_so_far(self) -> float | None:
        """The best dev objective that any trial of the search has reported."""
        return self.record.best_so_far

    @cached_property
    def facts(self) -> TrialFacts | None:
        """What a trial of the reported point found when it started, else one of the leading point, else any."""
        leading = self.leader.trials if self.leader else ()
        candidates = (*(self.best.trials if self.best else ()), *leading, *self.trials)
        return next((trial.facts for trial in candidates if trial.facts is not None), None)

    @cached_property
    def all_facts(self) -> list[TrialFacts]:
        """What each trial found when it started, and before that where it was begun on other software."""
        return [facts for trial in self.trials for facts in (*trial.earlier_facts, trial.facts) if facts is not None]

    def duration_s(self, phase: str) -> float:
        """Seconds of training and dev evaluation in the epochs reported, summed over trials of a phase."""
        return self.record.spent_s[phase]

    def num_updates(self, phase: str) -> int | None:
        """Optimiser updates in the epochs reported; None if a trial did not say how many it makes."""
        counts = [_num_updates(trial) for trial in self.trials if trial.phase == phase]
        return None if None in counts else sum(count or 0 for count in counts)


def _num_updates(trial: TrialRecord) -> int | None:
    if not trial.reports:
        return 0
    return None if trial.facts is None else trial.facts.num_updates(len(trial.reports))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The arms of one task and source language: one table."""

    task: str
    source: str
    arms: tuple[ArmResult, ...]
    further: tuple[str, ...] = ()
    """Languages that some arms of several sweeps were scored in beside their targets: shown, and in no mean."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The source, then every arm's targets, in the order of the file, then `further` ones."""
        targets = (language for arm in self.arms for language in arm.targets)
        return tuple(dict.fromkeys([self.source, *targets, *self.further]))

    @property
    def metric(self) -> str:
        """The task's main metric; ``score`` as long as no arm has reported an epoch."""
        return next((arm.metric for arm in self.arms if any(trial.reports for trial in arm.trials)), "score")


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """A whole sweep, read."""

    record: SweepRecord
    sweep: Sweep
    arms: tuple[ArmResult, ...]
    stopped_by_budget: str | None = None
    """Why it ended before all that its file asks for; None if no limit of its budget ended it."""
    folder: SweepFolder | None = None
    """Where the predictions of its trials are; None if only the journal is at hand."""
    language_facts: LanguageFacts | None = None
    """What the user told of languages; its languages are some of the sweep's."""
    _made: dict[str, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What `make` gives: made when it is first asked for under this key, and kept for the formats that follow."""
        if key not in self._made:
            self._made[key] = make()
        return cast("T", self._made[key])

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """One for each task and source language, in the order of the file."""
        groups: dict[tuple[str, str], list[ArmResult]] = {}
        for arm in self.arms:
            groups.setdefault((arm.task.name, arm.source), []).append(arm)
        return tuple(Comparison(task=task, source=source, arms=tuple(a)) for (task, source), a in groups.items())

    @property
    def is_target_dev(self) -> bool:
        """Whether target-language dev was the objective."""
        return self.sweep.selection == "target_dev"

    @property
    def is_finished(self) -> bool:
        """Whether the sweep has nothing left to do."""
        return bool(self.arms) and all(arm.progress.is_done for arm in self.arms)

    def arm(self, name: str) -> ArmResult:
        """The arm called `name`.

        Raises:
            ConfigError: there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        known = [arm.name for arm in self.arms]
        raise ConfigError(f"sweep {self.sweep.name!r} has no arm {name!r}; {nearest(name, known)}")


def read(
    record: SweepRecord, folder: SweepFolder | None = None, *, language_facts: LanguageFacts | None = None
) -> SweepResult:
    """Read a record; it may be of a sweep in any state, and is not changed.

    Args:
        record: what the journal tells.
        folder: of the sweep, for what was predicted; None: the journal is all there is.
        language_facts: figures of languages, which the analysis of differences between languages takes.

    Raises:
        ConfigError: no sweep was launched, or the facts are of none of its languages.
    """
    progress = SweepProgress(record)
    sweep = record.sweep
    arms = tuple(_arm_result(record, progress, arm, folder) for arm in sweep.arms)
    if language_facts is not None:
        language_facts.require_some_of(each for arm in arms for each in (arm.source, *arm.targets))
    return SweepResult(
        record=record,
        sweep=sweep,
        arms=arms,
        stopped_by_budget=progress.stopped_by_budget(),
        folder=folder,
        language_facts=language_facts,
    )


def _arm_result(record: SweepRecord, progress: SweepProgress, arm: Arm, folder: SweepFolder | None) -> ArmResult:
    found, finalise = record.arm(arm.name), progress.sweep.finalise
    top, race = found.top(finalise.top), progress.race(arm)
    asked = {p.point_id: tuple(race.asked(place)) for place, p in enumerate(race.points)} if race else {}

    def replicates(point_id: str) -> tuple[Replicate, ...]:
        return progress.sweep.on_final_draws(arm, asked.get(point_id, finalise.seeds))

    points: Mapping[str, Point] = {point.point_id: point for point in (*reversed(found.points), *top)}
    tested = [
        final
        for point_id, point in points.items()
        if (final := final_point(point, record.replicates[point_id], replicates(point_id))) is not None
    ]
    winner = race.winner if race is not None else None

    def place(final: FinalPoint) -> tuple[bool, int, float, int]:
        # The mean of the seeds that a point survived says nothing of those on which it failed.
        is_other = winner is None or final.number != winner.number
        return is_other, final.num_failed, -final.dev.mean, final.number

    tested.sort(key=place)
    top_numbers = {point.number for point in top}
    return ArmResult(
        arm=arm,
        record=found,
        progress=progress.arm(arm),
        tested=tuple(tested),
        best=next((final for final in tested if final.number in top_numbers), None),
        finals=tuple(progress.finals(arm)),
        race=race,
        limits=tuple(progress.spending.limits(arm)),
        folder=folder,
    )
