"""The last act: which trials finalising still needs, once the search is over.

Where points race for further seeds, what it needs grows from round to round, and no trial is handed out to be scored on
test before the race of its arm is over.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container
from dataclasses import replace

from tunekit.journal import FinalTrial, SweepProgress, TrialRecord
from tunekit.sweep import Arm

LoadCost = Callable[[Arm], float]
"""What a worker would have to load for a trial of an arm: 0 is nothing; infinite: it is to run none of it."""
Fits = Callable[[TrialRecord], bool]
"""Whether a worker may run a trial."""


class Finalising:
    """Each of the best points on each seed and draw that finalising asks for, as the search left them.

    Args:
        progress: of the sweep; followed, not copied.
    """

    def __init__(self, progress: SweepProgress) -> None:
        self._progress = progress
        self._asked: deque[tuple[Arm, FinalTrial]] | None = None
        self._given_up: set[str] = set()

    def forget(self) -> None:
        """What finalising asks for may be other than it was: the search goes on, or a race does."""
        self._asked = None

    def give_up(self, trial_id: str) -> None:
        """A trial cannot be tested now; not asked for again by this object."""
        self._given_up.add(trial_id)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left that could be brought to an end."""
        return not any(self._is_open(arm, final) for arm, final in self._work())

    def num_free(self, held: Container[str]) -> int:
        """Trials that could run now, besides those held."""
        return sum(self._is_free(arm, final, held) for arm, final in self._work())

    def next(self, cost: LoadCost, held: Container[str], fits: Fits) -> tuple[Arm, FinalTrial] | None:
        """The first trial for which nothing must be loaded, else the first of those that cost least; None: all wait.

        Args:
            cost: what the worker that asks would have to load.
            held: trial_ids that are with workers now.
            fits: whether it may run a trial; asked about the first of the point where there is none yet.
        """
        work = self._work()
        while work and not self._is_open(*work[0]):
            work.popleft()
        best: tuple[Arm, FinalTrial] | None = None
        for arm, final in work:
            now = self._now(final)
            if not self._is_free(arm, final, held) or cost(arm) == math.inf or not fits(now.trial or final.point.first):
                continue
            if cost(arm) == 0:
                return arm, now
            if best is None or cost(arm) < cost(best[0]):
                best = arm, now
        return best

    def _work(self) -> deque[tuple[Arm, FinalTrial]]:
        """What is left to finalise; only a race changes it, see `forget`."""
        if self._asked is None:
            arms = self._progress.sweep.arms
            asked = ((arm, final) for arm in arms for final in self._progress.finals(arm))
            self._asked = deque((arm, final) for arm, final in asked if not final.is_over)
        return self._asked

    def _now(self, final: FinalTrial) -> FinalTrial:
        """The same with its trial as it is now."""
        trial = self._progress.record.replicates[final.point.point_id].get(final.replicate)
        return replace(final, trial=trial)

    def _is_open(self, arm: Arm, final: FinalTrial) -> bool:
        """Whether it can still be brought to an end."""
        now = self._now(final)
        if now.is_over or not self._progress.may_finalise(arm, now.trial):
            return False
        return now.trial is None or now.trial.trial_id not in self._given_up

    def _is_free(self, arm: Arm, final: FinalTrial, held: Container[str]) -> bool:
        trial = self._now(final).trial
        if not self._is_open(arm, final) or (trial is not None and trial.trial_id in held):
            return False
        return not (final.test and self._is_sealed(arm, held))

    def _is_sealed(self, arm: Arm, held: Container[str]) -> bool:
        """Whether the budget cut a race while a worker is at one of its trials, which may yet bring a score."""
        if self._progress.sweep.finalise.race is None:
            return False
        running = self._progress.record.arm(arm.name).running.values()
        if not any(trial.phase == "finalise" and trial.trial_id in held for trial in running):
            return False
        race = self._progress.race(arm)
        return race is not None and race.standing.end == "cut"
