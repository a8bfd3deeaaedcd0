"""A file that only grows, in an object store, where no object can grow: as a row of segments.

``journal/00000005.jsonl`` holds the lines from the fifth on that were written at once, and is made by one conditional
write: two writers can never both write a fifth line. ``journal/00000001-00000064.jsonl`` holds lines of several
segments, which are deleted once it is there. It is never changed, so a kill at any moment leaves each line somewhere,
and a line that stands twice is read once.

A writer that has lost its lease may make one segment more. Its lines do not count: the lease is looked at after each
write and before anybody acts on it, a merged segment comes before others that begin with the same line, and a segment
is taken as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunekit.errors import StorageError
from tunekit.storage import objects
from tunekit.storage.locks import LinesGone

if TYPE_CHECKING:
    from upath import UPath

FAN = 64
"""So many segments of one size are merged into one; and so many are read at the same time."""
MANY = 8
"""More segments than these are merged into one when the file is opened."""
OLD = 1000
"""The level of segments that were there when the file was opened."""
MAX_LOOKS = 5
"""A reader that finds segments merged under its hands looks again, at most so many times in a row."""
ENDING = ".jsonl"

_NAME = re.compile(rf"(\d+)(?:-(\d+))?{re.escape(ENDING)}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Segment:
    name: str
    first: int
    """Number of its first line, from 1."""
    last: int | None
    """Number of its last line; None of one that was not merged, whose name does not tell."""
    level: int = 0
    """How often its lines have been merged."""

    def lines_after(self, number: int, content: bytes) -> list[bytes]:
        """Its lines that come after line `number`; none if that line is not right before them."""
        lines = [line + b"\n" for line in content.split(b"\n")[:-1]]
        if self.first == number + 1:
            return lines
        return lines[number - self.first + 1 :] if self.last is not None and self.first <= number else []


def _segments(folder: UPath) -> list[_Segment]:
    """What is there, in the order in which it is to be read; what stands in a merged segment is left out."""
    found = []
    for name in objects.names(folder):
        if match := _NAME.fullmatch(name):
            found.append(_Segment(name, int(match[1]), int(match[2]) if match[2] else None))
    kept, end = [], 0
    for segment in sorted(found, key=lambda each: (each.first, -(each.last or 0))):
        if (segment.last or segment.first) > end:
            kept.append(segment)
            end = segment.last or end
    return kept


def _begun_by(num_lines: int, names: Iterable[str]) -> Iterator[str]:
    """Segments whose first line is among the first `num_lines`; those that a successor has added are not."""
    return (name for name in names if (match := _NAME.fullmatch(name)) and int(match[1]) <= num_lines)


def segment_lines(folder: UPath, *, num_lines: int = 0) -> Iterator[bytes]:
    """The lines in the segments at `folder`, each once, in their order.

    Args:
        folder: prefix of the segments.
        num_lines: that are known already; those after them are read, and no segment that holds none of them.

    Raises:
        LinesGone: lines are known, and nothing is there.
        StorageError: they cannot be read.
    """
    number, looks = num_lines, 0
    while looks < MAX_LOOKS:
        looks += 1
        segments = _segments(folder)
        if number and not segments:
            raise LinesGone(f"{folder} is gone")
        # A segment that was not merged was read whole, or its first line would not be known.
        waiting = [each for each in segments if (each.last or each.first) > number]
        for start in range(0, len(waiting), FAN):
            batch = waiting[start : start + FAN]
            contents = objects.read_many([folder / each.name for each in batch])
            for segment, content in zip(batch, contents, strict=True):
                if content is None or segment.first > number + 1:
                    break  # merged since it was listed
                for line in segment.lines_after(number, content):
                    number, looks = number + 1, 0
                    yield line
            else:
                continue
            break
        else:
            return
    raise StorageError(f"cannot read {folder}: segments of it are missing; restore them from a copy")


class SegmentedFile:
    """A file of lines in an object store: each piece that is appended is there, or the file is as it was.

    Args:
        folder: prefix of its segments.
        require_held: raises a StorageError if we are no longer the one who may write.
    """

    def __init__(self, folder: UPath, require_held: Callable[[], None]) -> None:
        self.path = folder
        self._require_held = require_held
        self._next = 1
        self._is_closed = False
        self._segments: list[_Segment] = []

    def keep(self, *, size: int, num_lines: int) -> None:
        """Go on after the first `num_lines` lines, all that were read; `size` bytes, which no object store needs.

        Raises:
            StorageError: the segments cannot be read.
        """
        self._next = num_lines + 1
        self._segments = [replace(each, level=OLD) for each in _segments(self.path)]
        if len(self._segments) > MANY and self._merge(self._segments, num_lines):
            kept = self._segments[0].name
            self._require_held()
            objects.remove(self.path / name for name in _begun_by(num_lines, objects.names(self.path)) if name != kept)

    def append(self, content: bytes) -> None:
        """Add whole lines at the end.

        Raises:
            StorageError: they cannot be written, or another process has written in our place. This object takes no
                more.
        """
        if self._is_closed:
            raise StorageError(f"cannot write {self.path}: it is closed, after an earlier failure or at the end")
        self._is_closed = True
        segment = _Segment(f"{self._next:08}{ENDING}", self._next, None)
        if not objects.create(self.path / segment.name, content):
            self._require_held()  # says by whom, where the lease tells
            raise StorageError(
                f"another driver has written line {self._next} of {self.path}; nothing is lost, run the same command "
                "again"
            )
        self._require_held()
        self._next += content.count(b"\n")
        self._is_closed = False
        self._segments.append(segment)
        self._merge_some()

    def _merge_some(self) -> None:
        """Whenever there are many segments of one size at the end, make one of them."""
        while len(self._segments) >= FAN and len({each.level for each in self._segments[-FAN:]}) == 1:
            with contextlib.suppress(StorageError):
                if self._merge(self._segments[-FAN:], self._next - 1):
                    continue
            return

    def _merge(self, old: list[_Segment], last: int) -> bool:
        """Make one segment of `old`, which end with line `last`; then delete them. False: it was not to be done."""
        first = old[0].first
        number, pieces = first - 1, []
        for segment, content in zip(old, objects.read_many([self.path / each.name for each in old]), strict=True):
            lines = segment.lines_after(number, content or b"")
            number += len(lines)
            pieces += lines
        merged = _Segment(f"{first:08}-{last:08}{ENDING}", first, last, old[-1].level + 1)
        if number != last or not objects.create(self.path / merged.name, b"".join(pieces)):
            logger.warning("segments of %s are left as they are: lines %d to %d do not fit", self.path, first, last)
            return False
        self._segments[-len(old) :] = [merged]
        self._require_held()  # or a successor could have made other segments of these names
        objects.remove(self.path / each.name for each in old if each.name != merged.name)
        return True

    def close(self) -> None:
        """Take no more; a second time has no effect."""
        self._is_closed = True
