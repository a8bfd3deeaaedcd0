"""What happened: one append-only event log a sweep, and its replay into trial records.

``journal.jsonl`` is the only truth. The driver alone writes it, one complete JSON object a line, flushed to disk
before the event's effect is acted on. Everything else (the Optuna study, early-stopping rungs, budget spent,
tables) is rebuilt from it, so launching and resuming are one code path: replay, then go on.

Events, with their own keys beside ``event`` and ``time`` (UTC, ISO 8601):

=============  ====================================================================================================
launched       definition (the resolved sweep file), versions, schema; always the first line
amended        definition; the sweep was extended, or its paths, resources or budget changed
resumed        host, pid, versions; a driver took the sweep up again
created        trial_id, arm, number, point_id, seed, params, config, phase, sampler (what the searcher remembers)
started        trial_id, attempt, worker
reported       trial_id, report (epoch, value, metrics, duration_s)
decided        trial_id, epoch, decision (stop, rung, cutoff, num_compared)
interrupted    trial_id, reason; the trial goes on from its last checkpoint
finished       trial_id, outcome
tested         trial_id, scores, baselines, num_examples; written once a trial, when its point is finalised
=============  ====================================================================================================
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from tunekit.errors import ConfigError, StorageError, TunekitError, nearest
from tunekit.schema import build, to_json
from tunekit.trial import SCHEMA_VERSION, EpochReport, Outcome

FILE_NAME = "journal.jsonl"

_KEYS: dict[str, tuple[str, ...]] = {
    "launched": ("definition", "versions", "schema"),
    "amended": ("definition",),
    "resumed": ("host", "pid", "versions"),
    "created": ("trial_id", "arm", "number", "point_id", "seed", "params", "config", "phase", "sampler"),
    "started": ("trial_id", "attempt", "worker"),
    "reported": ("trial_id", "report"),
    "decided": ("trial_id", "epoch", "decision"),
    "interrupted": ("trial_id", "reason"),
    "finished": ("trial_id", "outcome"),
    "tested": ("trial_id", "scores", "baselines", "num_examples"),
}


class SweepBusy(ConfigError):
    """Another process is running this sweep."""


class JournalError(TunekitError):
    """The journal holds a line that no driver wrote; names file and line."""


@dataclass
class TrialRecord:
    """One trial as the journal tells it. Mutated only by :meth:`SweepRecord.apply`."""

    trial_id: str
    arm: str
    number: int
    """Which point of its arm this is, in the order in which the searcher drew them; replicates share it."""
    point_id: str
    seed: int
    params: dict[str, Any]
    """What the search chose (the seed too, where it is searched)."""
    config: dict[str, Any]
    """The whole resolved TrialConfig as JSON."""
    phase: str
    """``search``, or ``finalise`` for a replicate that only the final evaluation asked for."""
    created_at: str
    state: str = "RUNNING"
    reports: dict[int, EpochReport] = field(default_factory=dict)
    decisions: dict[int, dict[str, Any]] = field(default_factory=dict)
    num_attempts: int = 0
    num_interruptions: int = 0
    outcome: Outcome | None = None
    test_scores: dict[str, float] | None = None
    """``test/<language>/<metric>``, once the point is finalised."""
    baselines: dict[str, float] = field(default_factory=dict)
    """``majority/<language>/<metric>``: always predicting train's most frequent label."""
    num_test_examples: dict[str, int] = field(default_factory=dict)
    """Test sentences or pairs by language."""

    @property
    def value(self) -> float | None:
        """The best dev objective of a COMPLETE trial, else None."""
        return self.outcome.value if self.outcome is not None and self.state == "COMPLETE" else None

    @property
    def duration_s(self) -> float:
        """Seconds of training and dev evaluation reported so far, summed over epochs."""
        return sum(report.duration_s for report in self.reports.values())

    @property
    def best_so_far(self) -> float | None:
        """The best dev objective reported yet, whatever the state."""
        return max((report.value for report in self.reports.values()), default=None)


@dataclass
class SweepRecord:
    """A whole sweep as its journal tells it."""

    definition: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    launched_at: str = ""
    last_event_at: str = ""
    num_launches: int = 0
    trials: dict[str, TrialRecord] = field(default_factory=dict)
    """By trial_id, in the order of creation."""

    def arm(self, name: str) -> list[TrialRecord]:
        """The trials of one arm, in the order of creation."""
        return [trial for trial in self.trials.values() if trial.arm == name]

    def apply(self, event: Mapping[str, Any]) -> None:
        """Advance the record by one event; mutates it."""
        kind = event["event"]
        self.last_event_at = event["time"]
        if kind in ("launched", "amended"):
            self.definition = dict(event["definition"])
        if kind == "launched":
            self.launched_at = event["time"]
        if kind in ("launched", "resumed"):
            self.versions = dict(event["versions"])
            self.num_launches += 1
        if kind == "created":
            self.trials[event["trial_id"]] = _new_trial(event)
        elif "trial_id" in event:
            _advance(self.trials[event["trial_id"]], event)


def _new_trial(event: Mapping[str, Any]) -> TrialRecord:
    keys = ("trial_id", "arm", "number", "point_id", "seed", "params", "config", "phase")
    return TrialRecord(**{key: event[key] for key in keys}, created_at=event["time"])


