"""Who worked when: what each worker had in hand, read from the events of a journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Literal

from tunekit.journal import Event, SweepRecord, read_events
from tunekit.reports.results import SweepResult


@dataclass(frozen=True, kw_only=True)
class Spell:
    """One trial in the hands of one worker, from its start until it was finished, tested, stopped or given back."""

    worker: str
    start: datetime
    end: datetime
    arm: str
    trial_id: str
    what: Literal["search", "finalise", "test"]
    """``test`` where it was taken up for its test alone."""

    @property
    def duration_s(self) -> float:
        """Seconds by the driver's clock."""
        return max(0.0, (self.end - self.start).total_seconds())


def spells(result: SweepResult) -> list[Spell]:
    """Every spell, by its start; empty where only the record is at hand, and no folder with its journal."""
    if result.folder is None:
        return []
    return sorted(_spells(read_events(result.folder.journal), result.record), key=lambda spell: spell.start)


def _spells(events: Iterable[Event], record: SweepRecord) -> Iterator[Spell]:
    """As events tell them. What a driver that died had in hand ends with its last event."""
    in_hand: dict[str, Spell] = {}
    finished: set[str] = set()
    last = datetime.min
    for event in events:
        kind, time, trial_id = event["event"], datetime.fromisoformat(event["time"]), event.get("trial_id", "")
        if kind in ("resumed", "stopped"):
            yield from (_ended(spell, last) for spell in in_hand.values())
            in_hand.clear()
        elif kind == "started":
            if trial_id in in_hand:
                yield _ended(in_hand.pop(trial_id), last)
            in_hand[trial_id] = _begun(event, time, record, is_test=trial_id in finished)
        elif kind == "reopened":
            finished.discard(trial_id)
        elif kind == "finished":
            finished.add(trial_id)
        if kind in ("interrupted", "finished", "tested") and trial_id in in_hand and not _goes_on(event, record):
            yield _ended(in_hand.pop(trial_id), time)
        last = time
    yield from (_ended(spell, last) for spell in in_hand.values())


def _begun(event: Event, time: datetime, record: SweepRecord, *, is_test: bool) -> Spell:
    trial = record.trials[event["trial_id"]]
    what: Literal["search", "finalise", "test"] = "finalise" if trial.phase == "finalise" else "search"
    return Spell(
        worker=str(event["worker"]), start=time, end=time, arm=trial.arm, trial_id=trial.trial_id,
        what="test" if is_test else what,
    )  # fmt: skip


def _ended(spell: Spell, time: datetime) -> Spell:
    return replace(spell, end=max(spell.start, time))


def _goes_on(event: Event, record: SweepRecord) -> bool:
    """Whether the worker tests at once what it has just trained for finalising."""
    trial = record.trials[event["trial_id"]]
    return event["event"] == "finished" and trial.phase == "finalise" and trial.test_scores is not None


def busy_s(found: Iterable[Spell]) -> float:
    """Seconds in which at least one of the spells of a worker went on; a worker may train several trials at once."""
    total, end = 0.0, None
    for spell in sorted(found, key=lambda spell: spell.start):
        start = spell.start if end is None else max(spell.start, end)
        total += max(0.0, (spell.end - start).total_seconds())
        end = spell.end if end is None else max(end, spell.end)
    return total


def by_worker(found: Iterable[Spell]) -> dict[str, list[Spell]]:
    """The spells of each worker, the first to start first."""
    ordered = sorted(found, key=lambda spell: spell.start)
    order = {worker: place for place, worker in enumerate(dict.fromkeys(spell.worker for spell in ordered))}
    parts = groupby(sorted(ordered, key=lambda spell: order[spell.worker]), key=lambda spell: spell.worker)
    return {worker: list(spells) for worker, spells in parts}
