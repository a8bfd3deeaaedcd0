"""The terminal of `tunekit watch`: it is redrawn until the sweep is finished or somebody leaves."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.live import Live

from tunekit.cli.look import Look
from tunekit.cli.watch_page import Page, drawn
from tunekit.cli.watcher import Watcher
from tunekit.errors import StorageError

REDRAW_S = 0.5
"""Seconds between two drawings: clocks go on, and a terminal may have another size."""
HINT = "q leaves; the sweep goes on"
QUIT = ("q", "Q", "\x1b", "\x04")
"""Keys that leave: q, Escape, Ctrl-D."""

Wait = Callable[[float], str]
"""Waits some seconds at most for a key, and gives it; empty if none was pressed."""


def page_of(console: Console, *, height: int | None) -> Page:
    """The page that fits `console`."""
    return Page(console.width, height, console.options.ascii_only)


def follow(watcher: Watcher, first: Look, console: Console, *, every_s: float) -> Look:
    """Show the sweep until it is finished or somebody leaves (q or Ctrl-C); gives the last look.

    Args:
        watcher: of the sweep.
        first: its first look.
        console: a terminal.
        every_s: seconds between two looks.

    Raises:
        JournalError: the journal is damaged.
    """
    looker = _Looker(watcher, first, every_s)
    try:
        with keys() as wait, Live(console=console, screen=True, auto_refresh=False) as live:
            looker.start()
            _show(looker, live, console, wait)
    except KeyboardInterrupt:
        pass
    finally:
        looker.end()
    return looker.latest


def _show(looker: _Looker, live: Live, console: Console, wait: Wait) -> None:
    while True:
        looker.raise_error()
        look = looker.latest
        age_s = max(0.0, time.monotonic() - look.at)
        page = page_of(console, height=console.height)
        live.update(drawn(look, page, age_s=age_s, hint=HINT), refresh=True)
        if look.is_finished or wait(REDRAW_S) in QUIT:
            return


class _Looker:
    """Looks again and again in a thread of its own, so that a slow store keeps nobody from leaving."""

    def __init__(self, watcher: Watcher, first: Look, every_s: float) -> None:
        self.latest = first
        self._watcher, self._every_s = watcher, every_s
        self._error: Exception | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="tunekit-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _look_on(self) -> None:
        while not self._end.wait(self._every_s):
            try:
                self.latest = self._watcher.look()
            except StorageError as error:  # a share or a network may be back at the next look
                self.latest = replace(self.latest, problem=str(error))
            except Exception as error:  # raised where it is seen
                self._error = error
                return

    def raise_error(self) -> None:
        """Raise what ended the looks, if anything did."""
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Look no more; a look that waits for its store is not waited for."""
        self._end.set()


@contextmanager
def keys() -> Iterator[Wait]:
    """Keys as they are pressed, without Enter; where nobody can press any, the wait is only a wait."""
    number = _terminal()
    if number is None:
        yield _only_wait
        return
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield lambda seconds: _key(number, seconds)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _terminal() -> int | None:
    """The descriptor of the terminal that we may read; None in the background, or where there is none."""
    try:
        number = sys.stdin.fileno()
        is_ours = os.isatty(number) and os.tcgetpgrp(number) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return None
    return number if is_ours else None


def _only_wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _key(number: int, seconds: float) -> str:
    ready, _, _ = select.select([number], [], [], seconds)
    if not ready:
        return ""
    return os.read(number, 1024).decode("utf-8", "replace")[-1:] or "\x04"  # its end: the terminal is gone
