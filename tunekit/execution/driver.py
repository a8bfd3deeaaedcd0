"""The driver's loop for slots in other processes: fetch what they say, let the dispatcher answer, ask for slots.

Knows nothing of Ray: the mailbox, the pool of slots and the cluster are handed in. One thread runs all of it, and alone
touches the search and its journal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.protocol import Ask, Reply, SlotMessage, SweepInterrupted
from tunekit.execution.step_sizes import why_lost

POLL_S = 0.5
"""How often the driver looks around while no message comes."""
ROOM_S = 2.0
"""How often it counts what the cluster has room for."""
NOTICE_S = 30.0
"""No slot is there for so long: say what is waited for, and again after twice as long."""
SPARE_SLOTS = 4
"""Slots asked for beyond what the cluster has room for, where no number of workers is given."""
PAUSE_S, MOST_PAUSE_S = 10.0, 600.0
"""After a worker that could not start while others work, so long no other is started; each time twice as long."""
MAX_FALSE_STARTS = 3
"""So many slots in a row that died before their first word end the sweep."""
END_S = 60.0
"""The trials of a slot that hangs go to others once its process is known to be dead, or after so long."""

Messages = Sequence[tuple[str, str]]
"""Texts, each with the slot that it is from or for."""


class Pool(Protocol):
    """Slots that come and go as they are wanted."""

    def want(self, number: int) -> None:
        """Have so many slots from now on."""

    def take_lost(self) -> Messages:
        """The slots that died since the last call, and why."""

    def end(self, slot: str) -> None:
        """End the process of a slot, soon; `take_lost` then tells of it."""


class Cluster(Protocol):
    """Where slots run."""

    @property
    def is_fixed(self) -> bool:
        """Whether it never has room for more than now."""

    def room(self) -> int:
        """Slots that fit at once on the nodes that are there now."""

    def offer(self) -> str:
        """What a slot takes and what the nodes have, in words."""

    def leaving(self) -> Mapping[str, str]:
        """The nodes that will be ended from outside, each with what to say of it."""

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
        self._slots: dict[str, str] = {}
        """Those that have said their first word, each with its node."""
        self._gone: set[str] = set()
        """Those that left, died, or were given up as hung."""
        self._ending: dict[str, tuple[str, float]] = {}
        """Those that hang: what to say of each, and until when its end is waited for."""
        self._num_false_starts, self._start_no_more_until, self._pause_s = 0, 0.0, PAUSE_S
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
            replies = self._answer(received)
            for slot, reason in self._pool.take_lost():
                self._slot_died(slot, reason)
            self._end_hung()
            self._say_what_is_waited_for()

    def _answer(self, received: Messages) -> Messages:
        """Replies as far as there are any now; a slot's first message says what it found on its node."""
        messages, at_once = [], []
        for slot, text in received:
            if slot in self._slots:
                messages.append(SlotMessage.from_text(text))
            elif slot in self._gone:
                at_once.append((slot, _farewell(text).to_text()))
            else:
                greeting = json.loads(text)
                if "view" not in greeting:  # it waits for its disk, and says so, before it can greet
                    messages.append(SlotMessage.from_text(text))
                    continue
                self._cluster.check(greeting["view"])
                self._slots[slot] = str(greeting.get("node"))
                self._num_false_starts, self._pause_s = 0, PAUSE_S
                at_once.append((slot, ""))
        answered = self._dispatcher.exchange(messages)
        for slot in [slot for slot, reply in answered if reply.kind == "leave"]:
            del self._slots[slot]
            self._gone.add(slot)
        return at_once + [(slot, reply.to_text()) for slot, reply in answered]

    def _slot_died(self, slot: str, reason: str) -> None:
        if slot in self._slots:
            del self._slots[slot]
            self._gone.add(slot)
            why, _ = self._ending.pop(slot, (why_lost(reason), 0.0))
            self._dispatcher.lost(slot, why)
            self._dispatcher.flush()
            return
        if slot in self._gone:
            return
        if self._slots:  # a node that cannot serve, or left at once, ends nobody's trials
            self._start_later(reason)
            return
        self._num_false_starts += 1
        if self._num_false_starts >= MAX_FALSE_STARTS:
            raise SweepInterrupted(f"no worker can start; {self._num_false_starts} in a row ended with: {reason}")

    def _start_later(self, reason: str) -> None:
        """Try no other slot for a while, longer each time until one starts; what fails meanwhile was begun before."""
        if time.monotonic() < self._start_no_more_until:
            return
        self._start_no_more_until = time.monotonic() + self._pause_s
        self._notify(f"a worker could not start, and another is tried in {self._pause_s:.0f} s: {reason}")
        self._pause_s = min(MOST_PAUSE_S, 2 * self._pause_s)

    def _end_hung(self) -> None:
        """End the processes of slots that show no progress; a trial is handed out again only when its process is gone.

        One that cannot even be killed (its disk or its node hangs) is left behind after a while.
        """
        for slot, why in self._dispatcher.hung():
            if slot not in self._ending:
                self._ending[slot] = (why, time.monotonic() + END_S)
                self._pool.end(slot)
        late = [slot for slot, (_, until) in self._ending.items() if time.monotonic() > until]
        for slot in late:
            self._slot_died(slot, "")

    def _vacate(self) -> None:
        """See that nothing new begins on nodes that will be ended."""
        leaving = self._cluster.leaving()
        for slot, node in self._slots.items():
            if node in leaving:
                self._dispatcher.vacate(slot, leaving[node])

    def _num_wanted(self) -> int:
        if time.monotonic() - self._counted_at > ROOM_S:
            self._room, self._counted_at = self._cluster.room(), time.monotonic()
            self._vacate()
        limit = self._num_workers or self._room + SPARE_SLOTS
        possible = min(limit, self._room) if self._cluster.is_fixed else limit
        self._dispatcher.num_slots = max(1, possible)
        wanted = min(self._dispatcher.num_wanted_slots(), possible)
        if time.monotonic() < self._start_no_more_until:
            return min(wanted, max(1, len(self._slots)))
        return wanted

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


def _farewell(text: str) -> Reply:
    """The answer to a slot that was thought dead, and is not: its trials run elsewhere."""
    return Reply(kind="leave" if isinstance(SlotMessage.from_text(text).content, Ask) else "stop")
