"""Ctrl-C, a polite kill and a closed terminal: the first ends a command in good order, the third at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from tunekit.cli.exits import UNFINISHED

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 3
"""The signal of this number does not wait any longer for what is being cleaned up."""


class Interruption:
    """What the signals of one command do.

    Args:
        stream: where the last word goes: standard error, whatever has taken its place meanwhile.
    """

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._num_signals = 0
        self.advice: Callable[[], str] = str
        """How to go on after an interruption, in words; empty for a command that leaves nothing behind."""

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask the command to end, once; a second signal is only counted, as many programs send two.

        Raises:
            KeyboardInterrupt: at the first signal.
        """
        self._num_signals += 1
        if self._num_signals == 1:
            raise KeyboardInterrupt
        if self._num_signals >= PATIENCE:
            self._leave()

    def _leave(self) -> None:
        """End this process now, in words: nothing that finished is lost, since each event is on the disk."""
        show_cursor = "\x1b[?25h" if os.isatty(self._stream) else ""
        with suppress(BaseException):
            advice = self.advice()
            text = f"{show_cursor}error: interrupted\n{advice}\n" if advice else f"{show_cursor}error: interrupted\n"
            os.write(self._stream, text.encode("utf-8", "replace"))
        os._exit(UNFINISHED)


_current: list[Interruption] = []


def advise(advice: Callable[[], str]) -> None:
    """Say how to go on, should the command that runs now be interrupted."""
    for interruption in _current:
        interruption.advice = advice


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP inside end what runs as Ctrl-C does; what nohup or a shell has ignored stays so."""
    stream = os.dup(2)
    interruption = Interruption(stream)
    _current.append(interruption)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, interruption.handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _current.remove(interruption)
        os.close(stream)


def leave_quietly() -> None:
    """Heed no more signals: everything has been said, and libraries clean up in a moment.

    Python would answer with a traceback, or end as if it had been killed.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
