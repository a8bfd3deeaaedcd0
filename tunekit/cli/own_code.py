"""Says which modules of the user's own are imported, and from where, before their code runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder

from tunekit.registry import announcing
from tunekit.wording import visible


class Notice:
    """Prints one line for each module, on standard output as it was when this was made, or on standard error."""

    def __init__(self, stream: int) -> None:
        self._stream = os.dup(stream)
        self._known: set[str] = set()
        self.is_error = False
        """Standard error instead: what stands on standard output is for another program."""

    def __call__(self, module: str) -> None:
        """Say that `module` is imported; once is enough."""
        if module in self._known:
            return
        self._known.add(module)
        line = f"imports code of yours: {module} (from {origin(module) or 'nowhere: it is not found'})"
        clear = "\r\x1b[2K" if os.isatty(self._stream) else ""  # a line that says what is waited for may stand there
        with suppress(OSError):
            sys.stdout.flush()
            os.write(2 if self.is_error else self._stream, f"{clear}{visible(line)}\n".encode("utf-8", "replace"))

    def close(self) -> None:
        """Give the stream back."""
        os.close(self._stream)


@contextmanager
def announced() -> Iterator[Notice]:
    """Everything that is imported by name inside is said first."""
    notice = Notice(1)
    try:
        with announcing(notice):
            yield notice
    finally:
        notice.close()


def origin(module: str) -> str | None:
    """The file of a module, found without running any of its code or of its packages'; None if there is none."""
    places: list[str] | None = None
    found = None
    for end, letter in enumerate(f"{module}."):
        if letter == ".":
            found = PathFinder.find_spec(module[:end], places)
            if found is None:
                return None
            places = list(found.submodule_search_locations or ())
    return found.origin if found is not None else None
