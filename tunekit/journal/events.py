"""One line of a journal: a complete event as JSON, with its number and a checksum.

Events, with their own keys beside ``event`` and ``time`` (UTC, ISO 8601):

=============  ====================================================================================================
launched       schema, sweep (resolved: arms, spaces, seeds, metrics, ...), definition (the sweep file), versions,
               execution, host, pid; always the first line
amended        sweep, definition; the sweep was extended, or its paths, resources, budget or references changed
resumed        versions, execution, host, pid; a driver took the sweep up again
stopped        reason; the driver ended before the sweep was done, and this is why, as far as it could say
created        trial_id, arm, number, point_id, seed, params, config, phase, sampler (what the searcher remembers)
taken          trial_id, worker; it was handed out in the driver's own process, and is about to be opened there
started        trial_id, attempt, worker, facts (what the trial reads and how large it is); also before its test
reported       trial_id, report (epoch, value, metrics, duration_s), decision (stop, rung, cutoff, num_compared)
interrupted    trial_id, reason; the trial goes on from its last checkpoint
finished       trial_id, outcome
reopened       trial_id, reason; a failed trial is taken up again, and this is why it had failed
tested         trial_id, scores, baselines, num_examples; written once per trial, when its point is finalised; also
               num_labels, unseen_labels, granularity and duration_s, which earlier journals lack
=============  ====================================================================================================
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime

from tunekit.errors import TunekitError, nearest
from tunekit.schema import JsonObject, Values, to_json

SCHEMA = 4
"""Version of the journal's lines, and of the names of trials in them. Lines of schemas 2 and 3 have the same form."""

Event = Values
"""A line, parsed."""

_TRIAL = ("trial_id",)
KEYS: Mapping[str, tuple[str, ...]] = {
    "launched": ("schema", "sweep", "definition", "versions"),
    "amended": ("sweep", "definition"),
    "resumed": ("versions", "host", "pid"),
    "stopped": ("reason",),
    "created": (*_TRIAL, "arm", "number", "point_id", "seed", "params", "config", "phase", "sampler"),
    "taken": (*_TRIAL, "worker"),
    "started": (*_TRIAL, "attempt", "worker", "facts"),
    "reported": (*_TRIAL, "report", "decision"),
    "interrupted": (*_TRIAL, "reason"),
    "finished": (*_TRIAL, "outcome"),
    "reopened": (*_TRIAL, "reason"),
    "tested": (*_TRIAL, "scores", "baselines", "num_examples"),
}
"""The keys that each kind of event has."""

_CHECKSUM = b',"sum":"'
_CHECKSUM_SIZE = len(_CHECKSUM) + len('12345678"}\n')


class JournalError(TunekitError):
    """The journal holds a line that no driver wrote; names file and line."""


def now() -> str:
    """This moment as UTC ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def made(kind: str, content: Mapping[str, object]) -> Event:
    """An event of this moment, as it will be read again.

    Raises:
        ValueError: keys are missing.
    """
    missing = [key for key in KEYS[kind] if key not in content]
    if missing:
        raise ValueError(f"event {kind!r} lacks {', '.join(missing)}")
    return {"event": kind, "time": now(), **{key: to_json(value) for key, value in content.items()}}


def encoded(event: Event, number: int) -> bytes:
    """The line of `event`, which is the journal's `number`-th (from 1).

    Raises:
        ValueError: a number in it is NaN or infinite.
    """
    text = json.dumps({"n": number, **event}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A file name in a message may hold bytes that are no UTF-8; json reads them back as they were.
    body = text.encode("utf-8", "surrogatepass")[:-1]
    return b'%b%b%08x"}\n' % (body, _CHECKSUM, zlib.crc32(body))


def decoded(line: bytes, number: int, where: str) -> JsonObject:
    """The event of a line.

    Args:
        line: with its line feed.
        number: of the line, from 1.
        where: ``path:number``, for messages.

    Raises:
        JournalError: no driver wrote this line, or not here.
    """
    body, mark = line[:-_CHECKSUM_SIZE], line[-_CHECKSUM_SIZE:]
    if not mark.startswith(_CHECKSUM) or mark[len(_CHECKSUM) :] != b'%08x"}\n' % zlib.crc32(body):
        raise JournalError(f"{where}: the line is damaged: {line[:80]!r}; restore the file from a copy")
    event = parsed(line, where)
    if event.pop("n", None) != number:
        raise JournalError(f"{where}: a line is missing or stands twice before this one; restore the file from a copy")
    del event["sum"]
    require_complete(event, KEYS, where)
    return event


def parsed(line: bytes, where: str) -> JsonObject:
    """A line's JSON object.

    Raises:
        JournalError: it is none, or no event.
    """
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or "time" not in event:
        raise JournalError(f"{where}: not a journal event: {line[:80]!r}; restore the file from a copy")
    return event


def require_complete(event: Event, keys: Mapping[str, tuple[str, ...]], where: str) -> None:
    """Raise a JournalError if the event is of no known kind, or lacks one of its keys."""
    kind = event["event"]
    if kind not in keys:
        raise JournalError(f"{where}: unknown event {kind!r}; {nearest(kind, keys)}")
    missing = [key for key in keys[kind] if key not in event]
    if missing:
        raise JournalError(f"{where}: event {kind!r} lacks {', '.join(missing)}")
