"""A slot's side: ask for a trial, run it, send its messages, obey; until told to leave."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

from tunekit.errors import TunekitError
from tunekit.execution.protocol import Ask, Fatal, Job, Reply, SlotMessage
from tunekit.training import WorkerCache, perform
from tunekit.training.messages import Reported, TrialMessage
from tunekit.wording import printable

WAIT_S = 0.1
"""Before a slot that was told to wait asks again."""


class Line(Protocol):
    """Connects a slot with the driver. Messages arrive in the order in which they were sent."""

    def post(self, message: SlotMessage) -> None:
        """Send a message, and do not wait."""

    def ask(self, message: SlotMessage) -> Reply:
        """Send a message, and wait for the reply."""


def serve(slot: str, cache: WorkerCache, line: Line, *, worker: str) -> Iterator[None]:
    """Run trials for a driver until it says ``leave``; yields after each reply.

    Args:
        slot: this slot's name, unlike any other's.
        cache: what this process keeps from one trial to the next.
        line: to the driver.
        worker: this process, for the journal.
    """
    message = partial(SlotMessage, slot=slot, worker=worker)
    while (reply := line.ask(message(content=Ask(warm=tuple(cache.warm))))).kind != "leave":
        yield
        if reply.kind == "wait":
            time.sleep(WAIT_S)
        elif reply.job is not None:
            with closing(_messages(reply.job, cache)) as contents:
                yield from _run((message(content=content) for content in contents), line)


def _run(messages: Iterable[SlotMessage], line: Line) -> Iterator[None]:
    """Send a trial's messages until it is over or stopped."""
    for message in messages:
        if not isinstance(message.content, Reported):
            line.post(message)
            continue
        reply = line.ask(message)
        yield
        if reply.kind == "stop":
            return


def _messages(job: Job, cache: WorkerCache) -> Generator[Fatal | TrialMessage]:
    try:
        yield from perform(
            job.config,
            folder=Path(job.folder),
            locations=job.locations,
            cache=cache,
            test=job.test,
            tokens_per_step=job.tokens_per_step,
        )
    except TunekitError as error:  # every other trial would meet the same: bad input or storage
        yield Fatal(reason=printable(str(error)))
