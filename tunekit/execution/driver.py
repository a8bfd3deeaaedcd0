"""The driver's loop for slots in other processes: fetch what they say, let the dispatcher answer, ask for slots.

Knows nothing of Ray: the mailbox, the pool of slots and the cluster are handed in. One thread runs all of it, and alone
touches the search and its journal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.protocol import SlotMessage, SweepInterrupted
from tunekit.execution.step_sizes import why_lost

POLL_S = 0.5
"""How often the driver looks around while no message comes."""
ROOM_S = 2.0
"""How often it counts what the cluster has room for."""
NOTICE_S = 30.0
"""No slot is there for so long: say what is waited for, and again after twice as long."""
SPARE_SLOTS = 4
"""Slots asked for beyond what the cluster has room for, where no number of workers is given."""
MAX_FALSE_STARTS = 3
"""So many slots in a row that died before their first word end the sweep."""

Messages = Sequence[tuple[str, str]]
"""Texts, each with the slot that it is from or for."""


class Pool(Protocol):
    """Slots that come and go as they are wanted."""

    def want(self, number: int) -> None:
        """Have so many slots from now on."""

    def take_lost(self) -> Messages:
        """The slots that died since the last call, and why."""


class Cluster(Protocol):
    """Where slots run."""

    @property
    def is_fixed(self) -> bool:
        """Whether it never has room for more than now."""

    def room(self) -> int:
        """Slots that fit at once on the nodes that are there now."""

    def offer(self) -> str:
        """What a slot takes and what the nodes have, in words."""

    def check(self, view: object) -> None:
        """Raise a ConfigError if a slot's process cannot serve, by what it found on its node."""


class Driver:
    """Runs one sweep to its end.

    Args:
        dispatcher: of the sweep.
        pool: brings slots.
        cluster: where they run.
        num_workers: slots at once; None is as many as there is room for.
        notify: called with a sentence that the user should read now.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        pool: Pool,
        cluster: Cluster,
        num_workers: int | None,
        notify: Callable[[str], None],
    ) -> None:
        self._dispatcher, self._pool, self._cluster = dispatcher, pool, cluster
        self._num_workers, self._notify = num_workers, notify
        self._room, self._counted_at = cluster.room(), time.monotonic()
        self._slots: set[str] = set()
        self._num_false_starts = 0
        self._without_slots_since, self._notice_s = time.monotonic(), NOTICE_S

    def run(self, exchange: Callable[[Messages, float], Messages]) -> None:
        """Serve until the sweep is done.

        Args:
            exchange: delivers replies, waits at most so many seconds, and gives the messages that have come.

        Raises:
            ConfigError: a slot's node cannot serve, or the data have changed.
            SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
        """
        self._say_what_fits()
        replies: Messages = []
        while not self._dispatcher.is_done:
            self._pool.want(self._num_wanted())
            received = exchange(replies, POLL_S)
            for slot, reason in self._pool.take_lost():
                self._slot_died(slot, reason)
            replies = self._answer(received)
            self._say_what_is_waited_for()

    def _answer(self, received: Messages) -> Messages:
        """Replies as far as there are any now; a slot's first message says what it found on its node."""
        messages, welcome = [], []
        for slot, text in received:
            if slot in self._slots:
                messages.append(SlotMessage.from_text(text))
            else:
                self._cluster.check(json.loads(text)["view"])
                self._slots.add(slot)
                self._num_false_starts = 0
                welcome.append((slot, ""))
        answered = self._dispatcher.exchange(messages)
        return welcome + [(slot, reply.to_text()) for slot, reply in answered]

    def _slot_died(self, slot: str, reason: str) -> None:
        if slot in self._slots:
            self._slots.discard(slot)
            self._dispatcher.lost(slot, why_lost(reason))
            return
        self._num_false_starts += 1
        if self._num_false_starts >= MAX_FALSE_STARTS:
            raise SweepInterrupted(f"no worker can start; {self._num_false_starts} in a row ended with: {reason}")

    def _num_wanted(self) -> int:
        if time.monotonic() - self._counted_at > ROOM_S:
            self._room, self._counted_at = self._cluster.room(), time.monotonic()
        limit = self._num_workers or self._room + SPARE_SLOTS
        possible = min(limit, self._room) if self._cluster.is_fixed else limit
        self._dispatcher.num_slots = max(1, possible)
        return min(self._dispatcher.num_wanted_slots(), possible)

    def _say_what_fits(self) -> None:
        if self._num_workers is not None and self._room < self._num_workers:
            later = "" if self._cluster.is_fixed else "; the others start when nodes join"
            self._notify(
                f"there is room for {self._room} of {self._num_workers} workers now ({self._cluster.offer()}){later}"
            )

    def _say_what_is_waited_for(self) -> None:
        if self._slots:
            self._without_slots_since, self._notice_s = time.monotonic(), NOTICE_S
        elif time.monotonic() - self._without_slots_since > self._notice_s:
            self._notice_s *= 2
            self._notify(f"waiting for a worker to start ({self._cluster.offer()})")
