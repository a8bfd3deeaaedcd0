"""How far a sweep is: what the search and finalising have done and still lack, and how long that takes.

The search itself, the live display, ``status`` and every report ask here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tunekit.journal.points import ArmRecord, Point
from tunekit.journal.record import SweepRecord
from tunekit.journal.trial_record import TrialRecord
from tunekit.sweep import Arm, Sweep
from tunekit.trial import Replicate

ENDED = ("COMPLETE", "PRUNED", "FAILED")
"""States of a trial that runs no more."""


@dataclass(frozen=True, kw_only=True)
class ArmProgress:
    """How far one arm is."""

    num_points: int
    """Points that the search has drawn."""
    num_points_asked: int
    is_search_open: bool
    """Whether the search has trials to run or to draw."""
    num_final: int
    """Trials of the finalised points that are over: scored on test, or failed."""
    num_final_asked: int
    """0 until the search is over, since the points are not known before."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.is_search_open and self.num_final == self.num_final_asked


@dataclass(frozen=True, kw_only=True)
class FinalTrial:
    """A trial that finalising asks for."""

    point: Point
    replicate: Replicate
    trial: TrialRecord | None
    """None if it was not created yet. Another point or another arm may have drawn it."""

    @property
    def is_over(self) -> bool:
        """Whether it was scored on test, or cannot be."""
        trial = self.trial
        return trial is not None and (trial.state in ("FAILED", "PRUNED") or trial.test_scores is not None)


class SweepProgress:
    """How far a sweep is, asked at any moment.

    Args:
        record: followed, not copied.
        sweep: as it is to be run; that of the record if not given.
    """

    def __init__(self, record: SweepRecord, sweep: Sweep | None = None) -> None:
        self.record = record
        self.sweep = sweep or record.sweep
        self._num_points = {arm.name: self.sweep.num_points(arm) for arm in self.sweep.arms}

    def num_points_asked(self, arm: Arm) -> int:
        """Points that the search draws for `arm`."""
        return self._num_points[arm.name]

    def has_room(self, arm: Arm) -> bool:
        """Whether `arm` may draw another point within the points asked for and its share of the budget."""
        found = self._of(arm)
        if len(found.points) >= self._num_points[arm.name]:
            return False
        spent_s, num_arms = found.spent_s["search"], len(self.sweep.arms)
        return self.sweep.budget.allows(num_trials=found.num_searched, duration_s=spent_s, num_arms=num_arms)

    def is_arm_open(self, arm: Arm) -> bool:
        """Whether the search of `arm` has trials to run or to draw."""
        found = self._of(arm)
        return found.num(phase="search", state="RUNNING") > 0 or bool(found.wanting) or self.has_room(arm)

    @property
    def is_search_open(self) -> bool:
        """Whether the search of any arm has trials to run or to draw; finalising begins when it has not."""
        return any(self.is_arm_open(arm) for arm in self.sweep.arms)

    def finals(self, arm: Arm) -> Iterator[FinalTrial]:
        """What finalising asks for of `arm`, as the search left it: each of its best points on each seed and draw."""
        for point in self._of(arm).top(self.sweep.finalise.top):
            found = self.record.replicates[point.point_id]
            for replicate in self.sweep.final_replicates(arm):
                yield FinalTrial(point=point, replicate=replicate, trial=found.get(replicate))

    def arm(self, arm: Arm) -> ArmProgress:
        """How far `arm` is."""
        finals = list(self.finals(arm))
        return ArmProgress(
            num_points=len(self._of(arm).points),
            num_points_asked=self._num_points[arm.name],
            is_search_open=self.is_arm_open(arm),
            num_final=sum(final.is_over for final in finals),
            num_final_asked=0 if self.is_search_open else len(finals),
        )

    @property
    def is_finished(self) -> bool:
        """Whether the sweep has nothing left to do."""
        return bool(self.sweep.arms) and all(self.arm(arm).is_done for arm in self.sweep.arms)

    def num_trials_planned(self, arm: Arm) -> int:
        """Search trials of `arm`: every point on every seed and draw, within the budget's share of trials."""
        planned = self._num_points[arm.name] * self.sweep.num_replicates(arm)
        budget = self.sweep.budget.trials
        return planned if budget is None else min(planned, budget // len(self.sweep.arms))

    def num_finals_planned(self, arm: Arm) -> int:
        """Trials of `arm` that are scored on test, if its search finds enough points."""
        return min(self.sweep.finalise.top, self._num_points[arm.name]) * len(self.sweep.final_replicates(arm))

    @property
    def spent_s(self) -> float:
        """Seconds of training and dev evaluation in the epochs reported, of all trials."""
        return sum(sum(found.spent_s.values()) for found in self.record.arms.values())

    def left_s(self) -> float | None:
        """Seconds of training and dev evaluation that are left, by what trials have taken so far.

        None before the first trial has ended.
        """
        number = sum(found.ended.total() for found in self.record.arms.values())
        if not number:
            return None
        typical = sum(sum(found.ended_s.values()) for found in self.record.arms.values()) / number
        return sum(self._left_s(arm, typical) for arm in self.sweep.arms)

    def _left_s(self, arm: Arm, typical: float) -> float:
        """Seconds that `arm` still needs; what it does not know of itself is `typical`."""
        found = self._of(arm)
        mean = found.mean_duration_s(*(("search", state) for state in ENDED)) or typical
        whole = found.mean_duration_s(("search", "COMPLETE"), ("finalise", "COMPLETE")) or mean
        to_search = self.num_trials_planned(arm) - self._num_ended(arm, "search")
        running = (trial for trial in found.running.values() if trial.phase == "search")
        searching = max(0.0, max(0, to_search) * mean - sum(min(trial.duration_s, mean) for trial in running))
        if self.sweep.budget.hours is not None:
            share = self.sweep.budget.hours * 3600 / len(self.sweep.arms)
            searching = min(searching, max(0.0, share - found.spent_s["search"]))
        anew = self.sweep.num_finals_anew(arm) / len(self.sweep.final_replicates(arm))
        to_finalise = round(self.num_finals_planned(arm) * anew) - self._num_ended(arm, "finalise")
        return searching + max(0, to_finalise) * whole

    def _num_ended(self, arm: Arm, phase: str) -> int:
        return sum(self._of(arm).num(phase=phase, state=state) for state in ENDED)

    def _of(self, arm: Arm) -> ArmRecord:
        return self.record.arm(arm.name)
