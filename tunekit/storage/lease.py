"""One writer at a time in an object store, which has no locks: a lease that its holder renews.

``lock/000001``, ``lock/000002``, ... are generations. Each is made by one conditional write, so two processes never
make the same one, and the newest one's maker is the holder. While it works, it writes ``lock/000002.beat`` every
:data:`BEAT_S` seconds. Who wants the lease watches that object by its own clock, since clocks of two machines are never
compared: if it changes, the holder lives; if it stands still for :data:`PATIENCE_S` seconds, the next generation may be
made. A holder that ended in good order says so there, and one of this very machine whose process is gone needs no
watching.

A holder that was only slow finds the newer generation after its next write (`Lease.require_held`), and stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.errors import StorageError
from tunekit.storage import objects

if TYPE_CHECKING:
    from upath import UPath

BEAT_S = 1.5
"""Seconds between two signs of life."""
PATIENCE_S = 9.0
"""Seconds without a sign of life after which a holder is taken for dead."""
POLL_S = 0.5
"""Seconds between two looks of one who waits."""
RELEASED = b"released\n"

Sleep = Callable[[float], object]


@dataclass(frozen=True)
class _Generation:
    """What stands in the object of one generation."""

    text: str
    """Who holds it, in words."""
    machine: str
    pid: int

    @property
    def is_dead_here(self) -> bool:
        """Whether it was a process of this machine that is gone. Of other machines nothing is known."""
        return self.machine == _machine() and not Path(f"/proc/{self.pid}").exists()


class Lease:
    """The lease at `folder`, held until `close`, or until the process ends and somebody else asks for it.

    Args:
        folder: prefix of its objects.
        text: who we are, for others.
        pause: called with seconds between two looks; a test hands in one that does not wait.
        beats: renew it in a thread of its own.

    Raises:
        BlockingIOError: another process holds it; the message says who.
        StorageError: the store does not answer.
    """

    def __init__(self, folder: UPath, text: str, *, pause: Sleep = time.sleep, beats: bool = True) -> None:
        self.path = folder
        before = _newest(folder)
        if before:
            _require_free(folder, before, pause)
        self.generation = before + 1
        # Unlike any other's, so that a write whose answer was lost is known again.
        content = {"holder": text.strip(), "machine": _machine(), "pid": os.getpid(), "token": uuid.uuid4().hex}
        if not objects.create(_object(folder, self.generation), json.dumps(content).encode()):
            raise BlockingIOError(_read(folder, self.generation).text)
        self._end = threading.Event()
        self._beat(0)
        objects.remove(old for old in map(folder.joinpath, objects.names(folder)) if _number(old.name) < before + 1)
        self._thread = threading.Thread(target=self._live, name="tunekit-lease", daemon=True)
        if beats:
            self._thread.start()

    def _live(self) -> None:
        number = 0
        while not self._end.wait(BEAT_S):
            number += 1
            with contextlib.suppress(StorageError):  # a beat that is missing is made up for by the next
                self._beat(number)

    def _beat(self, number: int) -> None:
        objects.write(_beat_of(self.path, self.generation), f"{number}\n".encode())

    def require_held(self) -> None:
        """Make sure that what was written before this call was written by the holder.

        Raises:
            StorageError: another process has taken the lease over.
        """
        newest = _newest(self.path)
        if newest != self.generation:
            holder = _read(self.path, newest).text if newest else "nobody"
            raise StorageError(
                f"another driver has taken the sweep over: {holder}. This one was not heard of for {PATIENCE_S:.0f} "
                "seconds; what it had written is kept"
            )

    def close(self) -> None:
        """Give the lease back; a second time has no effect."""
        if self._end.is_set():
            return
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(timeout=PATIENCE_S)
        with contextlib.suppress(StorageError):  # then others wait for a while
            if _newest(self.path) == self.generation:
                objects.write(_beat_of(self.path, self.generation), RELEASED)


def holder_of_lease(folder: UPath, *, pause: Sleep = time.sleep) -> str | None:
    """What the holder of the lease says of itself; None if nobody holds it. Takes nothing.

    To tell a holder that lives from one that died, its beat is watched for up to :data:`PATIENCE_S` seconds.

    Raises:
        StorageError: the store does not answer.
    """
    newest = _newest(folder)
    if not newest:
        return None
    try:
        _require_free(folder, newest, pause)
    except BlockingIOError as held:
        return str(held)
    return None


class LeaseWatch:
    """Who holds the lease at `folder`, asked again and again without waiting: each look compares with those before.

    Args:
        folder: prefix of its objects.
        clock: seconds of this machine.
    """

    def __init__(self, folder: UPath, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._seen: tuple[int, bytes | None] | None = None
        self._since = 0.0

    def look(self) -> str | None:
        """What the holder says of itself; None if nobody holds it, or it has not beaten for :data:`PATIENCE_S` seconds.

        Raises:
            StorageError: the store does not answer.
        """
        newest = _newest(self._folder)
        if not newest:
            return None
        holder, beat = _read(self._folder, newest), objects.read(_beat_of(self._folder, newest))
        if beat == RELEASED or holder.is_dead_here:
            return None
        if self._seen != (newest, beat):
            self._seen, self._since = (newest, beat), self._clock()
        return holder.text if self._clock() - self._since < PATIENCE_S else None


def _require_free(folder: UPath, generation: int, pause: Sleep) -> None:
    """Return once the holder of `generation` is known to be gone; raise a BlockingIOError if it lives."""
    holder, beat = _read(folder, generation), objects.read(_beat_of(folder, generation))
    if beat == RELEASED or holder.is_dead_here:
        return
    waited_s = 0.0
    while waited_s < PATIENCE_S:
        pause(POLL_S)
        waited_s += POLL_S
        now = objects.read(_beat_of(folder, generation))
        if now == RELEASED:
            return
        if now != beat:
            raise BlockingIOError(holder.text)


def _newest(folder: UPath) -> int:
    return max((_number(name) for name in objects.names(folder) if name.isdecimal()), default=0)


def _number(name: str) -> int:
    digits = name.partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


def _object(folder: UPath, generation: int) -> UPath:
    return folder / f"{generation:06}"


def _beat_of(folder: UPath, generation: int) -> UPath:
    return folder / f"{generation:06}.beat"


def _read(folder: UPath, generation: int) -> _Generation:
    try:
        content = json.loads(objects.read(_object(folder, generation)) or b"{}")
    except ValueError:
        content = {}
    pid = content.get("pid")
    return _Generation(
        text=str(content.get("holder") or "another process"),
        machine=str(content.get("machine") or ""),
        pid=pid if isinstance(pid, int) else 0,
    )


def _machine() -> str:
    """This machine since its start, and the space in which it counts processes, since containers have their own."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {started} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"unknown {uuid.uuid4().hex}"
