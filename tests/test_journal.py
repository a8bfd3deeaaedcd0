"""The journal: whatever a killed driver, a full disk or a second process does to it, it tells the same story."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import ConfigError, StorageError
from tunekit.journal import (
    FILE_NAME,
    SCHEMA,
    Journal,
    JournalError,
    SweepBusy,
    SweepRecord,
    events,
    read_events,
    replay,
)
from tunekit.trial import EpochReport, Outcome, TrialFacts

DEFINITION = {"name": "demo", "arms": {"größe": {"method": "finetune"}}}


RESOLVED = {"name": "demo", "seeds": [10]}
FACTS = TrialFacts(fingerprints={"backbone": "0a"}, num_updates_per_epoch=7)
GO_ON = {"stop": False, "rung": 1, "cutoff": None, "num_compared": 0}


def launched(**changes: Any) -> dict[str, Any]:
    return {"definition": DEFINITION, "sweep": RESOLVED, "versions": {"torch": "2.13"}, "schema": SCHEMA, **changes}


def created(trial_id: str = "t1", **changes: Any) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "arm": "größe",
        "number": 0,
        "point_id": "p1",
        "seed": 10,
        "params": {"learning_rate": 1e-4, "words": "猫\n\u2028 dog"},
        "config": {"seed": 10},
        "phase": "search",
        "sampler": {"trial": {}, "study": {}},
        **changes,
    }


def report(epoch: int, value: float = 0.5) -> EpochReport:
    return EpochReport(epoch=epoch, value=value, metrics={"dev/en/accuracy": value}, duration_s=1.5)


def write_story(folder: Path) -> SweepRecord:
    """One sweep with every kind of event."""
    with Journal(folder) as journal:
        journal.append("launched", **launched())
        journal.append("created", **created())
        journal.append("started", trial_id="t1", attempt=1, worker="w1", facts=FACTS)
        journal.append("reported", trial_id="t1", report=report(1), decision=GO_ON)
        journal.append("interrupted", trial_id="t1", reason="worker died")
        journal.append("amended", definition={**DEFINITION, "budget": {"hours": 8}}, sweep=RESOLVED)
        journal.append("resumed", host="h", pid=1, versions={"torch": "2.14"})
        journal.append("started", trial_id="t1", attempt=2, worker="w2", facts=FACTS)
        journal.append("reported", trial_id="t1", report=report(2, 0.75), decision=GO_ON)
        outcome = Outcome(state="COMPLETE", value=0.75, best_epoch=2, metrics={"dev/en/accuracy": 0.75})
        journal.append("finished", trial_id="t1", outcome=outcome)
        journal.append(
            "tested",
            trial_id="t1",
            scores={"test/de/accuracy": 0.6},
            baselines={"majority/de/accuracy": 0.3},
            num_examples={"de": 200},
        )
        journal.append("created", **created("t2", number=1))
        journal.append("finished", trial_id="t2", outcome=Outcome(state="FAILED", value=None, reason="disk is gone"))
        journal.append("reopened", trial_id="t2", reason="disk is gone")
        journal.append("finished", trial_id="t2", outcome=Outcome(state="FAILED", value=None, reason="loss became nan"))
        return journal.record


NUM_EVENTS = 15
"""Of the story."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a sweep that has seen everything."""
    write_story(tmp_path / "demo")
    return tmp_path / "demo"


# -- replay ----------------------------------------------------------------------------------------------------------


def test_a_replay_tells_what_the_driver_knew(tmp_path: Path) -> None:
    record = write_story(tmp_path / "demo")
    assert replay(tmp_path / "demo") == record
    assert replay(tmp_path / "demo" / FILE_NAME) == record
    with Journal(tmp_path / "demo") as journal:
        assert journal.record == record


