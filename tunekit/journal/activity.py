"""Who works on what since a driver last took a sweep up: workers, their trials, and when they were last heard of."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunekit.journal.events import Event
from tunekit.journal.record import SweepRecord

ENDING = ("finished", "interrupted", "tested")
"""Events after which a worker has a trial no more, unless it goes on to test it."""


@dataclass
class Worker:
    """One process that trains."""

    name: str
    heard_at: str
    """When it last said something, by the driver's clock (UTC)."""
    since: dict[str, str] = field(default_factory=dict)
    """By trial_id: when it began with the trials that it has."""


class Activity:
    """Follows a sweep event by event; a new launch begins anew.

    Attributes:
        workers: by name, in the order in which they were first heard of.
        run_since: when the present driver took the sweep up (UTC); empty before it was launched.
        spent_before_s: seconds of training that were done before that.
        is_stopped: whether that driver has said that it ends before the sweep is done.
    """

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self.run_since = ""
        self.spent_before_s = 0.0
        self.is_stopped = False
        self._owner: dict[str, Worker] = {}

    def worker_of(self, trial_id: str) -> Worker | None:
        """Who has a trial; None if nobody is known to."""
        return self._owner.get(trial_id)

    def apply(self, event: Event, record: SweepRecord) -> None:
        """Take an event that `record` has taken already."""
        kind, trial_id = event["event"], event.get("trial_id", "")
        if kind in ("launched", "resumed"):
            self.workers.clear()
            self._owner.clear()
            self.run_since, self.is_stopped = event["time"], False
            self.spent_before_s = sum(sum(arm.spent_s.values()) for arm in record.arms.values())
        elif kind == "stopped":
            self.is_stopped = True
        elif kind in ("taken", "started"):
            self._begin(trial_id, event)
        elif trial_id in self._owner:
            if kind != "interrupted":  # that is said by the driver, perhaps because the worker is gone
                self._owner[trial_id].heard_at = event["time"]
            if kind in ENDING and trial_id not in record.taken:
                del self._owner.pop(trial_id).since[trial_id]

    def _begin(self, trial_id: str, event: Event) -> None:
        worker = self.workers.setdefault(event["worker"], Worker(event["worker"], event["time"]))
        worker.heard_at = event["time"]
        before = self._owner.get(trial_id)
        if before is not None and before is not worker:
            before.since.pop(trial_id, None)
        worker.since.setdefault(trial_id, event["time"])
        self._owner[trial_id] = worker
