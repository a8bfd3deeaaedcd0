"""Where slots on other machines leave their messages and wait for replies: an actor beside the driver.

The driver cannot be called from outside, so slots call the mailbox, and the driver fetches what has come, with which it
also hands in its replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

LEAST = 4
"""Messages that the driver gets at once, if there are more: what it answers leaves when it has answered all of them."""
SHARE = 4
"""Of many it gets this part: slots that are answered together will ask together again, and wait for each other."""


def num_at_once(num_waiting: int) -> int:
    """How many of the messages that wait the driver gets.

    >>> [num_at_once(number) for number in (1, 4, 5, 16, 400)]
    [1, 4, 4, 4, 100]
    """
    return min(num_waiting, max(LEAST, num_waiting // SHARE))


class Mailbox:
    """One event loop serves all slots; each waits for one reply at a time."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, str]] = []
        self._replies: dict[str, asyncio.Future[str]] = {}
        self._has_messages = asyncio.Event()

    async def post(self, slot: str, text: str) -> None:
        """Leave a message of `slot` that needs no reply."""
        self._messages.append((slot, text))
        self._has_messages.set()

    async def ask(self, slot: str, text: str) -> str:
        """Leave a message of `slot`, and give the driver's reply once it is there."""
        reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._replies[slot] = reply
        await self.post(slot, text)
        return await reply

    async def exchange(self, replies: Sequence[tuple[str, str]], timeout_s: float) -> list[tuple[str, str]]:
        """Deliver `replies` to their slots; give the first messages that have come, after `timeout_s` perhaps none.

        A reply to a slot that waits for none (it died) is dropped.
        """
        for slot, text in replies:
            waiting = self._replies.pop(slot, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(text)
        if not self._messages:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_messages.wait(), timeout_s)
        number = num_at_once(len(self._messages))
        messages, self._messages = self._messages[:number], self._messages[number:]
        if not self._messages:
            self._has_messages.clear()
        return messages
