"""How fast a sweep goes, and so how long it still takes."""

from __future__ import annotations

import time
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunekit.journal import TrialRecord
    from tunekit.search import Search
    from tunekit.sweep import Arm, Sweep


class Pace:
    """Compares the training that is left with the training done since this object was made.

    What trials take is known from their epochs, of earlier runs of the sweep too; how many go on at once, and what
    comes on top of training, shows in the seconds of training done in a second since then.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._started = time.monotonic()
        self._spent_before = _spent(search)

    @property
    def elapsed_s(self) -> float:
        """Since this object was made."""
        return time.monotonic() - self._started

    def seconds_left(self) -> float | None:
        """An estimate; None before this run's first epoch and the sweep's first finished trial, and at the end."""
        search, elapsed = self._search, self.elapsed_s
        done = _spent(search) - self._spent_before
        typical = [trial.duration_s for trial in search.record.trials.values() if trial.outcome and trial.reports]
        if done <= 0 or elapsed <= 0 or not typical:
            return None
        left = sum(_work_left(search, arm, fmean(typical)) for arm in search.sweep.arms)
        return left * elapsed / done if left > 0 else None


def num_planned(sweep: Sweep, arm: Arm) -> int:
    """Search trials of `arm`: every point on every seed, within the budget's share of trials."""
    planned = sweep.num_points(arm) * (1 if arm.searches_seed else len(sweep.seeds))
    budget = sweep.budget.trials
    return planned if budget is None else min(planned, budget // len(sweep.arms))


def num_final(sweep: Sweep, arm: Arm) -> int:
    """Trials of `arm` that are scored on test, if its search finds enough points."""
    return min(sweep.finalise.top, sweep.num_points(arm)) * len(sweep.finalise.seeds)


def _spent(search: Search) -> float:
    return sum(trial.duration_s for trial in search.record.trials.values())


def _work_left(search: Search, arm: Arm, typical: float) -> float:
    """Seconds of training that `arm` still needs; what it does not know of itself is `typical`."""
    trials = search.record.arm(arm.name)
    searched = [trial for trial in trials if trial.phase == "search"]
    to_search = num_planned(search.sweep, arm) - _num_over(searched)
    seeds = () if arm.searches_seed else search.sweep.seeds
    anew = len(set(search.sweep.finalise.seeds) - set(seeds)) / len(search.sweep.finalise.seeds)
    to_finalise = round(num_final(search.sweep, arm) * anew) - (_num_over(trials) - _num_over(searched))
    mean = _mean_duration(searched, typical)
    whole = _mean_duration([trial for trial in trials if trial.state == "COMPLETE"], mean)
    searching = max(0, to_search) * mean - sum(min(t.duration_s, mean) for t in searched if t.state == "RUNNING")
    hours = search.sweep.budget.hours
    if hours is not None:
        share = hours * 3600 / len(search.sweep.arms)
        searching = min(searching, max(0.0, share - sum(trial.duration_s for trial in searched)))
    return max(0.0, searching) + max(0, to_finalise) * whole


def _num_over(trials: list[TrialRecord]) -> int:
    return sum(trial.state != "RUNNING" for trial in trials)


def _mean_duration(trials: list[TrialRecord], otherwise: float) -> float:
    known = [trial.duration_s for trial in trials if trial.state != "RUNNING" and trial.reports]
    return fmean(known) if known else otherwise
