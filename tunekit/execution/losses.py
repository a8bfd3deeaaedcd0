"""What becomes of a trial whose process ended: it is tried again, alone if it may be at fault, and given up at last."""

from __future__ import annotations

from collections.abc import Callable

from tunekit.execution.packing import Deaths
from tunekit.journal import TrialRecord
from tunekit.search import Search
from tunekit.trial import Outcome
from tunekit.wording import plural


class Losses:
    """Counts how trials' processes ended, and decides what follows.

    Args:
        search: what is decided is carried into it; giving a trial back is the caller's.
        notify: called with a sentence that the user should read now.

    Attributes:
        deaths: so far, as far as this driver was told.
        problems: what could not be tested, for the end of the run.
    """

    def __init__(self, search: Search, notify: Callable[[str], None]) -> None:
        self.deaths = Deaths()
        self.problems: list[str] = []
        self._search, self._notify = search, notify

    def died(self, trial: TrialRecord, reason: str, *, with_others: bool) -> None:
        """Its process died or was ended because it hung.

        Args:
            trial: which.
            reason: for the journal.
            with_others: the process ran other trials too, so that nobody knows which one is at fault: it counts for
                none, but sends each to a slot of its own if it happens again.
        """
        reason = f"{reason} {_place(trial)}"
        if with_others:
            self._died_with_others(trial, reason)
        else:
            self._died_alone(trial, reason)

    def _died_with_others(self, trial: TrialRecord, reason: str) -> None:
        self.deaths.died_with_others(trial)
        alone = ", alone" if self.deaths.is_suspect(trial) else ""
        self._notify(f"trial {trial.trial_id} of {trial.arm}: {reason}, with other trials; it is tried again{alone}")
        self._search.interrupted(trial, reason)

    def _died_alone(self, trial: TrialRecord, reason: str) -> None:
        number, retries = self.deaths.died_alone(trial), self._search.sweep.resources.retries
        if number <= retries:
            self._notify(f"trial {trial.trial_id} of {trial.arm}: {reason}; it is tried again ({number} of {retries})")
            self._search.interrupted(trial, reason)
        else:
            self._fail(trial, f"{reason}, {plural(number, 'time')}" if number > 1 else reason)

    def set_aside(self) -> None:
        """Give up trials that have ended this process again and again, so that the others can go on.

        How a process of its own ended is told by Ray, and `died` counts it. A trial that takes the driver with it
        leaves nothing but a start without an end in the journal.
        """
        retries = self._search.sweep.resources.retries
        for trial in list(self._search.record.trials.values()):
            if trial.num_deaths > retries:
                times = plural(trial.num_deaths, "time")
                self._fail(
                    trial,
                    f"the process that ran it ended without a word {times} {_place(trial)}: a crash, too little "
                    "memory, no progress, or kill -9",
                )

    def _fail(self, trial: TrialRecord, reason: str) -> None:
        if trial.state == "RUNNING":
            outcome = Outcome(state="FAILED", value=None, reason=reason, duration_s=trial.duration_s)
            self._search.finish(trial, outcome)
        else:
            self.give_up(trial, reason)

    def give_up(self, trial: TrialRecord, reason: str) -> None:
        """A COMPLETE trial cannot be tested by this run."""
        self.problems.append(f"trial {trial.trial_id} of {trial.arm} could not be tested: {reason}")
        self._search.give_up(trial, reason)


def _place(trial: TrialRecord) -> str:
    """Where it is, in words."""
    if trial.state != "RUNNING":
        return "in its test"
    return f"in epoch {max(trial.reports, default=0) + 1}" if trial.num_attempts else "while it was opened"
