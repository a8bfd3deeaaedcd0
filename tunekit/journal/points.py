"""What an arm's trials add up to: points, and which of them are best. Kept up to date event by event.

A point is a configuration without its seed and its draw of the data. Each event costs the same whatever the number of
trials before it. A point that was drawn several times is ranked once, by all of its trials
(:mod:`tunekit.journal.ranking`).
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tunekit.journal.ranking import Point, Ranking
from tunekit.journal.trial_record import TrialRecord
from tunekit.schema import Values
from tunekit.sweep import Spent
from tunekit.trial import EpochReport, Replicate

__all__ = ["ArmRecord", "Point", "top_points"]


@dataclass
class ArmRecord:
    """The trials of one arm and what they add up to. Mutated by :class:`tunekit.journal.record.SweepRecord` alone."""

    name: str
    trials: list[TrialRecord] = field(default_factory=list)
    """In the order of creation."""
    points: list[Point] = field(default_factory=list)
    """By number: in the order in which they were drawn."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Trials by phase and state."""
    running: dict[str, TrialRecord] = field(default_factory=dict)
    """By trial_id."""
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Trials that have ended after at least one epoch, by phase and state."""
    ended_s: dict[tuple[str, str], float] = field(default_factory=dict)
    """Seconds that they took, summed."""
    best_so_far: float | None = None
    """The best dev objective that any trial of the search has reported."""
    spent_s: dict[str, float] = field(default_factory=lambda: {"search": 0.0, "finalise": 0.0})
    """Seconds of training and dev evaluation in the epochs reported, by phase."""
    spent: dict[str, Spent] = field(default_factory=lambda: dict.fromkeys(("search", "finalise", "test"), Spent()))
    """What counts towards the budget: the same by phase, and what scoring test took."""
    num_epochs: int = 0
    """Epochs reported by trials of the search."""
    num_tested: int = 0
    """Trials scored on test."""
    wanting: list[int] = field(default_factory=list)
    """Numbers of the points that still need a trial on another seed or draw, ascending."""
    num_owed: int = 0
    """Trials that the points begun will still need: their other seeds and draws, unless they are stopped or fail."""
    _ranking: Ranking = field(default_factory=Ranking)

    @property
    def num_searched(self) -> int:
        """Trials of the search, whatever their state."""
        return sum(self.num(phase="search", state=state) for state in ("RUNNING", "COMPLETE", "PRUNED", "FAILED"))

    def num(self, *, phase: str, state: str) -> int:
        """Trials of a phase in a state."""
        return self.counts[phase, state]

    def top(self, number: int) -> list[Point]:
        """The best `number` points by the dev objective of their search trials, best first; each configuration once.

        A point that was drawn several times holds the trials of all draws and the number of the first. One that lacks
        a seed or a draw, as where the budget ended the search, comes after all that lack none: it had fewer chances to
        be unlucky.
        """
        best = self._ranking.best(number + len(self.wanting))
        wanting = set(self.wanting)
        return sorted(best, key=lambda point: point.number in wanting)[:number]

    def add(self, trial: TrialRecord, sampler: Values, asked: Sequence[Replicate]) -> None:
        """Take a new trial; `asked` is what every point of the arm runs on in the search."""
        self.trials.append(trial)
        self.counts[trial.phase, trial.state] += 1
        self.running[trial.trial_id] = trial
        if trial.number == len(self.points):
            params = {key: value for key, value in trial.params.items() if key != "seed"}
            self.points.append(Point(trial.number, trial.point_id, params, sampler))
        point = self.points[trial.number]
        if trial.phase != "search":
            point.finals.append(trial)
            self._ranking.finalise(point, trial)
            return
        self._leave(point, asked)
        point.trials.append(trial)
        self._ranking.add(point, trial)
        self._enter(point, asked)

    def change(self, trial: TrialRecord, state: str, asked: Sequence[Replicate]) -> None:
        """Set a trial's state, and put its point where it now belongs."""
        point = self.points[trial.number]
        is_ranked = trial.phase == "search"
        if is_ranked:
            self._leave(point, asked)
        self._count(trial, -1)
        trial.state = state
        self._count(trial, 1)
        if is_ranked:
            self._enter(point, asked)

    def _count(self, trial: TrialRecord, sign: int) -> None:
        key = trial.phase, trial.state
        self.counts[key] += sign
        if trial.state == "RUNNING":
            self.running.pop(trial.trial_id, None)
            if sign > 0:
                self.running[trial.trial_id] = trial
        elif trial.reports:
            self.ended[key] += sign
            self.ended_s[key] = self.ended_s.get(key, 0.0) + sign * trial.duration_s

    @property
    def spent_in_all(self) -> Spent:
        """What its search, its finalising and its tests have used."""
        return self.spent["search"] + self.spent["finalise"] + self.spent["test"]

    def test(self, duration_s: float, *, gpu: float) -> None:
        """Take a trial's test; it took `gpu` GPUs."""
        self.num_tested += 1
        self.spent["test"] += Spent(duration_s, duration_s * gpu)

    def report(self, trial: TrialRecord, report: EpochReport, *, gpu: float = 0.0) -> None:
        """Take a trial's report of an epoch; it took `gpu` GPUs."""
        if report.epoch not in trial.reports:
            self.spent_s[trial.phase] += report.duration_s
            self.spent[trial.phase] += Spent(report.duration_s, report.duration_s * gpu)
            self.num_epochs += trial.phase == "search"
        trial.reports[report.epoch] = report
        if trial.phase == "search" and (self.best_so_far is None or report.value > self.best_so_far):
            self.best_so_far = report.value

    def mean_duration_s(self, *keys: tuple[str, str]) -> float | None:
        """Mean seconds of the trials that have ended in these phases and states; None if there are none."""
        number = sum(self.ended[key] for key in keys)
        return sum(self.ended_s.get(key, 0.0) for key in keys) / number if number else None

    def _leave(self, point: Point, asked: Sequence[Replicate]) -> None:
        """Take the point out of the ranking and of those that want a seed, before it changes."""
        if not point.trials:
            return
        self._ranking.leave(point)
        self.num_owed -= len(point.owed(asked))
        if point.missing(asked) is not None:
            del self.wanting[bisect.bisect_left(self.wanting, point.number)]

    def _enter(self, point: Point, asked: Sequence[Replicate]) -> None:
        self._ranking.enter(point)
        self.num_owed += len(point.owed(asked))
        if point.missing(asked) is not None:
            bisect.insort(self.wanting, point.number)


def top_points(trials: Sequence[TrialRecord], number: int) -> list[Point]:
    """The best `number` points of the trials of one arm, best first; see `ArmRecord.top`.

    Args:
        trials: in the order of their creation; points are numbered from 0 in the order in which they were drawn.
        number: of points, at most.
    """
    arm = ArmRecord(trials[0].arm if trials else "")
    asked = tuple(dict.fromkeys(trial.replicate for trial in trials))
    for trial in trials:
        arm.add(trial, {}, asked)
    return arm.top(number)
