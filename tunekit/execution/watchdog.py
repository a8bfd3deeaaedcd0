"""How long a slot that runs trials may show no progress before it is taken for hung.

Progress is what the computation itself says: a message of a trial, or a beat after a pass through the model. No thread
beats beside it, since that would beat on while the computation hangs. No clock of another machine is read, and none
that can be set: what counts is the time that passes on the driver's own clock while the driver looks. So a driver that
was stopped for an hour does not take its slots for hung.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Setting = float | Literal["auto", "off"]
"""What ``resources: {hang_after: ...}`` says; a number is seconds."""

FACTOR = 10.0
"""auto: so many times the longest silence of the arm so far."""
LEAST_S = 600.0
"""auto: but at least so long."""
UNKNOWN_S = 3600.0
"""auto: at least so long where the arm has no pace yet, and where a trial is opened (a model may be downloaded)."""
LOOK_S = 5.0
"""Between two looks at most so many seconds count: in longer ones the driver itself was stopped or busy."""

Pace = tuple[str, bool]
"""An arm, and whether a trial of it is being opened."""


@dataclass
class _Watched:
    """A slot that runs trials."""

    heard_at: float
    arms: dict[str, str] = field(default_factory=dict)
    """Of its trials, by trial_id."""
    opening: set[str] = field(default_factory=set)
    """Trials that it has been given, and that have not started."""

    def paces(self) -> set[Pace]:
        found = list(self.arms.items())  # in one process another thread looks than the one that gives and takes
        return {(arm, trial in self.opening) for trial, arm in found}


class Watchdog:
    """Watches the slots of one sweep.

    Args:
        setting: of the sweep.
        clock: seconds that only grow.
    """

    def __init__(self, setting: Setting, clock: Callable[[], float] = time.monotonic) -> None:
        self._setting, self._clock = setting, clock
        self._slots: dict[str, _Watched] = {}
        self._longest: dict[Pace, float] = {}
        self._looked_at, self._now = clock(), 0.0

    def given(self, slot: str, trial_id: str, arm: str) -> None:
        """A slot was given a trial, and opens it now."""
        watched = self._slots.setdefault(slot, _Watched(self._now))
        watched.heard_at = self._now
        watched.arms[trial_id] = arm
        watched.opening.add(trial_id)

    def started(self, slot: str, trial_id: str) -> None:
        """A trial is open."""
        if slot in self._slots:
            self._slots[slot].opening.discard(trial_id)

    def heard(self, slot: str) -> None:
        """A slot has shown progress."""
        watched = self._slots.get(slot)
        if watched is None:
            return
        silence_s = self._now - watched.heard_at
        for pace in watched.paces():
            self._longest[pace] = max(silence_s, self._longest.get(pace, 0.0))
        watched.heard_at = self._now

    def over(self, slot: str, trial_id: str) -> None:
        """A slot has given a trial back."""
        watched = self._slots.get(slot)
        if watched is not None:
            watched.arms.pop(trial_id, None)
            watched.opening.discard(trial_id)
            if not watched.arms:
                del self._slots[slot]

    def look(self) -> list[tuple[str, float]]:
        """The slots that are taken for hung, each with the seconds since it last showed progress.

        To be called often, each time after all that slots have said was taken in.
        """
        now = self._clock()
        self._now += min(max(0.0, now - self._looked_at), LOOK_S)
        self._looked_at = now
        if self._setting == "off":
            return []
        silences = [(slot, self._now - watched.heard_at, watched) for slot, watched in list(self._slots.items())]
        return [(slot, silence_s) for slot, silence_s, watched in silences if silence_s > self._limit_s(watched)]

    def _limit_s(self, watched: _Watched) -> float:
        if not isinstance(self._setting, str):
            return self._setting
        return max((self._auto_s(pace) for pace in watched.paces()), default=UNKNOWN_S)

    def _auto_s(self, pace: Pace) -> float:
        """Ten times the longest silence so far, within reason."""
        is_opening = pace[1]
        least_s = LEAST_S if pace in self._longest and not is_opening else UNKNOWN_S
        return max(least_s, FACTOR * self._longest.get(pace, 0.0))
