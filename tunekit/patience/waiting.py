"""Trying again, ever more rarely, and telling somebody what is waited for.

A process waits only while somebody listens: a driver shows what it is told, a worker sends it to its driver. Where
nobody listens (a command that only reads, a test), an error is raised at once.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")

FIRST_S, LONGEST_S = 1.0, 30.0
"""The first pause, and the longest; each is twice the one before."""

logger = logging.getLogger(__name__)


def sleep(seconds: float) -> None:
    """Do nothing for so long; Ctrl-C ends it."""
    time.sleep(seconds)


class Listener(Protocol):
    """Who is told what happens, for the user."""

    def __call__(self, text: str, topic: str) -> None:
        """Take a sentence. While something is waited for, it comes again with each try.

        Args:
            text: for the user.
            topic: what it is about; sentences of one topic say the same of different files.
        """


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Why to try again."""

    text: str
    """What is wrong and what helps, for the user."""
    topic: str
    """See `Listener`."""
    limit_s: float = math.inf
    """Seconds of waiting after which the error is raised all the same."""


@dataclass(frozen=True)
class _Listening:
    to: Listener | None
    """None: nobody waits."""
    pause: Callable[[float], None]


_listening: list[_Listening] = []


def listen(to: Listener, *, pause: Callable[[float], None] = sleep) -> None:
    """From now on, this process tells `to` what happens, and waits for what passes.

    Args:
        to: is told.
        pause: called with seconds; a test hands in one that does not wait.
    """
    _listening.append(_Listening(to, pause))


@contextmanager
def listening(to: Listener, *, pause: Callable[[float], None] = sleep) -> Iterator[None]:
    """Like `listen`, inside the block alone."""
    with _pushed(_Listening(to, pause)):
        yield


@contextmanager
def overhearing(too: Callable[[], None]) -> Iterator[None]:
    """Inside, `too` is called with each word to whoever listens: who waits is alive."""
    outer = _listening[-1] if _listening else None
    if outer is None or (to := outer.to) is None:
        yield
        return

    def both(text: str, topic: str) -> None:
        too()
        to(text, topic)

    with _pushed(_Listening(both, outer.pause)):
        yield


@contextmanager
def hurrying() -> Iterator[None]:
    """Inside, nothing is waited for: for what is not needed, such as a cache."""
    with _pushed(_Listening(None, sleep)):
        yield


@contextmanager
def _pushed(entry: _Listening) -> Iterator[None]:
    _listening.append(entry)
    try:
        yield
    finally:
        _listening.remove(entry)


def say(text: str, topic: str) -> None:
    """Tell whoever listens, and the log."""
    logger.warning("%s", text)
    _tell(text, topic)


def _tell(text: str, topic: str) -> None:
    found = next((each.to for each in reversed(_listening) if each.to is not None), None)
    if found is not None:
        found(text, topic)


def persist(
    action: Callable[[], T],
    why: Callable[[BaseException], Wait | None],
    *,
    errors: type[Exception] | tuple[type[Exception], ...] = OSError,
) -> T:
    """What `action` gives, tried again as long as its error is worth waiting for.

    Ctrl-C, and whatever else ends a pause, comes out of it; `action` has failed whole then and left nothing.

    Args:
        action: what is tried; it leaves nothing behind when it fails.
        why: the reason to wait after an error; None raises the error.
        errors: those that `why` is asked about.

    Raises:
        OSError: it did not pass, or nobody listens. What was raised if that is one, and else a ConnectionError: HTTP
            libraries have errors of their own.
    """
    waited_s, pause_s, reason = 0.0, FIRST_S, None
    while True:
        try:
            done = action()
        except errors as error:
            reason = why(error)
            if reason is None:
                raise
            if not _listening or _listening[-1].to is None or waited_s >= reason.limit_s:
                if isinstance(error, OSError):
                    raise
                raise ConnectionError(f"{type(error).__name__}: {error}") from error
        else:
            if waited_s and reason is not None:
                say(f"it works again, and goes on ({reason.topic})", f"{reason.topic} is over")
            return done
        # Not in the handler, where the error would hold what it was raised from.
        if waited_s:
            _tell(reason.text, reason.topic)
        else:
            say(reason.text, reason.topic)
        _listening[-1].pause(pause_s)
        waited_s, pause_s = waited_s + pause_s, min(2 * pause_s, LONGEST_S)