def test_a_record_adds_its_events_up(folder: Path) -> None:
    record = replay(folder)
    first, second = record.trials.values()
    assert record.definition["budget"] == {"hours": 8}
    assert (record.num_launches, record.versions) == (2, {"torch": "2.14"})
    assert (first.state, first.value, first.best_so_far, first.duration_s) == ("COMPLETE", 0.75, 0.75, 3.0)
    assert (first.num_attempts, first.num_interruptions) == (2, 1)
    assert first.decisions == {1: GO_ON, 2: GO_ON}
    assert first.facts == FACTS
    assert (first.test_scores, first.baselines) == ({"test/de/accuracy": 0.6}, {"majority/de/accuracy": 0.3})
    assert first.num_test_examples == {"de": 200}
    assert first.params["words"] == "猫\n\u2028 dog"
    assert (second.state, second.value, second.best_so_far) == ("FAILED", None, None)
    assert second.outcome is not None and second.outcome.reason == "loss became nan"
    assert second.earlier_failures == ["disk is gone"]
    assert [trial.trial_id for trial in record.arm("größe").trials] == ["t1", "t2"]
    assert [point.value for point in record.arm("größe").points] == [0.75, None]
    assert record.arm("other").trials == []


def test_what_trials_of_an_arm_have_in_common_is_kept_once(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append("launched", **launched())
        for number, task in enumerate(({"sample_seed": 1}, {"sample_seed": 1}, {"sample_seed": 2})):
            config = {"seed": number, "task": dict(task)}
            journal.append("created", **created(f"t{number}", number=number, point_id=f"p{number}", config=config))
            journal.append("started", trial_id=f"t{number}", attempt=1, worker="w1", facts=FACTS)
    first, second, third = replay(tmp_path).trials.values()
    assert [trial.config for trial in (first, second, third)] == [
        {"seed": 0, "task": {"sample_seed": 1}},
        {"seed": 1, "task": {"sample_seed": 1}},
        {"seed": 2, "task": {"sample_seed": 2}},
    ]
    assert first.config["task"] is second.config["task"] and first.facts is third.facts == FACTS


def test_the_events_in_memory_are_those_on_the_disk(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        made = [
            journal.append("launched", **launched(definition={"seeds": (1, 2), "arms": {}})),
            journal.append("created", **created(params={"learning_rate": 0.1 + 0.2, "tiny": 5e-324})),
        ]
        assert list(read_events(tmp_path / FILE_NAME)) == [], "nothing is written before it is flushed"
        journal.flush()
        assert list(read_events(tmp_path / FILE_NAME)) == made


def test_events_that_were_not_flushed_are_not_kept_when_the_driver_dies(folder: Path) -> None:
    before = (folder / FILE_NAME).read_bytes()
    with pytest.raises(KeyboardInterrupt), Journal(folder) as journal:
        journal.append("resumed", host="h", pid=2, versions={})
        raise KeyboardInterrupt
    assert (folder / FILE_NAME).read_bytes() == before


def test_a_message_with_bytes_that_are_no_text_is_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.tsv")
    with Journal(tmp_path) as journal:
        journal.append("launched", **launched())
        journal.append("created", **created())
        journal.append("interrupted", trial_id="t1", reason=f"{name} is gone")
        journal.flush()
    *_, last = read_events(tmp_path / FILE_NAME)
    assert last["reason"] == f"{name} is gone"


def test_reading_a_sweep_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no journal is there"):
        replay(tmp_path)


# -- torn and corrupt ------------------------------------------------------------------------------------------------


def test_a_journal_torn_at_any_byte_of_its_last_lines_tells_every_whole_event(folder: Path) -> None:
    path = folder / FILE_NAME
    content = path.read_bytes()
    whole = list(read_events(path))
    for size in range(content.rindex(b'{"n":12,"event":"created"'), len(content)):
        path.write_bytes(content[:size])
        assert list(read_events(path)) == whole[: content[:size].count(b"\n")], size


@pytest.mark.parametrize("line", [0, 1, 6, -1])
def test_a_torn_line_is_dropped_and_the_next_event_stands_alone(folder: Path, line: int) -> None:
    path = folder / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    before, torn = lines[: line % len(lines)], lines[line]
    for size in {1, 2, len(torn) // 2, len(torn) - 2, len(torn) - 1}:
        path.write_bytes(b"".join(before) + torn[:size])
        with Journal(folder) as journal:
            assert journal.num_events == len(before)
            assert path.read_bytes() == b"".join(before)
            kind, content = ("resumed", {"host": "h", "pid": 2, "versions": {}}) if before else ("launched", launched())
            journal.append(kind, **content)
        assert [event["event"] for event in read_events(path)][-1] == kind


def test_a_reader_beside_a_driver_at_work_sees_whole_events_only(folder: Path) -> None:
    path = folder / FILE_NAME
    with path.open("ab") as stream:
        reading = read_events(path)
        assert next(reading)["event"] == "launched"
        stream.write(b'{"event": "resu')
        stream.flush()
        assert len(list(reading)) == NUM_EVENTS - 1


def _signed(event: dict[str, Any], number: int) -> bytes:
    """A line with a right checksum, whatever it says."""
    return events.encoded({"time": "", **event}, number)[:-1]


@pytest.mark.parametrize(
    "damage", [b"", b"garbage", b"\x00\x00\x00\x00", b"\xff\xfe", b"[1, 2]", b'{"event": "started"}']
)
@pytest.mark.parametrize("line", [2, 12])
def test_a_line_that_no_driver_wrote_is_refused_by_its_number(folder: Path, damage: bytes, line: int) -> None:
    _refused(folder, line, damage, "the line is damaged")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"event": ["started"]}, "not a journal event"),
        ({"event": "startled"}, "unknown event 'startled'; did you mean 'started'?"),
        ({"event": "started", "trial_id": "t1"}, "event 'started' lacks attempt, worker, facts"),
        ({"event": "launched", **launched(schema=99)}, "written by schema 99, this tunekit reads 4"),
        ({"event": "launched", **launched()}, "event 'launched' does not fit: the sweep was launched before"),
        (
            {"event": "started", "trial_id": "t9", "attempt": 1, "worker": "", "facts": None},
            "event 'started' does not fit: no trial 't9' was created before",
        ),
        (
            {"event": "reported", "trial_id": "t1", "report": {"epoch": "x"}, "decision": None},
            "event 'reported' does not fit: ",
        ),
        ({"event": "created", **created()}, "event 'created' does not fit: trial t1 was created before"),
        (
            {"event": "created", **created("t7", number=4)},
            "event 'created' does not fit: point 4 of größe",
        ),
    ],
)
@pytest.mark.parametrize("line", [2, 12])
def test_an_event_that_does_not_fit_is_refused_by_its_number(
    folder: Path, event: dict[str, Any], message: str, line: int
) -> None:
    _refused(folder, line, _signed(event, line + 1), message)


