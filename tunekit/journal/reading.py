"""Reading a journal: whole, or piece by piece while a driver writes it. Takes no lock and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tunekit.errors import ConfigError, TunekitError
from tunekit.journal import events, schema_1
from tunekit.journal.events import Event, JournalError
from tunekit.journal.record import SweepRecord
from tunekit.storage import AnyPath, SweepFolder, whole_lines


class JournalReader:
    """A journal that may be growing: each time the events that are new are read, and :attr:`record` is advanced.

    What was read is not read again, so that a look costs what has happened since the last one. A torn last line waits
    until it is whole.

    Attributes:
        record: what the events read so far add up to.
    """

    def __init__(self, path: AnyPath) -> None:
        """Read nothing yet.

        Args:
            path: `SweepFolder.journal`.
        """
        self._lines = _Lines(path)
        self.record = SweepRecord()

    @property
    def num_events(self) -> int:
        """Events read so far."""
        return self._lines.number

    @property
    def size(self) -> int:
        """Bytes up to the end of the last event read."""
        return self._lines.size

    def new_events(self) -> Iterator[Event]:
        """The events since the last one read, each after `record` was advanced by it.

        Raises:
            JournalError: a line that no driver wrote, or one that does not fit; this object is of no more use.
            LinesGone: the journal was cut or replaced; a new reader reads it from its beginning.
            StorageError: it cannot be read now; another time it goes on where this ended.
        """
        for event in self._lines.new():
            try:
                self.record.apply(event)
            except (KeyError, TypeError, ValueError, TunekitError) as error:
                what = f"no trial {error} was created before" if isinstance(error, KeyError) else str(error)
                raise JournalError(
                    f"{self._lines.where}: event {event['event']!r} does not fit: {what}; restore the file from a copy"
                ) from error
            yield event


class _Lines:
    """The lines of one journal as events, read once each."""

    def __init__(self, path: AnyPath) -> None:
        self._path = path
        self._translator: schema_1.Translator | None = None
        self.number = 0
        """Of the last line read, from 1."""
        self.size = 0
        """Bytes up to its end."""

    @property
    def where(self) -> str:
        """The last line read, for messages."""
        return f"{self._path}:{self.number}"

    def new(self) -> Iterator[Event]:
        """The events of the lines after those that were read."""
        for line in whole_lines(self._path, size=self.size, num_lines=self.number):
            self.number += 1
            self.size += len(line)
            if self.number == 1 and schema_1.is_of_schema_1(line):
                self._translator = schema_1.Translator(whole_lines(self._path))
            yield self._event(line)

    def _event(self, line: bytes) -> Event:
        if self._translator is not None:
            event = self._translator.event(line, self.where)
        else:
            event = events.decoded(line, self.number, self.where)
        if event["event"] == "launched" and event["schema"] not in range(schema_1.SCHEMA, events.SCHEMA + 1):
            raise JournalError(
                f"{self.where}: written by schema {event['schema']}, this tunekit reads {events.SCHEMA} and less"
            )
        return event


def read_events(path: AnyPath) -> Iterator[Event]:
    """The complete events of a journal, in order; a torn last line (a driver killed while writing) is left out.

    Args:
        path: `SweepFolder.journal`.

    Raises:
        ConfigError: there is no such file.
        JournalError: a line that is not an event, is damaged, missing or repeated, or is of an unknown schema.
    """
    _require(path)
    yield from _Lines(path).new()


def replay(path: AnyPath) -> SweepRecord:
    """The sweep that the journal at `path` (a file, or the sweep's folder) tells of. Reads only; takes no lock."""
    is_folder = path.is_dir() if isinstance(path, Path) else path != SweepFolder(path.parent).journal
    path = SweepFolder(path).journal if is_folder else path
    _require(path)
    reader = JournalReader(path)
    for _ in reader.new_events():
        pass
    return reader.record


def _require(path: AnyPath) -> None:
    is_there = path.exists() if isinstance(path, Path) else SweepFolder(path.parent).exists
    if not is_there:
        raise ConfigError(f"{path}: no journal is there, so no sweep")
