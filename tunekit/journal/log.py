"""The journal of a sweep: an append-only file that the driver alone writes.

``journal.jsonl`` (in an object store the segments in ``journal/``) is the only truth. An event is on the disk before
its effect leaves the driver. Everything else (the Optuna studies, early-stopping rungs, budget spent, tables) is
rebuilt from it, so launching and resuming are one code path: replay, then go on. Each line carries its number and a
checksum, see :mod:`tunekit.journal.events`.
"""

from __future__ import annotations

import contextlib
import os
import socket

from tunekit.errors import ConfigError
from tunekit.journal import events
from tunekit.journal.events import Event
from tunekit.journal.reading import JournalReader
from tunekit.journal.record import SweepRecord
from tunekit.redaction import without_secrets
from tunekit.storage import AnyPath, Lease, Lock, SweepFolder, make_folder, open_to_append, take_lock


class SweepBusy(ConfigError):
    """Another process is running this sweep."""


class Journal:
    """The open journal of one sweep: replayed once, then appended to by this process alone.

    Attributes:
        record: what the events add up to, those included that are not on the disk yet.
    """

    def __init__(self, folder: AnyPath, *, durable: bool = True) -> None:
        """Take the sweep's lock and replay its journal; `folder` is made if it does not exist.

        Args:
            folder: the sweep's.
            durable: see the events on the disk at each `flush`; without it a machine that stops can lose the last ones.

        Raises:
            SweepBusy: another process holds the sweep.
            JournalError: the journal holds what no driver wrote, or an earlier tunekit wrote it.
            StorageError: the folder cannot be written.
        """
        self.folder = SweepFolder(folder)
        self.path = self.folder.journal
        self.record = SweepRecord()
        self.num_events = 0
        self._waiting: list[bytes] = []
        make_folder(folder)
        with contextlib.ExitStack() as opened:
            self._lock = opened.enter_context(contextlib.closing(_take_lock(self.folder)))
            file = open_to_append(self.path, self._lock, durable=durable)
            self._file = opened.enter_context(contextlib.closing(file))
            self._replay()
            opened.pop_all()  # kept open; a journal that cannot be read is released at once

    def _replay(self) -> None:
        """Replay what is there, and cut what a killed driver left of a half-written line."""
        reader = JournalReader(self.path)
        for _ in reader.new_events():
            pass
        self.record, self.num_events = reader.record, reader.num_events
        if self.num_events and self.record.schema < events.SCHEMA:
            raise ConfigError(
                f"{self.path} was written by an earlier tunekit (schema {self.record.schema}): its report can be read, "
                "but the sweep cannot go on; start it again under another --name"
            )
        self._file.keep(size=reader.size, num_lines=self.num_events)

    def append(self, kind: str, **content: object) -> Event:
        """Apply one event to :attr:`record`; `flush` then puts it on the disk.

        Raises:
            ValueError: an event that could not be replayed: keys are missing, a trial is unknown, a number is NaN.
        """
        is_known = content.get("trial_id") in self.record.trials
        if "trial_id" in content and is_known == (kind == "created"):
            happened = "created before" if is_known else "never created"
            raise ValueError(f"event {kind!r} is of trial {content['trial_id']}, which was {happened}")
        event = _with_public_reasons(events.made(kind, content))
        line = events.encoded(event, self.num_events + 1)
        self.record.apply(event)
        self._waiting.append(line)
        self.num_events += 1
        return event

    def flush(self) -> None:
        """See all events on the disk. To be called before the effect of any of them leaves this process.

        Raises:
            StorageError: the disk is full or gone. Nothing of the events is kept, and this journal takes no more; the
                sweep can be resumed.
        """
        if self._waiting:
            lines, self._waiting = b"".join(self._waiting), []
            self._file.append(lines)

    def close(self) -> None:
        """Release the sweep for other processes; events that were not flushed are not kept."""
        self._file.close()
        self._lock.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()


def _with_public_reasons(event: Event) -> Event:
    """`event` whose reasons hold no secrets: they may quote a library, and that an address with its token."""
    for part in (event, event.get("outcome")):
        if isinstance(part, dict) and isinstance(part.get("reason"), str):
            part["reason"] = without_secrets(part["reason"])
    return event


def _take_lock(folder: SweepFolder) -> Lock | Lease:
    try:
        return take_lock(folder.lock, f"process {os.getpid()} on {socket.gethostname()} since {events.now()}")
    except BlockingIOError as held:
        raise SweepBusy(
            f"sweep {folder.name!r} is being run by {held}; wait for it, stop it, or give this one another --name"
        ) from None
