"""What a journal's record adds up to for a reader: arms, their best points, and scores over seeds.

The best point of an arm is, among its finalised points, the one with the highest mean dev objective over the seeds of
finalising; of equals the one drawn first. Test scores take no part in it. Every renderer reads from here, so that no
two of them can disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from statistics import fmean
from typing import Any

from tunekit.errors import ConfigError, nearest
from tunekit.journal import SweepRecord, TrialRecord
from tunekit.journal.points import Point, points_of, top_points
from tunekit.reports.definition import (
    ArmDefinition,
    Definition,
    dimensions,
    fixed_parameters,
    num_points_asked,
    read_definition,
)
from tunekit.reports.scores import FinalPoint, final_point
from tunekit.sweep import Dimension
from tunekit.trial import EpochReport


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One arm: what it is, what it tried, what came out, what it cost."""

    definition: ArmDefinition
    num_points_asked: int
    trials: tuple[TrialRecord, ...]
    tested: tuple[FinalPoint, ...]
    """Every point with test scores, best on dev first."""
    best: FinalPoint | None
    """The reported one: the first of `tested` that is still among the arm's top points."""
    finals: tuple[tuple[Point, int, TrialRecord | None], ...]
    """What finalising asks for: top point, seed, and its trial if there is one (which another point may have drawn)."""

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.definition.name

    @property
    def config(self) -> dict[str, Any] | None:
        """A resolved TrialConfig of the arm; None before its first trial."""
        return self.trials[0].config if self.trials else None

    @property
    def task(self) -> Mapping[str, Any]:
        """The keys of TaskConfig."""
        task: Mapping[str, Any] = self.config["task"] if self.config else self.definition.task
        return task

    @property
    def source(self) -> str:
        """The source language."""
        return str(self.task.get("source_language", "en"))

    @property
    def targets(self) -> tuple[str, ...]:
        """The target languages."""
        return tuple(self.task.get("target_languages") or ())

    @cached_property
    def metric(self) -> str:
        """The task's main metric: the one that the objective is made of."""
        reports = [(trial, report) for trial in self.trials for report in trial.reports.values()]
        names = dict.fromkeys(key.split("/")[-1] for _, r in reports[:1] for key in r.metrics if key.startswith("dev/"))
        return next(
            (name for name in names if all(_is_objective(name, report, trial.config) for trial, report in reports)),
            str(self.task.get("metric") or next(iter(names), "score")),
        )

    @cached_property
    def space(self) -> tuple[Dimension, ...]:
        """The searched parameters."""
        return dimensions(self.definition, self.config)

    @property
    def fixed(self) -> dict[str, Any]:
        """The parameters that the file fixes."""
        return fixed_parameters(self.definition, self.config)

    @property
    def points(self) -> list[Point]:
        """All points, in the order in which they were drawn."""
        return points_of(self.trials)

    @property
    def searched(self) -> tuple[TrialRecord, ...]:
        """The trials of the search, finalising left out."""
        return tuple(trial for trial in self.trials if trial.phase == "search")

    @property
    def leader(self) -> Point | None:
        """The best point of the search, by dev on the search's seeds."""
        return next(iter(top_points(self.trials, 1)), None)

    def num_searched(self, state: str) -> int:
        """Search trials in a state."""
        return Counter(trial.state for trial in self.searched)[state]

    @property
    def best_so_far(self) -> float | None:
        """The best dev objective that any trial of the search has reported."""
        return max((t.best_so_far for t in self.searched if t.best_so_far is not None), default=None)

    @property
    def measured_trial(self) -> TrialRecord | None:
        """A trial of the reported point, else of the leading one, else any with an outcome: what to read facts from."""
        leading = self.leader.trials if self.leader else ()
        candidates = (*(self.best.trials if self.best else ()), *leading, *self.trials)
        return next((t for t in candidates if t.outcome and t.outcome.num_backbone_parameters), None)

    @property
    def facts(self) -> list[Mapping[str, Any]]:
        """What each finished trial said of its data and machine; empty for one that the driver stopped."""
        return [trial.outcome.facts for trial in self.trials if trial.outcome]

    def duration_s(self, phase: str) -> float:
        """Seconds of training and dev evaluation in the epochs reported, summed over trials of a phase."""
        return sum(trial.duration_s for trial in self.trials if trial.phase == phase)

    def num_updates(self, phase: str) -> int | None:
        """Optimiser updates in the epochs reported; of trials that were stopped, counted from their epochs.

        None if there is no telling: nothing has finished that says how many rows train has.
        """
        counts = [self._updates(trial) for trial in self.trials if trial.phase == phase]
        return None if None in counts else sum(count or 0 for count in counts)

    def _updates(self, trial: TrialRecord) -> int | None:
        if trial.outcome and trial.outcome.num_updates:
            return trial.outcome.num_updates
        training = trial.config["training"]
        rows = self._num_rows(trial)
        if training.get("updates_per_epoch"):
            return len(trial.reports) * int(training["updates_per_epoch"])
        if rows is None:
            return None if trial.reports else 0
        return len(trial.reports) * ceil(rows / int(training["batch_size"]))

    def _num_rows(self, trial: TrialRecord) -> int | None:
        """Rows of train, from a finished trial of the same `max_length` if there is one (windows depend on it)."""
        known = [t for t in self.trials if t.outcome and "num_train_rows" in t.outcome.facts]
        length = trial.config["training"]["max_length"]
        known.sort(key=lambda t: t.config["training"]["max_length"] != length)
        return next((int(t.outcome.facts["num_train_rows"]) for t in known if t.outcome), None)


