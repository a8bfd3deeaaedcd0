"""Looks at a sweep from outside, again and again: at its journal, and at who holds its lock. Changes nothing."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tunekit.cli.look import DriverClock, Look, Running, WorkerNow
from tunekit.cli.next_command import resume_command, root_option
from tunekit.cli.sweep_words import EventWords, arm_row, dev
from tunekit.cli.time_left import seconds_left
from tunekit.storage import HolderWatch, LinesGone, SweepFolder
from tunekit.wording import one_line, parameters, plural

if TYPE_CHECKING:
    from tunekit.journal import Event, JournalReader, Point, SweepProgress, TrialRecord, Worker
    from tunekit.sweep import Arm

MOST_EVENTS = 30
"""Events that are remembered."""
UNSEEN = "a driver whose lock cannot be seen from here"
UNSEEN_S = 300.0
"""So long after an event such a driver is believed to run."""


class Watcher:
    """Looks at a sweep again and again; each look reads what is new and takes no lock.

    Args:
        folder: of the sweep.
        clock: seconds of this machine, which never go back.
        utc: this moment.
    """

    def __init__(
        self,
        folder: SweepFolder,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder = folder
        self._clock, self._driver_clock = clock, DriverClock(utc)
        self._holder = HolderWatch(folder.lock, clock=clock)
        self._was_free = False
        self._unseen_until = -math.inf
        self._begin()

    def _begin(self) -> None:
        """Read the journal from its beginning."""
        from tunekit.journal import Activity, JournalReader

        self._reader: JournalReader = JournalReader(self.folder.journal)
        self._activity = Activity()
        self._progress: SweepProgress | None = None
        self._words: EventWords | None = None
        self._events: deque[tuple[str, str]] = deque(maxlen=MOST_EVENTS)
        self._failed: dict[str, TrialRecord] = {}

    def look(self) -> Look:
        """The sweep now.

        Raises:
            StorageError: it cannot be read; the next look may succeed.
            JournalError: the journal is damaged.
        """
        holder = self._holder.look()  # first: whatever a driver wrote before it ended is then read
        before = self._reader.num_events
        self._read()
        holder = self._known(holder, has_grown=0 < before < self._reader.num_events)
        if self._progress is None:
            return self._before_the_launch(holder)
        return self._seen(self._progress, holder)

    def _known(self, holder: str | None, *, has_grown: bool) -> str | None:
        """Who runs the sweep; a journal that grows has a driver, also on a share that does not tell of its lock."""
        if holder is None and self._was_free and has_grown and not self._activity.is_stopped:
            self._unseen_until = self._clock() + UNSEEN_S
        self._was_free = holder is None
        is_unseen = holder is None and self._clock() < self._unseen_until and not self._activity.is_stopped
        return UNSEEN if is_unseen else holder

    def _read(self) -> None:
        from tunekit.journal import JournalError

        is_first = not self._reader.num_events
        try:
            self._take_new()
        except (JournalError, LinesGone):
            if is_first:
                raise
            self._begin()  # another journal may stand there now, or this one was cut
            self._take_new()
            is_first = True
        self._driver_clock.compare(self._reader.record.last_event_at, is_new=not is_first)

    def _take_new(self) -> None:
        for event in self._reader.new_events():
            self._take(event)

    def _take(self, event: Event) -> None:
        from tunekit.journal import SweepProgress

        record, kind = self._reader.record, event["event"]
        if kind in ("launched", "amended"):
            self._progress = SweepProgress(record)
            if self._words is None or kind == "launched":
                self._words = EventWords(self._progress)
            self._words.progress = self._progress
        assert self._words is not None  # a journal begins with `launched`, else the record refuses it
        self._activity.apply(event, record)
        self._words.count(event)
        if kind == "finished" and record.trials[event["trial_id"]].state == "FAILED":
            self._failed[event["trial_id"]] = record.trials[event["trial_id"]]
        elif kind == "reopened":
            self._failed.pop(event["trial_id"], None)
        text = self._told(event)
        if text:
            self._events.appendleft((event["time"], one_line(text, limit=300)))

    def _told(self, event: Event) -> str:
        assert self._words is not None
        match event["event"]:
            case "finished" | "tested" | "interrupted":
                return self._words.line(event)
            case "launched" | "resumed":
                return f"{event['event']} by process {event.get('pid', '?')} on {event.get('host', '?')}"
            case "amended":
                return "the sweep file was changed"
            case "stopped":
                return f"stopped: {event['reason']}"
            case "reopened":
                return f"trial {event['trial_id']}, which had failed, is tried again"
        return ""  # epochs show in the curves

    # -- what is seen --------------------------------------------------------------------------------------------------

    def _before_the_launch(self, holder: str | None) -> Look:
        state = f"being launched: {holder}" if holder else "not launched: the journal is still empty"
        return Look(
            name=self.folder.name,
            at=self._clock(),
            state=state,
            is_running=holder is not None,
            is_finished=False,
            next_command="",
        )

    def _seen(self, progress: SweepProgress, holder: str | None) -> Look:
        record, sweep, since = self._reader.record, progress.sweep, self._activity.run_since
        is_finished = progress.is_finished
        is_running = holder is not None and not is_finished
        return Look(
            name=self.folder.name,
            at=self._clock(),
            state=self._state(progress, holder),
            is_running=is_running,
            is_finished=is_finished,
            next_command="" if is_running else self._next(is_finished),
            where=_where(record.execution),
            run_since=since,
            run_s=self._driver_clock.ago_s(since) if is_running else None,
            last_event_at=record.last_event_at,
            last_event_s=self._driver_clock.ago_s(record.last_event_at),
            left_s=self._left_s(progress) if is_running else None,
            budget=_budget(progress),
            arms=tuple(arm_row(progress, arm) for arm in sweep.arms),
            best=tuple((arm.name, self._best(arm)) for arm in sweep.arms),
            running=self._running(progress),
            workers=self._workers() if is_running else (),
            failures=self._failures(),
            events=tuple(self._events),
            clock_behind_s=self._driver_clock.behind_s,
        )

    def _state(self, progress: SweepProgress, holder: str | None) -> str:
        if progress.is_finished:
            return progress.stopped_by_budget() or "finished"
        if holder is not None:
            return f"running: {holder}"
        reason = self._reader.record.stop_reason
        if reason is not None:
            return f"stopped: {one_line(reason, limit=300)}"
        return "not running: nobody holds its lock, and its driver did not say why it ended"

    def _next(self, is_finished: bool) -> str:
        if not is_finished:
            return resume_command(self.folder)
        return " ".join(filter(None, ["tunekit report", self.folder.name, root_option(self.folder)]))

    def _left_s(self, progress: SweepProgress) -> float | None:
        return seconds_left(
            progress,
            spent_before_s=self._activity.spent_before_s,
            elapsed_s=self._driver_clock.ago_s(self._activity.run_since),
        )

    def _best(self, arm: Arm) -> str:
        found = self._reader.record.arm(arm.name)
        best = next(iter(found.top(1)), None)
        if best is not None:
            return (
                f"{_with_spread(best)}  point {best.number}: {one_line(parameters(best.params)) or 'nothing searched'}"
            )
        if found.best_so_far is None:
            return "nothing reported yet"
        return f"no COMPLETE point yet; the best epoch so far has {dev(found.best_so_far)}"

    def _running(self, progress: SweepProgress) -> tuple[Running, ...]:
        """Trials that a worker has, the longest running first; those that wait for one are not shown."""
        rows = []
        for arm in progress.sweep.arms:
            found = self._reader.record.arm(arm.name)
            trials = [trial for trial in found.running.values() if self._activity.worker_of(trial.trial_id)]
            curves = {t.trial_id: tuple(t.reports[epoch].value for epoch in sorted(t.reports)) for t in trials}
            scores = [value for curve in curves.values() for value in curve]
            scores += [found.best_so_far] if found.best_so_far is not None else []
            scale = (min(scores), max(scores)) if scores else (0.0, 0.0)
            rows += [self._row(trial, curves[trial.trial_id], scale) for trial in trials]
        return tuple(sorted(rows, key=lambda row: -(row.since_s or 0.0)))

    def _row(self, trial: TrialRecord, curve: tuple[float, ...], scale: tuple[float, float]) -> Running:
        worker = self._activity.worker_of(trial.trial_id)
        return Running(
            who=_who(trial),
            num_epochs=trial.num_epochs,
            curve=curve,
            scale=scale,
            worker=worker.name if worker else "",
            since_s=self._driver_clock.ago_s(worker.since[trial.trial_id]) if worker else None,
        )

    def _workers(self) -> tuple[WorkerNow, ...]:
        """Those that have a trial first, then those that were last heard of."""
        rows = [self._worker(worker) for worker in self._activity.workers.values()]
        return tuple(sorted(rows, key=lambda row: (not row.doing, row.heard_s)))

    def _worker(self, worker: Worker) -> WorkerNow:
        trials = self._reader.record.trials
        doing = tuple(
            f"{_who(trials[each])}{' (test)' if trials[each].state == 'COMPLETE' else ''}" for each in worker.since
        )
        oldest = min(worker.since.values(), default=None)
        return WorkerNow(
            name=worker.name,
            doing=doing,
            since_s=None if oldest is None else self._driver_clock.ago_s(oldest),
            heard_s=self._driver_clock.ago_s(worker.heard_at),
        )

    def _failures(self) -> tuple[str, ...]:
        from tunekit.reports.contents.failures import alike, reason_of

        rows = []
        for trials in alike(self._failed.values()):
            first = trials[0]
            reason = one_line(reason_of(first), limit=300)
            rows.append(f"{plural(len(trials), 'trial')} of {first.arm}, such as {first.trial_id}: {reason}")
        return tuple(rows)


def _who(trial: TrialRecord) -> str:
    kind = "final " if trial.phase == "finalise" else ""
    return f"{trial.arm} {kind}point {trial.number}, seed {trial.replicate}"


def _with_spread(point: Point) -> str:
    from tunekit.reports.scores import Spread

    found = Spread.of(point.counted)
    assert found is not None
    spread = "" if found.std is None else f" ± {dev(found.std)}"
    return f"{dev(found.mean)}{spread} (n = {found.n})"


def _where(execution: dict[str, object]) -> str:
    """Where it was last run, in words."""
    if not execution:
        return ""
    if execution.get("in_process"):
        return "one trial after the other, in one process"
    address, workers = execution.get("address"), execution.get("workers")
    cluster = f"on the Ray cluster at {address}" if address and address != "local" else "on a Ray of its own"
    return f"{cluster}, {plural(int(str(workers)), 'trial')} at once" if workers else cluster


def _budget(progress: SweepProgress) -> str:
    """How much of its budget is used; empty if it has none."""
    has_limit = progress.sweep.budget.trials is not None or progress.spending.limits()
    return progress.spending.in_words() if has_limit else ""
