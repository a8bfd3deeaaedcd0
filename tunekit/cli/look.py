"""What one look at a running sweep from outside shows; :mod:`tunekit.cli.watcher` makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

CLOCKS_AGREE_S = 15.0
"""Clocks of two machines that differ by less are called equal: an event also takes a while to be seen."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A trial that runs."""

    who: str
    """Arm, point and seed."""
    num_epochs: int
    curve: tuple[float, ...]
    """Dev scores by epoch, as far as they are reported."""
    scale: tuple[float, float]
    """The least and the highest score that the curves of its arm share."""
    worker: str
    """Empty where nobody has it yet."""
    since_s: float | None
    """How long its worker has had it, at the time of the look."""


@dataclass(frozen=True, kw_only=True)
class WorkerNow:
    """What a worker does."""

    name: str
    doing: tuple[str, ...]
    """Its trials, each with its arm; empty if it has none."""
    since_s: float | None
    """How long it has had the oldest of them."""
    heard_s: float
    """How long ago it last said something."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A sweep at one moment."""

    name: str
    at: float
    """When this was seen, by the clock of the watcher; what lasts (``_s``) goes on from there."""
    state: str
    """In words: running where, stopped why, or finished."""
    is_running: bool
    is_finished: bool
    next_command: str
    """What to type when there is nothing more to watch; empty while it runs."""
    where: str = ""
    run_since: str = ""
    run_s: float | None = None
    """How long the present driver has been running."""
    last_event_at: str = ""
    last_event_s: float | None = None
    left_s: float | None = None
    budget: str = ""
    arms: tuple[tuple[str, ...], ...] = ()
    """A row for each of them, see `tunekit.cli.sweep_words.ARM_COLUMNS`."""
    best: tuple[tuple[str, str], ...] = ()
    """By arm the best point so far."""
    running: tuple[Running, ...] = ()
    workers: tuple[WorkerNow, ...] = ()
    failures: tuple[str, ...] = ()
    """The most frequent reason first."""
    events: tuple[tuple[str, str], ...] = ()
    """Time (UTC) and text, the last one first."""
    clock_behind_s: float = 0.0
    """See `DriverClock.behind_s`."""
    problem: str = ""
    """Why this is older than it should be."""


class DriverClock:
    """Time by the clock of the driver, which may be another machine's, as far as its events tell.

    Args:
        utc: this moment, by the clock of this machine.
    """

    def __init__(self, utc: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._utc = utc
        self._compared = ""
        self._least_s: float | None = None

    def compare(self, last_event_at: str, *, is_new: bool) -> None:
        """Learn from the time of the last event.

        Args:
            last_event_at: that time; empty if there is none.
            is_new: whether it has just happened, as far as it is not in the future.
        """
        if not last_event_at or last_event_at == self._compared:
            return
        self._compared = last_event_at
        apart_s = self._apart_s(last_event_at)
        if is_new or apart_s < 0:
            self._least_s = apart_s if self._least_s is None else min(self._least_s, apart_s)

    @property
    def behind_s(self) -> float:
        """How far it is behind this machine's; 0 where they agree, negative where it is ahead."""
        found = self._least_s or 0.0
        return found if abs(found) > CLOCKS_AGREE_S else 0.0

    def ago_s(self, when: str) -> float:
        """Seconds since `when`, one of its own times."""
        return max(0.0, self._apart_s(when) - self.behind_s)

    def _apart_s(self, when: str) -> float:
        return (self._utc() - datetime.fromisoformat(when)).total_seconds()