def _advance(trial: TrialRecord, event: Mapping[str, Any]) -> None:
    match event["event"]:
        case "started":
            trial.num_attempts += 1
        case "interrupted":
            trial.num_interruptions += 1
        case "reported":
            report = build(EpochReport, event["report"], "journal")
            trial.reports[report.epoch] = report
        case "decided":
            trial.decisions[event["epoch"]] = dict(event["decision"])
        case "finished":
            trial.outcome = build(Outcome, event["outcome"], "journal")
            trial.state = trial.outcome.state
        case "tested":
            trial.test_scores = dict(event["scores"])
            trial.baselines = dict(event["baselines"])
            trial.num_test_examples = dict(event["num_examples"])


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The complete events of a journal, in order; a torn last line (a driver killed while writing) is left out.

    Raises:
        ConfigError: there is no such file.
        JournalError: a line that is not a known event, or events of another schema.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no journal is there, so no sweep") from None
    with stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):  # torn, or still being written by a driver at work
                return
            yield _parse(line, f"{path}:{number}")


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or "time" not in event:
        raise JournalError(f"{where}: not a journal event: {line[:80]!r}; restore the file from a copy")
    if event.get("schema", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise JournalError(f"{where}: written by schema {event['schema']}, this tunekit reads {SCHEMA_VERSION}")
    if event["event"] not in _KEYS:
        raise JournalError(f"{where}: unknown event {event['event']!r}; {nearest(event['event'], _KEYS)}")
    missing = [key for key in _KEYS[event["event"]] if key not in event]
    if missing:
        raise JournalError(f"{where}: event {event['event']!r} lacks {', '.join(missing)}")
    return event


def _replayed(path: Path, record: SweepRecord) -> Iterator[dict[str, Any]]:
    """The events of a journal, each once `record` has been advanced by it."""
    for number, event in enumerate(read_events(path), start=1):
        try:
            record.apply(event)
        except (KeyError, TypeError, ValueError, TunekitError) as error:
            what = f"no trial {error} was created before" if isinstance(error, KeyError) else str(error)
            raise JournalError(
                f"{path}:{number}: event {event['event']!r} does not fit: {what}; restore the file from a copy"
            ) from error
        yield event


def replay(path: Path) -> SweepRecord:
    """The sweep that the journal at `path` (a file, or the sweep's folder) tells of. Reads only; takes no lock."""
    path = path / FILE_NAME if path.is_dir() else path
    record = SweepRecord()
    for _ in _replayed(path, record):
        pass
    return record


class Journal:
    """The open journal of one sweep: replayed once, then appended to by this process alone.

    Attributes:
        events: every event so far, in order.
        record: what they add up to.
    """

    def __init__(self, folder: Path) -> None:
        """Take the sweep's lock and replay its journal; `folder` is made if it does not exist.

        Raises:
            SweepBusy: another process holds the sweep.
            JournalError: the journal holds what no driver wrote.
            StorageError: the folder cannot be written.
        """
        self.folder = folder
        self.path = folder / FILE_NAME
        self.record = SweepRecord()
        with contextlib.ExitStack() as opened:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock = opened.enter_context(_take_lock(folder))
                self._stream: IO[bytes] = opened.enter_context(self.path.open("ab", buffering=0))
            except OSError as error:
                raise StorageError(f"cannot write in {folder}: {error.strerror or error}") from error
            self.events: list[dict[str, Any]] = list(_replayed(self.path, self.record))
            self._drop_torn_line()
            opened.pop_all()  # kept open; a journal that cannot be read is released at once

    def _drop_torn_line(self) -> None:
        """Cut what a killed driver left of a half-written line, so that the next event starts on a line of its own."""
        content = self.path.read_bytes()
        good = sum(len(line) + 1 for line in content.split(b"\n")[: len(self.events)])
        if good < len(content):
            self._stream.truncate(good)

    def append(self, kind: str, **content: Any) -> dict[str, Any]:
        """Write one event, flush it to disk, then apply it to :attr:`record`.

        Raises:
            StorageError: the disk is full or gone. Nothing of the event is kept, and this journal takes no more; the
                sweep can be resumed.
            ValueError: an event that could not be replayed: keys are missing, a trial is unknown, a number is NaN.
        """
        missing = [key for key in _KEYS[kind] if key not in content]
        if missing:
            raise ValueError(f"event {kind!r} lacks {', '.join(missing)}")
        is_known = content.get("trial_id") in self.record.trials
        if "trial_id" in content and is_known == (kind == "created"):
            happened = "created before" if is_known else "never created"
            raise ValueError(f"event {kind!r} is of trial {content['trial_id']}, which was {happened}")
        event = {"event": kind, "time": now(), **to_json(content)}
        # A file name in a message may hold bytes that are no UTF-8; json reads them back as they were.
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        self._write(line.encode("utf-8", "surrogatepass"))
        self.events.append(event)
        self.record.apply(event)
        return event

    def _write(self, line: bytes) -> None:
        """Add a line and see it on the disk, or leave the file as it was."""
        if self._stream.closed:
            raise StorageError(f"cannot write {self.path}: it is closed, after an earlier failure or at the end")
        end = os.fstat(self._stream.fileno()).st_size
        try:
            written = self._stream.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")
            os.fsync(self._stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # else the next launch drops the torn line
                os.truncate(self.path, end)
            self._stream.close()  # a second event after a torn one would make the journal unreadable
            raise StorageError(
                f"cannot write {self.path}: {error.strerror or error}; free some space and run the same command again"
            ) from error

    def close(self) -> None:
        """Release the sweep for other processes."""
        self._stream.close()
        self._lock.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _take_lock(folder: Path) -> IO[str]:
    lock = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise SweepBusy(
            f"sweep {folder.name!r} is being run by {holder}; wait for it, stop it, or give this one another --name"
        ) from None
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}\n")
    lock.flush()
    return lock


def is_being_run(folder: Path) -> bool:
    """Whether a process holds the sweep in `folder` now."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def now() -> str:
    """This moment as UTC ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
