"""A slot's side: ask for trials, run them, send their messages, obey; until told to leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from tunekit.errors import TunekitError
from tunekit.execution.departure import REASON, Departure
from tunekit.execution.protocol import Ask, Beat, Fatal, Job, Leaving, Reply, SlotContent, SlotMessage
from tunekit.storage import AnyPath, place
from tunekit.training.messages import Reported, TrialMessage
from tunekit.training.pack_size import PackSetting
from tunekit.trial import Locations, TrialConfig
from tunekit.wording import printable

WAIT_S = 0.1
"""Before a slot that has nothing to do and was told to wait asks again."""
BEAT_S = 10.0
"""While it computes, it says so at most so often."""


class Line(Protocol):
    """Connects a slot with the driver. Messages arrive in the order in which they were sent."""

    def post(self, message: SlotMessage) -> None:
        """Send a message, and do not wait."""

    def ask(self, message: SlotMessage) -> Reply:
        """Send a message, and wait for the reply."""


class Trials(Protocol):
    """Runs a slot's trials: a :class:`tunekit.training.Pack`, whose words on each method hold here too."""

    on_pass: Callable[[], None]
    """Called after each pass through a model."""

    def __len__(self) -> int: ...

    @property
    def room(self) -> int:
        """How many more it could take now."""

    @property
    def warm(self) -> Sequence[str]:
        """Keys of the tasks and backbones that are loaded."""

    def add(
        self,
        config: TrialConfig,
        *,
        folder: AnyPath,
        locations: Locations,
        tokens_per_step: int,
        test: bool,
        pack: PackSetting,
    ) -> None:
        """Take another trial."""

    def advance(self) -> Sequence[TrialMessage]:
        """Run until a trial has something to say."""

    def answer(self, trial_id: str, goes_on: bool) -> None:
        """Take the driver's answer to a `Reported`."""

    def close(self) -> None:
        """Let all trials go."""


class _TimeIsUp(BaseException):
    """Raised between two passes of a slot that must leave."""


def serve(slot: str, trials: Trials, line: Line, *, worker: str, departure: Departure | None = None) -> Iterator[None]:
    """Run trials for a driver until it says ``leave``; yields after each reply.

    Trials that may be packed run together. Whenever one of them has said something, the slot asks for others as long as
    there is room: when it asks depends on what its trials do and on no clock.

    Args:
        slot: this slot's name, unlike any other's.
        trials: runs them.
        line: to the driver.
        worker: this process, for the journal.
        departure: that this process must end soon. The slot then takes no further trial, gives those that it has back
            at the end of their epochs, or, when time is up, after the pass at work, and leaves.
    """
    message = partial(SlotMessage, slot=slot, worker=worker)
    departure = departure or Departure()
    trials.on_pass = _Pulse(line, message, departure)
    serving = _Serving(trials, line, message, departure)
    try:
        with suppress(_TimeIsUp):
            while serving.is_wanted or serving.is_busy:
                yield from serving.fill()
                if serving.is_busy:
                    yield from serving.advance()
        serving.say_goodbye()
    finally:
        serving.close()


class _MakeMessage(Protocol):
    def __call__(self, *, content: SlotContent) -> SlotMessage: ...


class _Pulse:
    """Called after each pass through a model: says now and then that the work goes on, and ends it in time."""

    def __init__(self, line: Line, message: _MakeMessage, departure: Departure) -> None:
        self._line, self._message, self._departure = line, message, departure
        self._beat_at = time.monotonic()

    def __call__(self) -> None:
        if self._departure.is_time_up:
            raise _TimeIsUp
        now = time.monotonic()
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            self._line.post(self._message(content=Beat()))


class _Serving:
    """A slot at work."""

    def __init__(self, trials: Trials, line: Line, message: _MakeMessage, departure: Departure | None = None) -> None:
        self._trials, self._line, self._message = trials, line, message
        self._departure = departure or Departure()
        self._was_dismissed = False

    @property
    def is_wanted(self) -> bool:
        """Whether it may take further trials: the driver has not said ``leave``, and the process is not to end."""
        return not self._was_dismissed and not self._departure.has_come

    @property
    def is_busy(self) -> bool:
        """Whether a trial runs."""
        return len(self._trials) > 0

    def fill(self) -> Iterator[None]:
        """Ask for trials until there is no room, or no trial for this slot now."""
        while self.is_wanted and self._trials.room:
            content = Ask(warm=tuple(self._trials.warm), num_running=len(self._trials), room=self._trials.room)
            reply = self._line.ask(self._message(content=content))
            yield
            if reply.job is not None:
                self._add(reply.job)
            elif reply.kind == "leave":
                self._was_dismissed = True
            else:
                if not self.is_busy:
                    time.sleep(WAIT_S)
                return

    def _add(self, job: Job) -> None:
        try:
            self._trials.add(
                job.config,
                folder=place(job.folder),
                locations=job.locations,
                tokens_per_step=job.tokens_per_step,
                test=job.test,
                pack=job.pack,
            )
        except TunekitError as error:
            self._give_up(error)

    def advance(self) -> Iterator[None]:
        """Compute until a trial has something to say, and send it."""
        try:
            contents = self._trials.advance()
        except TunekitError as error:
            self._give_up(error)
            return
        for content in contents:
            if not isinstance(content, Reported):
                self._line.post(self._message(content=content))
                continue
            reply = self._line.ask(self._message(content=content))
            yield
            self._trials.answer(content.trial_id, reply.kind != "stop")

    def _give_up(self, error: TunekitError) -> None:
        """Every other trial would meet the same: bad input or storage."""
        self._line.post(self._message(content=Fatal(reason=printable(str(error)))))

    def say_goodbye(self) -> None:
        """Where the process was told to end, give back what still runs, and see that the driver has heard it."""
        if self._departure.has_come:
            self._line.ask(self._message(content=Leaving(reason=REASON, is_over=True)))

    def close(self) -> None:
        """Let go of the trials that still run."""
        self._trials.close()
