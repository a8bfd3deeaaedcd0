"""How long a sweep still takes, from how fast it goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunekit.journal import SweepProgress


def seconds_left(progress: SweepProgress, *, spent_before_s: float, elapsed_s: float) -> float | None:
    """Compares the training that is left with the training done in some time.

    How long trials take is known from their epochs, also from earlier runs of the sweep. How many run at once, and what
    comes on top of training, shows in the seconds of training done in each second.

    Args:
        progress: of the sweep.
        spent_before_s: seconds of training that were done when that time began.
        elapsed_s: how long it is.

    Returns:
        An estimate; None before the first epoch of that time and the sweep's first finished trial, and at the end.
    """
    done_s, left_s = progress.spent_s - spent_before_s, progress.left_s()
    if done_s <= 0 or elapsed_s <= 0 or not left_s:
        return None
    return left_s * elapsed_s / done_s


class TimeLeft:
    """The same for the time since this object was made."""

    def __init__(self, progress: SweepProgress) -> None:
        self._progress = progress
        self._started = time.monotonic()
        self._spent_before_s = progress.spent_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since this object was made."""
        return time.monotonic() - self._started

    def seconds_left(self) -> float | None:
        """An estimate; see :func:`seconds_left`."""
        return seconds_left(self._progress, spent_before_s=self._spent_before_s, elapsed_s=self.elapsed_s)
