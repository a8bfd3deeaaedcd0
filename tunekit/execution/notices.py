"""What is said again and again by many, shown to the user now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from tunekit.redaction import without_secrets

AGAIN_S = 600.0
"""Of one topic, a sentence is shown at most every so many seconds."""


class Notices:
    """Shows what workers and the driver itself have to say.

    A worker that waits says so with each try, and a full disk stops a hundred workers at once: one sentence is enough.

    Args:
        show: called with a sentence that the user should read now.
        clock: seconds that only grow.
    """

    def __init__(self, show: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._show, self._clock = show, clock
        self._shown_at: dict[str, float] = {}

    def take(self, text: str, topic: str) -> None:
        """Show `text`, unless one of its topic was shown a short time ago."""
        now = self._clock()
        if topic not in self._shown_at or now - self._shown_at[topic] >= AGAIN_S:
            self._shown_at[topic] = now
            self._show(without_secrets(text))