OUT_OF_ORDER: dict[str, tuple[str, dict[str, Any]]] = {
    "an epoch of a finished trial": ("reported", {"trial_id": "t1", "report": report(3), "decision": GO_ON}),
    "an epoch of a failed trial": ("reported", {"trial_id": "t2", "report": report(1), "decision": GO_ON}),
    "an epoch told twice": ("reported", {"trial_id": "t3", "report": report(2), "decision": GO_ON}),
    "an epoch that goes back": ("reported", {"trial_id": "t3", "report": report(1), "decision": GO_ON}),
    "an epoch before the first": ("reported", {"trial_id": "t3", "report": report(0), "decision": GO_ON}),
    "a second outcome": ("finished", {"trial_id": "t1", "outcome": Outcome(state="FAILED", value=None)}),
    "a start of a tested trial": ("started", {"trial_id": "t1", "attempt": 3, "worker": "w", "facts": None}),
    "a start of a failed trial": ("started", {"trial_id": "t2", "attempt": 1, "worker": "w", "facts": None}),
    "a complete trial reopened": ("reopened", {"trial_id": "t1", "reason": ""}),
    "a running trial reopened": ("reopened", {"trial_id": "t3", "reason": ""}),
    "a second test": ("tested", {"trial_id": "t1", "scores": {}, "baselines": {}, "num_examples": {}}),
    "a test of a failed trial": ("tested", {"trial_id": "t2", "scores": {}, "baselines": {}, "num_examples": {}}),
    "a test of a running trial": ("tested", {"trial_id": "t3", "scores": {}, "baselines": {}, "num_examples": {}}),
    "a trial created twice": ("created", created("t3", number=2)),
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_what_no_driver_does_in_this_order_is_neither_written_nor_read(folder: Path, name: str) -> None:
    kind, content = OUT_OF_ORDER[name]
    with Journal(folder) as journal:
        journal.append("created", **created("t3", number=2))
        journal.append("reported", trial_id="t3", report=report(2), decision=GO_ON)
    path, record = folder / FILE_NAME, replay(folder)
    before = path.read_bytes()
    with Journal(folder) as journal, pytest.raises(ValueError, match=r"t[123]"):
        journal.append(kind, **content)
    assert path.read_bytes() == before and replay(folder) == record
    path.write_bytes(before + events.encoded(events.made(kind, content), NUM_EVENTS + 3))
    with pytest.raises(
        JournalError, match=rf"{FILE_NAME}:{NUM_EVENTS + 3}: event '{kind}' does not fit: trial t[123] "
    ):
        replay(folder)


def test_what_stands_before_the_launch_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(events.encoded(events.made("created", created()), 1))
    with pytest.raises(JournalError, match="it stands before the sweep was launched"):
        replay(tmp_path)


def test_a_clock_that_goes_back_changes_nothing_but_the_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "now", lambda: "1970-01-01T00:00:00.000Z")
    with Journal(folder) as journal:
        journal.append("created", **created("t3", number=2))
    record = replay(folder)
    assert record.last_event_at.startswith("1970") and list(record.trials) == ["t1", "t2", "t3"]


