"""How far a sweep is: what the search and finalising have done and still lack, and how long that takes.

The search itself, the live display, ``status`` and every report ask here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tunekit.journal.points import ArmRecord, Point
from tunekit.journal.racing import ArmRace, Races
from tunekit.journal.record import SweepRecord
from tunekit.journal.spending import ENDED, Spending
from tunekit.journal.trial_record import TrialRecord
from tunekit.sweep import Arm, Sweep
from tunekit.trial import Replicate


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
    num_paused: int = 0
    """Trials that the budget has stopped; they go on if it is raised."""
    num_partial: int = 0
    """Points without all seeds and draws of the search, since the budget had no room for them."""
    num_final_cut: int = 0
    """Trials of the finalised points that the budget has no room for."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do that the budget allows."""
        return not self.is_search_open and self.num_final + self.num_final_cut == self.num_final_asked

    @property
    def lacks_budget(self) -> bool:
        """Whether the budget kept the arm from points of its search, from ending trials, or from finalising."""
        has_cut = self.num_paused or self.num_partial or self.num_final_cut
        return not self.is_search_open and (self.num_points < self.num_points_asked or bool(has_cut))


@dataclass(frozen=True, kw_only=True)
class FinalTrial:
    """A trial that finalising asks for."""

    point: Point
    replicate: Replicate
    trial: TrialRecord | None
    """None if it was not created yet. Another point or another arm may have drawn it."""
    test: bool = True
    """Whether it is to be scored on test; not as long as the points of its arm race."""

    @property
    def is_over(self) -> bool:
        """Whether it was scored on test, or cannot be; if it is not to be, whether it was trained."""
        if self.trial is None:
            return False
        return self.is_ended(self.trial) or (not self.test and self.trial.state == "COMPLETE")

    @staticmethod
    def is_ended(trial: TrialRecord) -> bool:
        """The same for a trial that there is."""
        return trial.state in ("FAILED", "PRUNED") or trial.test_scores is not None


