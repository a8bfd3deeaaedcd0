"""What a sweep has spent of its budget, and what its arms may still do with it.

Computed from the journal alone: from the seconds that trials report, never from a clock of the driver. A sweep that was
killed and resumed therefore stops where an undisturbed one would have.

The end is soft first: no new point is drawn that would not fit, by the mean trial of its arm. Then it is hard: at its
next report a trial that runs is given back with its checkpoint. What its search leaves, an arm keeps for finalising.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tunekit.journal.points import ArmRecord
from tunekit.journal.record import SweepRecord
from tunekit.journal.trial_record import TrialRecord
from tunekit.sweep import Arm, Limit, Spent, Sweep

ENDED = ("COMPLETE", "PRUNED", "FAILED")
"""States of a trial that runs no more."""


class Spending:
    """A sweep's budget, asked at any moment. Each question costs the same whatever the number of trials.

    Args:
        record: followed, not copied.
        sweep: as it is to be run.
    """

    def __init__(self, record: SweepRecord, sweep: Sweep) -> None:
        self._record, self._sweep = record, sweep
        self._budget, self._num_arms = sweep.budget, len(sweep.arms)
        self._planned = {arm.name: sweep.num_points(arm) for arm in sweep.arms}

    def left_s(self, arm: Arm) -> float:
        """Seconds of a worker that `arm` may still spend in all; infinite without a limit of time or money."""
        return self._budget.left_s(self._of(arm).spent_in_all, self._sweep.rates, part=1 / self._num_arms)

    def search_left_s(self, arm: Arm) -> float:
        """Seconds of a worker that the search of `arm` may still spend.

        The reserve is held against what the search spends, not against finalising: that does not open a search again.
        """
        if not self._budget.is_timed:
            return math.inf
        left_s = self._budget.search_left_s(
            self._of(arm).spent["search"],
            self._sweep.rates,
            num_arms=self._num_arms,
            finalising_s=self.finalising_s(arm),
        )
        return min(left_s, self.left_s(arm))

    def finalising_s(self, arm: Arm) -> float:
        """Seconds that finalising `arm` will take, by its search: trials to train, and a test that takes an epoch.

        Of a race: what two points need that run on all its seeds. 0 before the first epoch.
        """
        top, found = min(self._sweep.finalise.top, self._planned[arm.name]), self._of(arm)
        if not top or not found.num_epochs:
            return 0.0
        anew, tested = self._sweep.num_finals_anew(arm), len(self._sweep.final_replicates(arm))
        whole_s, test_s = self._whole_s(found) or 0.0, self._test_s(found)
        return top * (anew * whole_s + tested * test_s) + self._sweep.num_raced(min(2, top)) * (whole_s + test_s)

    @staticmethod
    def _test_s(found: ArmRecord) -> float:
        """Seconds that scoring test is taken for: those of an epoch."""
        return found.spent["search"].worker_s / found.num_epochs if found.num_epochs else 0.0

    def num_fitting(self, arm: Arm) -> float:
        """New points of `arm` that the rest of its share has room for, by its mean trial; infinite without a limit.

        What its running trials will still take is put aside. Before anything is known there is room for all.
        """
        left_s, found = self.search_left_s(arm), self._of(arm)
        if left_s == math.inf or left_s <= 0:
            return max(0.0, left_s)
        trial_s = found.mean_duration_s(*(("search", state) for state in ENDED)) or self._whole_s(found)
        if not trial_s:
            return math.inf
        ended_s = sum(found.ended_s.get(("search", state), 0.0) for state in ENDED)
        running_s = found.num(phase="search", state="RUNNING") * trial_s - (found.spent_s["search"] - ended_s)
        begun_s = max(0.0, running_s) + found.num_owed * trial_s
        return max(0, math.floor((left_s - begun_s) / (trial_s * self._sweep.num_replicates(arm))))

    def training_left_s(self, arm: Arm) -> float:
        """Seconds of a worker that finalising may still train trials of `arm`.

        Trials that race are scored on test all together, after the race: what that takes is put aside. Neither what
        the tests then take nor how many are done changes this, so that a race that was cut stays cut.
        """
        found, finalise = self._of(arm), self._sweep.finalise
        if finalise.race is None or not self._budget.is_timed:
            return self.left_s(arm)
        spent = found.spent["search"] + found.spent["finalise"]
        left_s = self._budget.left_s(spent, self._sweep.rates, part=1 / self._num_arms)
        searched = len(self._sweep.final_replicates(arm)) - self._sweep.num_finals_anew(arm)
        trained = sum(found.num(phase="finalise", state=state) for state in ("COMPLETE", "RUNNING"))
        return left_s - (trained + searched * min(finalise.top, self._planned[arm.name])) * self._test_s(found)

    def may_begin(self, arm: Arm) -> bool:
        """Whether the budget lets finalising begin another trial of `arm`."""
        left_s = self.training_left_s(arm)
        return left_s > (self._test_s(self._of(arm)) if self._sweep.finalise.race is not None else 0.0)

    def may_run(self, trial: TrialRecord) -> bool:
        """Whether the budget lets a trial go on; one that has trained all its epochs is let to its end."""
        if max(trial.reports, default=0) >= trial.num_epochs:
            return True
        arm = self._sweep.arm(trial.arm)
        return (self.search_left_s(arm) if trial.phase == "search" else self.training_left_s(arm)) > 0

    def limits(self, arm: Arm | None = None) -> list[Limit]:
        """Each limit of time and money with what was spent of it: of `arm` and its share, or of the whole sweep."""
        if arm is not None:
            limits = self._budget.limits(self._of(arm).spent_in_all, self._sweep.rates)
            return [replace(limit, total=limit.total / self._num_arms) for limit in limits]
        spent = sum((found.spent_in_all for found in self._record.arms.values()), Spent())
        return list(self._budget.limits(spent, self._sweep.rates))

    def in_words(self) -> str:
        """The limit that is nearest to its end, such as ``12.0 of 12 GPU-hours``."""
        limits = self.limits()
        if self._budget.trials is not None:
            used = sum(arm.num_searched for arm in self._record.arms.values())
            limits.append(Limit(unit="search trials", total=self._budget.trials, used=used, per_hour=1.0))
        return str(max(limits, key=lambda limit: limit.used / limit.total)) if limits else "no limit"

    def _whole_s(self, found: ArmRecord) -> float | None:
        """Seconds of a trial that is not stopped early: the mean of the COMPLETE ones, else by the epochs so far."""
        mean = found.mean_duration_s(("search", "COMPLETE"))
        if mean is not None or not found.num_epochs:
            return mean
        epochs = max((trial.num_epochs for trial in found.running.values()), default=found.trials[-1].num_epochs)
        return found.spent["search"].worker_s / found.num_epochs * epochs

    def _of(self, arm: Arm) -> ArmRecord:
        return self._record.arm(arm.name)
