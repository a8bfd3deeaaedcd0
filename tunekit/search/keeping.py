"""Which trials' trained parameters stay on the disk, as ``storage.keep`` says."""

from __future__ import annotations

from tunekit.journal import SweepRecord, TrialRecord
from tunekit.sweep import Arm, Sweep


class Keeping:
    """The trials that are over, and which of their parameters nothing will ask for.

    Args:
        sweep: says what to keep.
        record: says which points are best.
    """

    def __init__(self, sweep: Sweep, record: SweepRecord) -> None:
        self._sweep, self._record = sweep, record
        self._kept: dict[str, dict[str, TrialRecord]] = {arm.name: {} for arm in sweep.arms}
        self._disposable: list[TrialRecord] = []

    def add(self, trial: TrialRecord) -> None:
        """A trial of the search is over."""
        self._kept[trial.arm][trial.trial_id] = trial

    def review(self, arm: Arm) -> None:
        """Let go of trials of the search that finalising will not need, and of those that it has scored."""
        kept, keep = self._kept[arm.name], self._sweep.storage.keep
        if keep == "all":
            return
        found, asked = self._record.arm(arm.name), self._sweep.replicates(arm)
        needed = {trial.trial_id for point in found.top(self._sweep.finalise.top) for trial in point.trials}
        for trial_id, trial in list(kept.items()):
            is_scored = trial.test_scores is not None
            is_open = found.points[trial.number].end(asked) is None  # its other seeds may make it one of the best
            if (trial_id not in needed and not is_open) or (keep == "none" and is_scored):
                self._disposable.append(kept.pop(trial_id))

    def review_final(self, trial: TrialRecord) -> None:
        """Let go of a trial of finalising that failed, and with `storage.keep: none` of each that was scored."""
        keep = self._sweep.storage.keep
        if (keep != "all" and trial.state == "FAILED") or (keep == "none" and trial.test_scores is not None):
            self._kept[trial.arm].pop(trial.trial_id, None)
            self._disposable.append(trial)

    def take(self) -> list[TrialRecord]:
        """Trials to let go of, each named once."""
        found, self._disposable = self._disposable, []
        return found