@pytest.mark.parametrize("seed", range(3))
def test_a_journal_cut_changed_or_shuffled_at_random_is_refused_or_tells_a_beginning(folder: Path, seed: int) -> None:
    path, draw = folder / FILE_NAME, random.Random(seed)
    content = path.read_bytes()
    lines, whole = content.splitlines(keepends=True), list(read_events(path))
    for _ in range(150):
        changed = bytearray(content)
        kind = draw.choice(["byte", "cut", "delete", "repeat", "swap", "insert"])
        start, end = sorted(draw.sample(range(len(lines)), 2))
        if kind == "byte":
            changed[draw.randrange(len(changed))] ^= draw.randint(1, 255)
        elif kind == "cut":
            del changed[draw.randrange(len(changed)) :]
        elif kind == "insert":
            place = draw.randrange(len(changed))
            changed[place:place] = draw.randbytes(draw.randint(1, 40))
        else:
            part = {"delete": [], "repeat": lines[start:end] * 2, "swap": lines[start:end][::-1]}[kind]
            changed = bytearray(b"".join([*lines[:start], *part, *lines[end:]]))
        path.write_bytes(changed)
        try:
            found = list(read_events(path))
        except JournalError as error:
            assert f"{FILE_NAME}:" in str(error)
        else:
            assert found == whole[: len(found)], kind


# -- trials that end the process ---------------------------------------------------------------------------------------

IN_PROCESS = {"host": "h", "pid": 1, "versions": {}, "execution": {"in_process": True}}
ON_RAY = {**IN_PROCESS, "execution": {"in_process": False}}


def _deaths(folder: Path, *told: str, execution: dict[str, Any] = IN_PROCESS) -> int:
    """How often trial t1 ended the process, after these events (``died`` is the next launch)."""
    contents: dict[str, dict[str, Any]] = {
        "started": {"trial_id": "t1", "attempt": 1, "worker": "w", "facts": FACTS},
        "interrupted": {"trial_id": "t1", "reason": "Ctrl-C"},
        "finished": {"trial_id": "t1", "outcome": Outcome(state="COMPLETE", value=0.5)},
        "tested": {"trial_id": "t1", "scores": {}, "baselines": {}, "num_examples": {}},
        "failed": {"trial_id": "t1", "outcome": Outcome(state="FAILED", value=None, reason="r")},
        "reopened": {"trial_id": "t1", "reason": "r"},
    }
    with Journal(folder) as journal:
        journal.append("launched", **launched(execution=execution["execution"]))
        journal.append("created", **created())
        for word in told:
            if word == "died":
                journal.append("resumed", **execution)
            elif word == "reported":
                number = len(journal.record.trials["t1"].reports) + 1
                journal.append("reported", trial_id="t1", report=report(number), decision=GO_ON)
            else:
                journal.append("finished" if word == "failed" else word, **contents[word])
        return journal.record.trials["t1"].num_deaths


ONCE = ("started", "died")


