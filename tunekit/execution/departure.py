"""How a slot's process leaves: by SIGTERM, which spot instances, Slurm and Kubernetes send some time before the end,
or by itself where it can compute nothing more."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

GRACE_S = 20.0
"""So long the slot goes on after the signal, so that its trials may come to the end of an epoch and its checkpoint;
Kubernetes and Slurm wait for 30 s, spot instances for 30 to 120 s."""
END_S = 20.0
"""A process that can compute nothing more has so long to say so."""
REASON = "its worker was told to end (SIGTERM)"


class Departure:
    """Whether this process was told to end, and how long ago.

    Args:
        grace_s: how long it goes on after that.
        clock: seconds that only grow.
    """

    def __init__(self, grace_s: float = GRACE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._grace_s, self._clock = grace_s, clock
        self._came_at: float | None = None

    def give(self) -> None:
        """It was told."""
        if self._came_at is None:
            self._came_at = self._clock()

    @property
    def has_come(self) -> bool:
        """Whether it was told: nothing new is to be begun."""
        return self._came_at is not None

    @property
    def is_time_up(self) -> bool:
        """Whether it is to leave at once, whatever it runs."""
        return self._came_at is not None and self._clock() - self._came_at >= self._grace_s


def heed(departure: Departure, tell: Callable[[], None]) -> None:
    """From now on SIGTERM gives `departure`; a second one ends the process as it would have without this.

    Args:
        departure: for the main thread, which looks at it where it can stop.
        tell: called once, in a thread of its own: what the main thread does meanwhile may take long.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        return
    has_come = threading.Event()
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before)
        departure.give()
        has_come.set()

    def wait() -> None:
        has_come.wait()
        tell()

    signal.signal(signal.SIGTERM, handle)
    threading.Thread(target=wait, name="sigterm", daemon=True).start()


def end_soon() -> None:
    """End this process after `END_S`, even if all other ways to end it wait for a GPU that answers no more."""
    timer = threading.Timer(END_S, os._exit, (1,))
    timer.daemon = True
    timer.start()
