"""Carries the journal's events to one tracker, in a thread of its own: the driver never waits for it.

The driver hands events over after they are on the disk. If the tracker is slow or fails, nothing is kept for it: what
it has missed is read from the journal when its turn comes. So there is no gap, and a tracker that holds something
already (of a driver that was killed) is told only what it lacks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from tunekit.journal import Event, read_events
from tunekit.redaction import without_secrets
from tunekit.storage import AnyPath
from tunekit.tracking.history import SweepHistory
from tunekit.tracking.trackers import Tracker
from tunekit.wording import printable

MOST_WAITING = 20_000
"""Events that wait for a tracker; one that is further behind reads the journal when it has time."""
BREATH_S = 1.0
"""The tracker is told at most so often, of all that has happened since: less work for it, and for the driver, which
shares its processor with this thread."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 600.0
"""After a failure, the tracker is left alone for so long; each time twice as long."""

logger = logging.getLogger(__name__)


class Courier:
    """Keeps one tracker up to date.

    Args:
        tracker: is called by the courier's thread alone.
        journal: `SweepFolder.journal`; events are handed over when it holds them.
        say: called with a sentence for the user, by that thread.
        cure: how to send later what is missing, as the end of a sentence.
    """

    def __init__(self, tracker: Tracker, journal: AnyPath, *, say: Callable[[str], None], cure: str) -> None:
        self.tracker = tracker
        self._journal, self._say, self._cure = journal, say, cure
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Event]] = deque()
        self._newest = 0
        """Number of the last event that was handed over."""
        self._is_behind = True
        """Whether events are missing in `_waiting` and are to be read from the journal."""
        self._history: SweepHistory | None = None
        """What the tracker was told; None: it is not known what it holds."""
        self._is_idle = False
        """Whether the thread waits for the next event and for nothing else."""
        self._ending: bool | None = None
        """Set at the end: whether the sweep is done."""
        self._pause_s, self._not_before = FIRST_PAUSE_S, 0.0
        self._has_complained = False
        self._thread = threading.Thread(target=self._work, name=f"tracker-{tracker.name}", daemon=True)

    def start(self, num_events: int) -> None:
        """Begin with the events that the journal holds already."""
        self._newest = num_events
        self._thread.start()

    def put(self, event: Event) -> None:
        """Hand over the next event, which the journal holds; takes no time."""
        with self._changed:
            self._newest += 1
            if not self._is_behind:
                self._waiting.append((self._newest, event))
            if len(self._waiting) > MOST_WAITING:
                self._fall_behind()
            if self._is_idle:
                self._changed.notify()

    def close(self, *, is_done: bool, wait_s: float) -> bool:
        """Let it finish, for at most so many seconds; whether the tracker then holds everything.

        Args:
            is_done: whether the sweep is; else it goes on another time.
            wait_s: a tracker that takes longer is left where it is.
        """
        with self._changed:
            self._ending = is_done
            self._not_before = 0.0
            self._changed.notify()
        self._thread.join(wait_s)
        return not self._thread.is_alive() and self._history is not None

    # -- the thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            entries, ending = self._next()
            try:
                self._tell(entries)
                if ending is None:
                    continue
                assert self._history is not None
                self.tracker.end(self._history, is_done=ending)
                return
            except Exception as error:  # whatever a client raises; the sweep goes on
                self._failed(error)
                if ending is not None:
                    return

    def _next(self) -> tuple[list[tuple[int, Event]], bool | None]:
        """Wait until there is something to do; what that is."""
        with self._changed:
            while self._ending is None:
                pause_s = self._not_before - time.monotonic()
                self._is_idle = pause_s <= 0
                if self._is_idle and (self._waiting or self._is_behind):
                    break
                self._changed.wait(None if self._is_idle else pause_s)
            self._is_idle = False
            entries = list(self._waiting)
            self._waiting.clear()
            return entries, self._ending

    def _fall_behind(self) -> None:
        self._waiting.clear()
        self._is_behind = True

    def _tell(self, entries: list[tuple[int, Event]]) -> None:
        history = self._history or SweepHistory()
        with self._changed:
            if self._is_behind:
                self._is_behind = False  # from here on events are kept; those before are in the journal
                self._waiting.clear()
                entries = []
        for number, event in entries or enumerate(self._unread(history), start=1):
            if number > history.num_events:
                history.apply(event)
        if self._history is None:
            self.tracker.begin(history)
            self._history = history
        self._bring_up(history)

    def _unread(self, history: SweepHistory) -> Iterable[Event]:
        """The journal, if it holds more than was read of it; its events from the first one on."""
        return read_events(self._journal) if history.num_events < self._newest else ()

    def _bring_up(self, history: SweepHistory) -> None:
        for trial in history.behind(unfinished=self.tracker.takes_unfinished):
            trial.taken(self.tracker.bring_up(trial))
        if self._has_complained:
            self._has_complained = False
            self._say(f"{self.tracker.name} takes what it is sent again")
        self._pause_s = FIRST_PAUSE_S
        self._not_before = time.monotonic() + BREATH_S

    def _failed(self, error: Exception) -> None:
        """Forget what the tracker holds, and try again later."""
        logger.warning("%s: %s: %s", self.tracker.name, type(error).__name__, without_secrets(str(error)))
        with self._changed:
            self._history = None
            self._fall_behind()
            self._not_before = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if not self._has_complained:
            self._has_complained = True
            why = printable(without_secrets(f"{type(error).__name__}: {error}"), limit=300)
            self._say(
                f"{self.tracker.name} does not take what it is sent ({why}); the sweep goes on without it, and it is "
                f"tried again now and then. What is missing in the end is sent by: {self._cure}"
            )