@pytest.mark.parametrize(
    ("told", "num_deaths"),
    [
        ((), 0),
        (("died", "died"), 0),
        (ONCE, 1),
        (ONCE * 3, 3),
        ((*ONCE, *ONCE, "died"), 2),
        (("started", "reported", "died"), 1),
        (("started", "reported", "died") * 4, 1),
        ((*ONCE, *ONCE, "started", "reported"), 0),
        (("started", "interrupted", "died") * 4, 0),
        (("started", "interrupted", "died", *ONCE), 1),
        ((*ONCE, *ONCE, "started", "failed", "reopened"), 0),
        (("started", "reported", "finished", "died"), 0),
        (("started", "reported", "finished", "started", "died"), 1),
        (("started", "reported", "finished", "started", "died", "started", "tested", "died"), 0),
    ],
)
def test_only_attempts_that_end_with_the_process_and_without_a_word_count(
    tmp_path: Path, told: tuple[str, ...], num_deaths: int
) -> None:
    assert _deaths(tmp_path, *told) == num_deaths
    assert replay(tmp_path).trials["t1"].num_deaths == num_deaths


def test_on_ray_a_driver_that_dies_says_nothing_about_its_trials(tmp_path: Path) -> None:
    assert _deaths(tmp_path, *ONCE * 5, execution=ON_RAY) == 0


def _refused(folder: Path, line: int, damage: bytes, message: str) -> None:
    path = folder / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:line], damage + b"\n", *lines[line + 1 :]])
    path.write_bytes(damaged)
    for read in (replay, Journal):
        with pytest.raises(JournalError) as caught:
            read(folder)
        assert f"{FILE_NAME}:{line + 1}: {message}" in str(caught.value)
    assert path.read_bytes() == damaged, "what cannot be read is left as it is"


def test_a_journal_of_schema_2_is_read_but_not_continued(folder: Path) -> None:
    path = folder / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    first = json.loads(lines[0])
    del first["n"], first["sum"]
    path.write_bytes(b"".join([events.encoded({**first, "schema": 2}, 1), *lines[1:]]))
    assert replay(folder).trials
    with pytest.raises(ConfigError, match=r"earlier tunekit \(schema 2\): its report can be read"):
        Journal(folder)


def test_a_line_that_is_missing_repeated_or_moved_is_noticed(folder: Path) -> None:
    path = folder / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    for line in range(len(lines) - 1):
        without = [*lines[:line], *lines[line + 1 :]]
        twice = [*lines[: line + 1], *lines[line:]]
        swapped = [*lines[:line], lines[line + 1], lines[line], *lines[line + 2 :]]
        for changed in (without, twice, swapped):
            path.write_bytes(b"".join(changed))
            with pytest.raises(JournalError, match="a line is missing or stands twice"):
                replay(folder)


def test_a_byte_that_changed_is_noticed(folder: Path) -> None:
    path = folder / FILE_NAME
    content = path.read_bytes()
    generator = random.Random(0)
    for place in generator.sample(range(len(content) - 1), 200):
        damaged = bytearray(content)
        damaged[place] ^= generator.randint(1, 255)
        path.write_bytes(damaged)
        with pytest.raises(JournalError):
            replay(folder)


def test_a_journal_that_cannot_be_read_is_not_held(folder: Path) -> None:
    path = folder / FILE_NAME
    content = path.read_bytes()
    path.write_bytes(b"garbage\n" + content)
    with pytest.raises(JournalError) as caught:
        Journal(folder)
    path.write_bytes(content)
    with Journal(folder) as journal:
        assert journal.num_events == NUM_EVENTS
    assert caught.value.__traceback__ is not None, "the failed attempt was still alive"