def _is_objective(metric: str, report: EpochReport, config: Mapping[str, Any]) -> bool:
    """Whether the report's objective is the mean of this metric over the languages that select."""
    task = config["task"]
    languages = [task["source_language"]] if config["selection"] == "source_dev" else task["target_languages"]
    scores = [report.metrics.get(f"dev/{language}/{metric}") for language in languages]
    found = [score for score in scores if score is not None]
    return bool(found) and len(found) == len(scores) and abs(fmean(found) - report.value) < 1e-9


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The arms of one task and source language: one table."""

    task: str
    source: str
    arms: tuple[ArmResult, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        """The source, then every arm's targets, in the order of the file."""
        return tuple(dict.fromkeys([self.source, *(language for arm in self.arms for language in arm.targets)]))

    @property
    def metric(self) -> str:
        """The task's main metric, which only an arm that has reported an epoch knows."""
        return next((arm.metric for arm in self.arms if any(trial.reports for trial in arm.trials)), "score")


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """A whole sweep, read."""

    record: SweepRecord
    definition: Definition
    arms: tuple[ArmResult, ...]

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """One for each task and source language, in the order of the file."""
        groups: dict[tuple[str, str], list[ArmResult]] = {}
        for arm in self.arms:
            groups.setdefault((str(arm.task.get("name", "?")), arm.source), []).append(arm)
        return tuple(Comparison(task=task, source=source, arms=tuple(a)) for (task, source), a in groups.items())

    @property
    def is_target_dev(self) -> bool:
        """Whether target-language dev was the objective."""
        return self.definition.selection == "target_dev"

    def arm(self, name: str) -> ArmResult:
        """The arm called `name`.

        Raises:
            ConfigError: there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        known = [arm.name for arm in self.arms]
        raise ConfigError(f"sweep {self.definition.name!r} has no arm {name!r}; {nearest(name, known)}")


def read(record: SweepRecord) -> SweepResult:
    """Read a record; it may be of a sweep in any state, and is not changed."""
    definition = read_definition(record.definition)
    return SweepResult(
        record=record,
        definition=definition,
        arms=tuple(_arm_result(record, definition, arm) for arm in definition.arms.values()),
    )


def _arm_result(record: SweepRecord, definition: Definition, arm: ArmDefinition) -> ArmResult:
    trials = tuple(record.arm(arm.name))
    finalise = definition.finalise
    top = top_points(trials, finalise.top)
    by_point: dict[str, dict[int, TrialRecord]] = {}
    for trial in record.trials.values():  # of all arms: a configuration that two arms share is run once
        by_point.setdefault(trial.point_id, {})[trial.seed] = trial
    points = {point.trials[0].point_id: point for point in (*reversed(points_of(trials)), *top)}
    tested = [
        final
        for pid, point in points.items()
        if (final := final_point(point, by_point[pid], finalise.seeds)) is not None
    ]
    tested.sort(key=lambda final: (-final.dev.mean, final.number))
    top_numbers = {point.number for point in top}
    return ArmResult(
        definition=arm,
        num_points_asked=num_points_asked(definition, dimensions(arm, trials[0].config if trials else None)),
        trials=trials,
        tested=tuple(tested),
        best=next((final for final in tested if final.number in top_numbers), None),
        finals=tuple(
            (point, seed, by_point[point.trials[0].point_id].get(seed)) for point in top for seed in finalise.seeds
        ),
    )
