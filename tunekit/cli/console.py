"""The console that a person reads, and a log file for everything else that libraries print."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from typing_extensions import Buffer

from tunekit.redaction import without_secrets
from tunekit.storage import open_log, storage_errors
from tunekit.wording import visible

PLAIN_WIDTH = 120
"""Columns where no terminal tells and no COLUMNS is set."""


class PlainConsole(Console):
    """A console that shows what a terminal would obey, and that falls silent when nobody reads any longer.

    Names of files and labels come from anywhere; what is run goes on without its reader.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The pieces to print."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)

    def on_broken_pipe(self) -> None:
        """Print no more."""
        self.quiet = True
        _send_nowhere(self.file.fileno())


class _WithoutSecrets:
    """A stream that keeps secrets out of what Python code writes to it, tracebacks and logging included."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text`; secrets in it are replaced."""
        self._stream.write(without_secrets(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def _without_secrets() -> Iterator[None]:
    """What is printed inside, by us or by libraries, goes through `_WithoutSecrets`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _WithoutSecrets(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _send_nowhere(number: int) -> None:
    with open_log(Path(os.devnull)) as nowhere:
        os.dup2(nowhere.fileno(), number)


def flushed(code: int) -> int:
    """Write out what is still to be written, so that Python has nothing to complain of at its end. Gives `code`."""
    for stream, number in ((sys.__stdout__, 1), (sys.__stderr__, 2)):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            _send_nowhere(number)
    return code


def console(file: IO[str] | None = None, *, is_terminal: bool | None = None) -> Console:
    """A console on `file` (standard output) as wide as the terminal, or :data:`PLAIN_WIDTH` where there is none."""
    at_terminal = os.isatty(1) if is_terminal is None else is_terminal
    width = None if at_terminal or "COLUMNS" in os.environ else PLAIN_WIDTH
    if file is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a page for people is better with a sign missing than not at all
    return PlainConsole(file=file, force_terminal=at_terminal or None, width=width, highlight=False)


class _CarelessFile(io.FileIO):
    """A file whose writes are lost where the disk has no room: a line of a log must not fail what prints it."""

    def write(self, content: Buffer, /) -> int:
        """Write what fits; gives the number of all bytes."""
        try:
            return super().write(content) or 0
        except OSError:
            return memoryview(content).nbytes


def _careless(number: int) -> IO[str]:
    """A stream for what Python code prints to a descriptor."""
    file = io.BufferedWriter(_CarelessFile(number, "wb", closefd=False))
    return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", line_buffering=True)


@contextmanager
def quiet(log: Path) -> Iterator[Console]:
    """Send whatever this process and its libraries print to `log`; the yielded console still reaches the user.

    Secrets in what Python code prints do not reach the log (`tunekit.redaction`).

    Raises:
        StorageError: `log` cannot be written.
    """
    stream = open_log(log)
    sys.stdout.flush()
    sys.stderr.flush()
    is_terminal = os.isatty(1)
    saved = os.dup(1), os.dup(2)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with stream, os.fdopen(os.dup(1), "w", buffering=1, encoding=encoding, errors="replace") as user:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            with redirect_stdout(_careless(1)) as out, redirect_stderr(_careless(2)) as err, _without_secrets():
                yield console(user, is_terminal=is_terminal)
        finally:
            out.flush()
            err.flush()
            for original, number in zip(saved, (1, 2), strict=True):
                os.dup2(original, number)
                os.close(original)


@contextmanager
def quiet_for(log: Callable[[], Path | None]) -> Iterator[Console]:
    """Like `quiet`, where only the end shows whether there is a place to log to: `log` is asked then."""
    with tempfile.TemporaryDirectory(prefix="tunekit-") as scratch:
        printed = Path(scratch) / "printed"
        try:
            with quiet(printed) as console:
                yield console
        finally:
            path = log() if printed.stat().st_size else None
            if path is not None:
                with storage_errors(f"write {path}"), open_log(path) as kept:
                    kept.write(printed.read_bytes())


@contextmanager
def waiting(console: Console, message: str, *, is_logged: bool = False) -> Iterator[None]:
    """Say what takes time: in a terminal for as long as it takes, elsewhere as one line if `is_logged`."""
    if console.is_terminal and not console.is_dumb_terminal:
        with console.status(Text(message)):
            yield
        return
    if is_logged:
        console.print(message, markup=False, soft_wrap=True)
    yield


def written(files: Iterable[object]) -> str:
    """The lines that name the files that a command wrote."""
    return "\n".join(["written:", *(f"  {path}" for path in files)])