def test_what_could_not_be_replayed_is_not_written(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append("launched", **launched())
        journal.append("created", **created())
        journal.flush()
        before = journal.path.read_bytes()
        with pytest.raises(ValueError, match="lacks worker"):
            journal.append("started", trial_id="t1", attempt=1, facts=None)
        with pytest.raises(ValueError, match="trial t2, which was never created"):
            journal.append("started", trial_id="t2", attempt=1, worker="w", facts=None)
        with pytest.raises(ValueError, match="trial t1, which was created before"):
            journal.append("created", **created())
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.append("reported", trial_id="t1", report=report(1, float("nan")), decision=GO_ON)
        with pytest.raises(TypeError, match="not JSON serializable"):
            journal.append("interrupted", trial_id="t1", reason=object())
        journal.flush()
        assert journal.path.read_bytes() == before
        assert journal.num_events == 2


# -- a full disk -----------------------------------------------------------------------------------------------------


def _append_and_flush(journal: Journal) -> None:
    journal.append("resumed", host="h", pid=2, versions={})
    journal.flush()


class FailingStream:
    """A journal's stream on a disk that has room for some more bytes only."""

    def __init__(self, stream: Any, room: int, *, fails_to_flush: bool = False) -> None:
        self._stream, self._room, self._fails_to_flush = stream, room, fails_to_flush

    def write(self, line: bytes) -> int:
        if self._room == 0 and not self._fails_to_flush:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._stream.write(line if self._fails_to_flush else line[: self._room]))

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def close(self) -> None:
        self._stream.close()

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_full_disk_leaves_the_journal_as_it_was(folder: Path, room: int) -> None:
    path = folder / FILE_NAME
    before, record = path.read_bytes(), replay(folder)
    journal = Journal(folder)
    journal._file._stream = FailingStream(journal._file._stream, room)  # type: ignore[assignment]
    with pytest.raises(StorageError, match=r"cannot write .*journal\.jsonl: .*; free some space and run the same") as e:
        _append_and_flush(journal)
    assert "No space left" in str(e.value) or f"only {room} of" in str(e.value)
    assert path.read_bytes() == before
    assert replay(folder) == record, "an event that is not on the disk has not happened"
    with pytest.raises(StorageError, match="it is closed"):
        _append_and_flush(journal)
    journal.close()
    with Journal(folder) as again:
        again.append("resumed", host="h", pid=2, versions={})
    assert len(list(read_events(path))) == NUM_EVENTS + 1


def test_an_event_that_may_not_have_reached_the_disk_is_taken_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = (folder / FILE_NAME).read_bytes()
    with Journal(folder) as journal:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match="Input/output error"):
            _append_and_flush(journal)
    assert (folder / FILE_NAME).read_bytes() == before


def test_a_torn_line_that_could_not_be_taken_back_is_dropped_at_the_next_launch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = (folder / FILE_NAME).read_bytes()
    with Journal(folder) as journal:
        journal._file._stream = FailingStream(journal._file._stream, 30)  # type: ignore[assignment]
        monkeypatch.setattr(os, "truncate", fail)
        with pytest.raises(StorageError, match="only 30 of"):
            _append_and_flush(journal)
    assert len((folder / FILE_NAME).read_bytes()) == len(before) + 30
    with Journal(folder):
        assert (folder / FILE_NAME).read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot make the folder .*file"):
        Journal(tmp_path / "file" / "demo")


# -- two processes on one sweep --------------------------------------------------------------------------------------

HOLD = """
import subprocess, sys
from pathlib import Path
from tunekit.journal import Journal
journal = Journal(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print("held", child.pid, flush=True)
sys.stdin.read()
"""
LAUNCH = "import sys; from pathlib import Path; from tunekit.journal import Journal; Journal(Path(sys.argv[1])).close()"


def test_a_second_process_is_refused_until_the_first_is_gone_even_by_kill_9(folder: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    word, child = holder.stdout.readline().split()
    assert word == "held"
    try:
        second = subprocess.run([sys.executable, "-c", LAUNCH, str(folder)], capture_output=True, text=True)
        assert second.returncode != 0
        assert f"sweep 'demo' is being run by process {holder.pid} on " in second.stderr
        assert "wait for it, stop it, or give this one another --name" in second.stderr
        with pytest.raises(SweepBusy):
            Journal(folder)
        assert len(list(read_events(folder / FILE_NAME))) == NUM_EVENTS, "reading needs no lock"
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    try:
        os.kill(int(child), 0)  # what the driver had started is still there, and holds nothing
        Journal(folder).close()
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_the_sweep_is_released_when_the_driver_ends(folder: Path) -> None:
    with Journal(folder), pytest.raises(SweepBusy):
        Journal(folder)
    Journal(folder).close()


def test_every_line_is_one_json_object_that_says_what_and_when(folder: Path) -> None:
    for line in (folder / FILE_NAME).read_bytes().splitlines():
        event = json.loads(line)
        assert event["event"]
        assert event["time"].endswith("Z")
