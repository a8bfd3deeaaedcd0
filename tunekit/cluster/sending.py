"""On the cluster: print a sweep's folder, so that it can be read from a machine that reaches the dashboard alone.

``python -m tunekit.cluster.sending ROOT NAME [--checkpoints]`` is a Ray job. Lines that begin with `MARK` are for
:mod:`tunekit.cluster.fetching`; whatever Ray prints between them is skipped. Once everything has been read, the job is
stopped; then, or after a while, it empties its log, so that no copy of the results stays on the head.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable

from tunekit.errors import TunekitError
from tunekit.storage import SweepFolder, place, sweep_folder
from tunekit.storage.snapshot import write_snapshot

MARK = "tunekit-snapshot-1 "
"""How each line of ours begins: a word for its kind comes next, then its content."""
LINE_BYTES = 96 * 1024
"""Of the archive in one line; Ray sends whole lines, and its messages may not be much larger than a megabyte."""
PATIENCE_S = 900.0
"""How long the log is kept where nobody says that it has been read."""


def ending(digest: str, num_bytes: int) -> str:
    """The content of the last line, by which the reader knows that nothing is missing."""
    return f"sha256 {digest} of {num_bytes} bytes"


class Lines(io.RawIOBase):
    """A file that prints what is written to it.

    Args:
        say: gets each line.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__()
        self._say = say
        self._waiting = bytearray()
        self._digest = hashlib.sha256()
        self._num_bytes = 0

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        """Print it, as far as it fills lines."""
        self._waiting += piece
        self._digest.update(piece)
        self._num_bytes += len(piece)
        while len(self._waiting) >= LINE_BYTES:
            self._print(LINE_BYTES)
        return len(piece)

    def finish(self) -> None:
        """Print the rest, and what tells whether all has arrived."""
        if self._waiting:
            self._print(len(self._waiting))
        self._say(f"{MARK}end {ending(self._digest.hexdigest(), self._num_bytes)}")

    def _print(self, num_bytes: int) -> None:
        self._say(f"{MARK}data {base64.b64encode(self._waiting[:num_bytes]).decode()}")
        del self._waiting[:num_bytes]


def send(folder: SweepFolder, say: Callable[[str], object], *, checkpoints: bool) -> None:
    """Print everything of the sweep in `folder`, or the reason why that cannot be done."""
    lines = Lines(say)
    write_snapshot(folder, lines, checkpoints=checkpoints)  # type: ignore[arg-type]
    lines.finish()


def main() -> None:
    """Print, wait to be stopped, and leave no copy behind."""
    root, name, *options = sys.argv[1:]
    read = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: read.set())
    say = _printer()
    try:
        send(sweep_folder(name, place(root)), say, checkpoints="--checkpoints" in options)
    except TunekitError as error:
        say(f"{MARK}refused {json.dumps(str(error))}")
    read.wait(PATIENCE_S)
    sys.stdout.flush()
    os.ftruncate(1, 0)


def _printer() -> Callable[[str], object]:
    def say(line: str) -> None:
        print(line, flush=True)

    return say


if __name__ == "__main__":
    main()