class SweepProgress:
    """How far a sweep is, asked at any moment.

    Args:
        record: followed, not copied.
        sweep: as it is to be run; that of the record if not given.
    """

    def __init__(self, record: SweepRecord, sweep: Sweep | None = None) -> None:
        self.record = record
        self.sweep = sweep or record.sweep
        self.spending = Spending(record, self.sweep)
        self._races = Races(record, self.sweep)
        self._num_points = {arm.name: self.sweep.num_points(arm) for arm in self.sweep.arms}

    def num_points_asked(self, arm: Arm) -> int:
        """Points that the search draws for `arm`."""
        return self._num_points[arm.name]

    def num_open_points(self, arm: Arm) -> int:
        """Points that `arm` may draw now within the points asked for and its share of the budget."""
        found, budget = self._of(arm), self.sweep.budget
        wanted: float = self._num_points[arm.name] - len(found.points)
        if budget.trials is not None:
            left = budget.trials // len(self.sweep.arms) - found.num_searched - found.num_owed
            wanted = min(wanted, math.ceil(left / self.sweep.num_replicates(arm)))  # the last may go a little over
        return int(min(wanted, self.spending.num_fitting(arm))) if wanted > 0 else 0

    def has_room(self, arm: Arm) -> bool:
        """Whether `arm` may draw another point now."""
        return self.num_open_points(arm) > 0

    def is_arm_open(self, arm: Arm) -> bool:
        """Whether the search of `arm` has trials to run or to draw."""
        found = self._of(arm)
        if self.spending.search_left_s(arm) <= 0:  # what runs is heard to its next report
            running = (trial for trial in found.running.values() if trial.phase == "search")
            return any(trial.trial_id in self.record.taken or self.spending.may_run(trial) for trial in running)
        return found.num(phase="search", state="RUNNING") > 0 or bool(found.wanting) or self.has_room(arm)

    @property
    def is_search_open(self) -> bool:
        """Whether the search of any arm has trials to run or to draw; finalising begins when it has not."""
        return any(self.is_arm_open(arm) for arm in self.sweep.arms)

    def finals(self, arm: Arm) -> Iterator[FinalTrial]:
        """What finalising asks for of `arm`, as the search left it: each of its best points on each seed and draw.

        Where points race: on the seeds that the race has given them so far, and on test once it is over.
        """
        race, seeds = self.race(arm), self.sweep.finalise.seeds
        test = race is None or race.is_over
        for place, point in enumerate(self._of(arm).top(self.sweep.finalise.top)):
            found = self.record.replicates[point.point_id]
            for replicate in self.sweep.on_final_draws(arm, seeds if race is None else race.asked(place)):
                yield FinalTrial(point=point, replicate=replicate, trial=found.get(replicate), test=test)

    def race(self, arm: Arm) -> ArmRace | None:
        """How the points of `arm` race for further seeds; None where they do not.

        It is cut, and over, where the budget has no room for any trial that it waits for.
        """
        found = self._races.of(arm)
        if found is None or found.is_over or not found.points or self.is_search_open:
            return found
        lacking = list(self._races.lacking(arm, found))
        if any(self._may_train(arm, trial) for trial in lacking):
            return found
        return self._races.of(arm, is_cut=True)

    def may_test(self, arm: Arm) -> bool:
        """Whether finalising may score trials of `arm` on test; not as long as its points race."""
        race = self.race(arm)
        return race is None or race.is_over

    def _may_train(self, arm: Arm, trial: TrialRecord | None) -> bool:
        """Whether a trial that a race waits for can still come; one that runs is heard to its next report."""
        if trial is None:
            return self.spending.may_begin(arm)
        return trial.trial_id in self.record.taken or self.spending.may_run(trial)

    def arm(self, arm: Arm) -> ArmProgress:
        """How far `arm` is."""
        finals, is_open = list(self.finals(arm)), self.is_arm_open(arm)
        paused = [trial for trial in self._of(arm).running.values() if not self.spending.may_run(trial)]
        is_search_open = self.is_search_open
        return ArmProgress(
            num_points=len(self._of(arm).points),
            num_points_asked=self._num_points[arm.name],
            is_search_open=is_open,
            num_final=sum(final.is_over for final in finals),
            num_final_asked=0 if is_search_open else len(finals),
            num_paused=0 if is_open else len(paused),
            num_partial=0 if is_open else len(self._of(arm).wanting),
            num_final_cut=0 if is_search_open else sum(not self.may_finalise(arm, final.trial) for final in finals),
        )

    def may_finalise(self, arm: Arm, trial: TrialRecord | None) -> bool:
        """Whether the budget lets finalising go on with a trial of `arm`, None if it is yet to be made; or it is over.

        A trial of the search that was stopped by the budget is not trained on the reserve.
        """
        if trial is not None and (FinalTrial.is_ended(trial) or (trial.phase, trial.state) == ("finalise", "COMPLETE")):
            return True  # what has just been trained for it is scored in the same go
        if trial is None:
            return self.spending.may_begin(arm)
        return self.spending.left_s(arm) > 0 and (trial.state != "RUNNING" or self.spending.may_run(trial))

    def stopped_by_budget(self) -> str | None:
        """Why the sweep ended before all that its file asks for, in words; None if no limit ended it."""
        if not any(self.arm(arm).lacks_budget for arm in self.sweep.arms):
            return None
        return f"stopped by budget: {self.spending.in_words()}"

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
        """Trials of `arm` that are scored on test, if its search finds enough points; a race adds to them."""
        top, replicates = min(self.sweep.finalise.top, self._num_points[arm.name]), self.sweep.final_replicates(arm)
        if self.sweep.finalise.race is None:
            return top * len(replicates)
        asked = 0 if self.is_search_open else sum(1 for _ in self.finals(arm))
        return max(asked, (top + 1) * len(replicates))

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
        searching = min(searching, max(0.0, self.spending.search_left_s(arm)))
        anew = self.sweep.num_finals_anew(arm) / len(self.sweep.final_replicates(arm))
        to_finalise = round(self.num_finals_planned(arm) * anew) - self._num_ended(arm, "finalise")
        return searching + min(max(0, to_finalise) * whole, max(0.0, self.spending.left_s(arm) - searching))

    def _num_ended(self, arm: Arm, phase: str) -> int:
        return sum(self._of(arm).num(phase=phase, state=state) for state in ENDED)

    def _of(self, arm: Arm) -> ArmRecord:
        return self.record.arm(arm.name)
