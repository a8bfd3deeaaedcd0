"""Whether what is free on the disk suffices for what trials write: said before it does not.

A disk that is full makes a sweep wait; one that is nearly full is worth a sentence while there is time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tunekit import storage
from tunekit.errors import StorageError
from tunekit.journal import TrialRecord
from tunekit.storage import AnyPath, bytes_at_work

LOOK_S = 60.0
"""How often a driver looks."""
LEAST_BYTES = 100 * 1024**2
"""Free on a disk that is not nearly full: the journal, logs, predictions and tables."""
GIB = 1024**3


def too_little(folder: AnyPath, need: float, *, free: Callable[[Path], int] = storage.free_bytes) -> str | None:
    """What to tell the user where fewer than `need` bytes are free around `folder`; None where all is well.

    Args:
        folder: the sweep's; it need not be there yet.
        need: bytes that trials may still write.
        free: asks a file system.
    """
    if not isinstance(folder, Path):  # an object store is never full
        return None
    try:
        found = free(storage.nearest_folder(folder))
    except StorageError:  # a place that does not say
        return None
    wanted = max(need, LEAST_BYTES)
    if found >= wanted:
        return None
    return (
        f"only {found / GIB:.1f} GiB are free where {folder} lies, and trials that run at once may write "
        f"{wanted / GIB:.1f} GiB; free some space, or writing will wait for it"
    )


class RoomOnDisk:
    """Looks now and then whether the trials that run have room.

    Args:
        folder: the sweep's.
        tell: takes a sentence for the user, and its topic.
        clock: seconds that only grow.
        free: asks a file system.
    """

    def __init__(
        self,
        folder: AnyPath,
        tell: Callable[[str, str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = storage.free_bytes,
    ) -> None:
        self._folder, self._tell, self._clock, self._free = folder, tell, clock, free
        self._looked_at = clock()

    def look(self, running: Iterable[TrialRecord]) -> None:
        """Tell where the disk is nearly full for the trials that run; most calls look at nothing."""
        now = self._clock()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        sizes = (trial.facts.num_trainable_parameters for trial in running if trial.facts is not None)
        text = too_little(self._folder, sum(map(bytes_at_work, sizes)), free=self._free)
        if text is not None:
            self._tell(text, "disk nearly full")
