"""What `tunekit watch` sees of a sweep that another process runs, and how little of the journal it reads for it."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import SWEEP, CommandLine
from rich.console import Console
from simulation import TEST_S, advance, drive, launch, simulated_sweep

from tunekit import storage
from tunekit.cli import watch_screen
from tunekit.cli.look import DriverClock, Look
from tunekit.cli.watch_page import Page, drawn, sparkline
from tunekit.cli.watcher import Watcher
from tunekit.errors import StorageError
from tunekit.journal import Journal, JournalError, JournalReader, read_events, replay
from tunekit.search import Search
from tunekit.storage import AnyPath, LinesGone, SweepFolder, objects, segments
from tunekit.storage.lease import PATIENCE_S, Lease, LeaseWatch
from tunekit.storage.segments import SegmentedFile
from tunekit.trial import Outcome, TrialFacts

SMALL = {"search": {"searcher": "random", "num_trials": 3, "seed": 1}, "fixed": {"epochs": 3}}
FREE = {**SMALL, "scheduler": {"name": "none"}}
TESTS = Path(__file__).parent


class Running:
    """A sweep whose driver is this test: it goes on by an epoch at a time."""

    def __init__(self, journal: Journal, **changes: Any) -> None:
        self.sweep = simulated_sweep(**{**FREE, **changes})
        self.journal = journal
        launch(self.sweep, journal)
        self.search = Search(self.sweep, journal)
        self._epochs: dict[str, int] = {}
        self._assignments: dict[str, Any] = {}

    def begin(self, worker: str = "one:1") -> str:
        """Hand out the next trial; gives its name."""
        assignment = self.search.next_trial()
        assert assignment is not None
        trial = assignment.trial
        self.search.started(trial, worker, TrialFacts())
        self.search.flush()
        self._assignments[trial.trial_id] = assignment
        self._epochs[trial.trial_id] = 0
        return trial.trial_id

    def epoch(self, trial_id: str) -> None:
        """Another epoch of a trial, or its test."""
        self._epochs[trial_id] += 1
        advance(self.search, self._assignments[trial_id], self._epochs[trial_id])

    def fail(self, trial_id: str, reason: str) -> None:
        """A trial ends."""
        trial = self._assignments[trial_id].trial
        self.search.finish(trial, Outcome(state="FAILED", value=None, reason=reason))
        self.search.release(trial)
        self.search.flush()


@contextmanager
def running(folder: AnyPath, **changes: Any) -> Iterator[Running]:
    with Journal(folder, durable=False) as journal:
        yield Running(journal, **changes)


def text_of(look: Look, width: int = 100, *, height: int | None = None, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, height=height or 100, highlight=False)
    console.print(drawn(look, Page(width, height), **options))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# -- reading a journal that grows ------------------------------------------------------------------------------------


def test_what_was_read_of_a_journal_is_not_read_again(tmp_path: Path) -> None:
    with running(tmp_path) as sweep:
        reader = JournalReader(sweep.journal.path)
        trial = sweep.begin()
        first = [event["event"] for event in reader.new_events()]
        assert first[0] == "launched" and first[-1] == "started"
        content = sweep.journal.path.read_bytes()
        sweep.journal.path.write_bytes(b"?" * (len(content) - 1) + b"\n")  # a second reading would find no journal
        sweep.epoch(trial)
        assert [event["event"] for event in reader.new_events()] == ["reported"]
        assert len(reader.record.trials[trial].reports) == 1
        assert list(reader.new_events()) == []
        assert reader.num_events == len(first) + 1


def test_pieces_of_a_journal_add_up_to_the_whole(tmp_path: Path) -> None:
    with running(tmp_path, scheduler={"name": "asha", "grace_period": 1, "reduction_factor": 3}) as sweep:
        reader = JournalReader(sweep.journal.path)
        pieces = [list(reader.new_events())]
        sweep.search._on_event = lambda event: pieces.append(list(reader.new_events()))
        drive(sweep.search, num_workers=2)
        pieces.append(list(reader.new_events()))
        assert [event for piece in pieces for event in piece] == list(read_events(sweep.journal.path))
        assert reader.record == replay(tmp_path)
        assert reader.size == sweep.journal.path.stat().st_size


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    with running(tmp_path) as sweep:
        sweep.begin()
    content = sweep.journal.path.read_bytes()
    torn = len(content) - 7
    sweep.journal.path.write_bytes(content[:torn])
    reader = JournalReader(sweep.journal.path)
    number = len(list(reader.new_events()))
    assert list(reader.new_events()) == []
    sweep.journal.path.write_bytes(content)
    assert [event["event"] for event in reader.new_events()] == ["started"]
    assert reader.num_events == number + 1


def test_a_journal_that_was_cut_is_noticed(tmp_path: Path) -> None:
    with running(tmp_path) as sweep:
        sweep.begin()
    reader = JournalReader(sweep.journal.path)
    assert list(reader.new_events())
    sweep.journal.path.write_bytes(sweep.journal.path.read_bytes()[:-20])
    with pytest.raises(LinesGone, match="shorter than it was"):
        list(reader.new_events())


def test_of_a_bucket_only_new_segments_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = storage.place(f"memory://bucket-{uuid.uuid4().hex}/journal")
    assert not isinstance(folder, Path)
    monkeypatch.setattr(segments, "FAN", 4)
    file = SegmentedFile(folder, lambda: None)
    file.keep(size=0, num_lines=0)
    fetched: list[str] = []
    read_many = objects.read_many
    found: list[bytes] = []

    def noted(paths: Any) -> Any:
        fetched.extend(path.name for path in paths)
        return read_many(paths)

    for number in range(1, 31):
        file.append(b"line %d\nand %d\n" % (number, number))
        if number % 3 == 0:
            with monkeypatch.context() as patched:
                patched.setattr(objects, "read_many", noted)
                found += storage.whole_lines(folder, num_lines=len(found))
    assert b"".join(found) == b"".join(b"line %d\nand %d\n" % (number, number) for number in range(1, 31))
    assert len(fetched) <= 30, "each once, some of them merged"
    fetched.clear()
    with monkeypatch.context() as patched:
        patched.setattr(objects, "read_many", noted)
        assert list(storage.whole_lines(folder, num_lines=len(found))) == []
    assert not fetched
    objects.remove_all(folder)
    with pytest.raises(LinesGone, match="is gone"):
        list(storage.whole_lines(folder, num_lines=len(found)))


def test_who_watches_a_lease_never_waits_and_knows_a_silent_holder_after_a_while() -> None:
    folder = storage.place(f"memory://bucket-{uuid.uuid4().hex}/lock")
    assert not isinstance(folder, Path)
    now = 100.0
    watch = LeaseWatch(folder, clock=lambda: now)
    assert watch.look() is None
    lease = Lease(folder, "driver", beats=False)
    assert watch.look() == "driver"
    now += PATIENCE_S - 1
    assert watch.look() == "driver"
    lease._beat(1)
    assert watch.look() == "driver"
    now += PATIENCE_S - 1
    assert watch.look() == "driver", "it was heard of in between"
    now += 2
    assert watch.look() is None
    lease._beat(2)
    assert watch.look() == "driver", "it was only slow"
    lease.close()
    assert watch.look() is None, "given back"


# -- what a look sees ------------------------------------------------------------------------------------------------


def test_a_journal_that_grows_between_two_looks_shows_what_is_new(tmp_path: Path) -> None:
    with running(tmp_path / "mine") as sweep:
        watcher = Watcher(SweepFolder(tmp_path / "mine"))
        before = watcher.look()
        assert before.is_running and f"process {os.getpid()}" in before.state
        assert not before.running and not before.workers and before.next_command == ""
        trial = sweep.begin("node-a:17")
        sweep.epoch(trial)
        sweep.epoch(trial)
        look = watcher.look()
        (row,) = look.running
        assert row.who == "finetune point 0, seed 10"
        assert row.num_epochs == 3
        assert row.curve == tuple(report.value for report in sweep.journal.record.trials[trial].reports.values())
        assert row.worker == "node-a:17"
        assert [worker.name for worker in look.workers] == ["node-a:17"]
        assert look.workers[0].doing == ("finetune point 0, seed 10",)
        said = text_of(look)
        assert "3/3" in said and sparkline(row.curve, row.scale) in said and "node-a:17" in said
        sweep.epoch(trial)
        after = watcher.look()
        assert not after.running and after.workers[0].doing == ()
        assert "COMPLETE" in after.events[0][1]
        assert "idle" in text_of(after)
        assert dict(after.best)["finetune"].endswith("point 0: " + dict(after.best)["finetune"].partition("0: ")[2])
        assert "(n = 1)" in dict(after.best)["finetune"]


def test_two_may_watch_and_the_sweep_notices_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as sweep:
        watchers = [Watcher(SweepFolder(tmp_path)) for _ in range(2)]
        files = sorted(path.name for path in tmp_path.rglob("*"))
        trial = sweep.begin()
        looks = [watcher.look() for watcher in watchers]
        assert looks[0].running == looks[1].running or looks[0].running[0].who == looks[1].running[0].who
        sweep.epoch(trial)
        assert [len(watcher.look().running[0].curve) for watcher in watchers] == [1, 1]
        assert sorted(path.name for path in tmp_path.rglob("*")) == files


def test_a_sweep_in_a_bucket_is_watched_like_any_other() -> None:
    root = storage.place(f"memory://bucket-{uuid.uuid4().hex}/runs")
    watcher = Watcher(SweepFolder(root / "mine"))
    with running(root / "mine") as sweep:
        trial = sweep.begin("elsewhere:9")
        first = watcher.look()
        assert first.is_running and first.workers[0].name == "elsewhere:9"
        sweep.epoch(trial)
        assert len(watcher.look().running[0].curve) == 1
    gone = watcher.look()
    assert not gone.is_running
    assert gone.next_command == f"tunekit resume mine --root {root}"


def test_a_driver_that_is_gone_is_said_with_the_command_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    watcher = Watcher(SweepFolder(folder))
    with running(folder) as sweep:
        trial = sweep.begin()
        assert watcher.look().is_running
    gone = watcher.look()
    assert gone.state == "not running: nobody holds its lock, and its driver did not say why it ended"
    assert gone.next_command == f"tunekit resume mine --root {tmp_path}"
    said = text_of(gone, 200)
    assert f"go on with: tunekit resume mine --root {tmp_path}" in said
    assert "in progress when the driver ended" in said
    assert gone.workers == () and gone.left_s is None
    with Journal(folder) as journal:
        journal.append("stopped", reason="Ctrl-C")
    assert watcher.look().state == "stopped: Ctrl-C"
    with Journal(folder) as journal:
        journal.append("resumed", versions={}, host="elsewhere", pid=4)
        journal.flush()
        again = watcher.look()
    assert again.is_running and again.events[0][1] == "resumed by process 4 on elsewhere"
    assert not again.running, "its trial has no worker yet"
    assert trial in sweep.journal.record.trials


def test_a_journal_that_grows_has_a_driver_also_where_its_lock_is_not_seen(tmp_path: Path) -> None:
    """As on a share that does not tell other machines of locks."""
    now = 0.0
    there = tmp_path / "there"
    there.mkdir()
    watcher = Watcher(SweepFolder(there), clock=lambda: now)
    with running(tmp_path / "here") as sweep:

        def looked() -> Look:
            (there / "journal.jsonl").write_bytes(sweep.journal.path.read_bytes())
            return watcher.look()

        trial = sweep.begin()
        assert not looked().is_running and not looked().is_running
        sweep.epoch(trial)
        grown = looked()
        assert grown.is_running and grown.state == "running: a driver whose lock cannot be seen from here"
        now = 299.0
        assert looked().is_running
        now = 301.0
        assert not looked().is_running
        sweep.epoch(trial)
        assert looked().is_running
        sweep.journal.append("stopped", reason="Ctrl-C")
        sweep.journal.flush()
        assert looked().state == "stopped: Ctrl-C"


def test_a_finished_sweep_says_what_is_next(tmp_path: Path) -> None:
    with running(tmp_path / "mine") as sweep:
        watcher = Watcher(SweepFolder(tmp_path / "mine"))
        watcher.look()
        drive(sweep.search)
        look = watcher.look()
    assert look.is_finished and not look.is_running and look.state == "finished"
    assert look.next_command == f"tunekit report mine --root {tmp_path}"
    assert "best of the search" in text_of(look)


def test_failures_are_grouped_by_reason_and_leave_when_tried_again(tmp_path: Path) -> None:
    with running(tmp_path) as sweep:
        watcher = Watcher(SweepFolder(tmp_path))
        trials = [sweep.begin() for _ in range(4)]
        for number, trial in enumerate(trials):
            sweep.fail(trial, f"loss became nan at update {number}" if number % 2 == 0 else "out of memory")
        look = watcher.look()
        assert len(look.failures) == 2
        assert "loss became nan at update" in "".join(look.failures)
        assert all(row.startswith("2 trials of ") for row in look.failures)
        sweep.journal.append("reopened", trial_id=trials[0], reason="nan")
        sweep.journal.flush()
        after = watcher.look()
        assert sorted(row.split(" of ")[0] for row in after.failures) == ["1 trial", "2 trials"]
        assert "is tried again" in after.events[0][1]


def test_another_sweep_in_the_same_folder_is_read_from_its_beginning(tmp_path: Path) -> None:
    watcher = Watcher(SweepFolder(tmp_path))
    with running(tmp_path) as sweep:
        sweep.epoch(sweep.begin())
        watcher.look()
    sweep.journal.path.unlink()
    with running(tmp_path, search={"searcher": "random", "num_trials": 7, "seed": 2}) as other:
        drive(other.search)
        look = watcher.look()
    assert look.is_finished
    assert look.arms[0][1] == "7/7"
    other.journal.path.write_bytes(b"damaged\n" * 9000)
    with pytest.raises(JournalError, match="line is damaged"):
        watcher.look()


def test_an_extended_sweep_is_seen_as_it_is_now(tmp_path: Path) -> None:
    from tunekit.sweep import resolved

    with running(tmp_path) as sweep:
        watcher = Watcher(SweepFolder(tmp_path))
        assert watcher.look().arms[0][1] == "0/3"
        larger = simulated_sweep(**{**FREE, "search": {"searcher": "random", "num_trials": 9, "seed": 1}})
        sweep.journal.append("amended", sweep=resolved(larger), definition=dict(larger.definition))
        sweep.journal.flush()
        assert watcher.look().arms[0][1] == "0/9"


def test_a_journal_that_is_still_empty_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(b'{"n":1,"event":"laun')
    look = Watcher(SweepFolder(tmp_path)).look()
    assert look.state.startswith("not launched")
    assert "not launched" in text_of(look)


def test_the_time_left_is_known_to_who_joins_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is computed from the times in the journal, not from when somebody began to look."""
    from tunekit.journal import events

    moment = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(events, "now", lambda: moment.isoformat().replace("+00:00", "Z"))
    off = {"finalise": {"top": 1, "seeds": [10, 42]}}
    with running(tmp_path, **off) as sweep:
        for _ in range(2):
            trial = sweep.begin()
            for _ in range(3):
                moment += timedelta(seconds=2)  # each epoch reports one second of training
                sweep.epoch(trial)
        look = Watcher(SweepFolder(tmp_path), utc=lambda: moment).look()
    # 4 search trials and 2 to finalise on another seed, 3 epochs each, which take twice what they report.
    assert look.left_s == pytest.approx(6 * 3 * 2)
    assert look.run_s == 12
    assert "about 0:36 left" in text_of(look)
    assert "about 0:30 left" in text_of(look, age_s=6)
    assert TEST_S < 1


def test_ages_follow_the_drivers_clock_where_it_differs() -> None:
    here = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    clock = DriverClock(lambda: here)
    at = [(here + timedelta(seconds=s)).isoformat() for s in (-3000, -600, -599, 30)]
    clock.compare(at[0], is_new=False)
    assert clock.behind_s == 0 and clock.ago_s(at[0]) == 3000, "it may really be long ago"
    clock.compare(at[1], is_new=True)
    assert clock.behind_s == 600 and clock.ago_s(at[1]) == 0
    clock.compare(at[2], is_new=True)
    assert clock.behind_s == 599 and clock.ago_s(at[0]) == 2401
    other = DriverClock(lambda: here)
    other.compare(at[3], is_new=False)
    assert other.behind_s == -30 and other.ago_s(at[3]) == 0, "no event is of the future"


# -- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Twelve trials on eight workers, some failed, some complete."""
    folder = tmp_path_factory.mktemp("watched") / "busy"
    search = {"search": {"searcher": "random", "num_trials": 40, "seed": 1}, "fixed": {"epochs": 30}}
    with running(folder, **search, budget={"trials": 60}) as sweep:
        trials = [sweep.begin(f"a-node-with-a-long-name:{number % 8}@744d9f58") for number in range(20)]
        for trial in trials[:2]:
            for _ in range(30):
                sweep.epoch(trial)
        for number, trial in enumerate(trials[2:8]):
            sweep.fail(trial, f"{'a long reason, ' * 30} {number}")
        for number, trial in enumerate(trials[8:]):
            for _ in range(2 * number):
                sweep.epoch(trial)
        return Watcher(SweepFolder(folder)).look()


@pytest.mark.parametrize("width", [30, 60, 79, 80, 120, 200])
@pytest.mark.parametrize("height", [None, 10, 24, 50])
def test_the_page_fits_the_terminal(busy: Look, width: int, height: int | None) -> None:
    look = replace(busy, problem="cannot read: the share is gone", clock_behind_s=300.0)
    lines = text_of(look, width, height=height, hint=watch_screen.HINT).splitlines()
    assert max(map(len, lines)) <= width
    if height is not None and (width >= 60 or height >= 24):
        assert len(lines) <= height
        assert lines[-1] == watch_screen.HINT, "how to leave is always to be seen"


def test_a_wide_page_shows_every_part_and_counts_what_has_no_room(busy: Look) -> None:
    said = text_of(busy, 120)
    for part in (
        "best so far",
        "running",
        "8 workers",
        "failed",
        "last events (UTC)",
        "budget: 20.0 of 60 search trials",
    ):
        assert part in said
    assert "▁" in said and "█" in said
    assert "heard of" in said and "epoch" in said
    cut = text_of(busy, 120, height=30)
    assert re.search(r"\nand \d more\n8 workers\n", cut)
    assert all(part in cut for part in ("running", "8 workers", "failed", "last events (UTC)"))


def test_a_narrow_page_keeps_numbers_whole_and_cuts_texts(busy: Look) -> None:
    said = text_of(busy, 60)
    arm = next(line for line in said.splitlines() if line.startswith("finetune"))
    assert len(arm.split()) == 6, "arm, finished, running, pruned, failed, best dev"
    assert "…" in said
    assert "now" not in said.split("best so far")[0]


def test_a_terminal_that_knows_only_ascii_gets_no_other_sign(busy: Look) -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(drawn(replace(busy, left_s=30.0), Page(100, None, is_ascii=True)))
    assert isinstance(console.file, io.StringIO)
    assert "#" in console.file.getvalue()
    assert not set("▁▂▃▄▅▆▇█…") & set(console.file.getvalue())


def test_a_curve_is_drawn_on_the_scale_of_its_arm() -> None:
    assert sparkline([0.0, 0.5, 1.0], (0.0, 1.0)) == "▁▅█"
    assert sparkline([0.2, 0.2], (0.0, 1.0)) == "▂▂", "a flat curve is not blown up"
    assert sparkline([0.5], (0.5, 0.5)) == "█"
    assert sparkline([0.5, float("nan")], (0.0, 1.0)) == "▅ "
    assert sparkline([], (0.0, 1.0)) == ""
    long = sparkline([number / 99 for number in range(100)], (0.0, 1.0))
    assert len(long) == 16 and long[0] == "▁" and long[-1] == "█"


# -- the command -----------------------------------------------------------------------------------------------------


def test_without_a_terminal_it_prints_once(tmp_path: Path, tunekit: CommandLine) -> None:
    with running(tmp_path / "mine") as sweep:
        sweep.epoch(sweep.begin())
        seen = tunekit("watch", "mine", "--root", tmp_path)
        assert seen.code == 0 and seen.err == ""
        assert "running: process" in seen.out and "finetune point 0, seed 10" in seen.out
        assert "\x1b" not in seen.out
        assert tunekit("watch", tmp_path / "mine", "--once").out.splitlines()[0] == seen.out.splitlines()[0]


def test_bad_input_is_said(tmp_path: Path, tunekit: CommandLine) -> None:
    absent = tunekit("watch", "mine", "--root", tmp_path)
    assert absent.code == 2 and "no sweep 'mine'" in absent.err
    with running(tmp_path / "mine"):
        often = tunekit("watch", "mine", "--root", tmp_path, "--every", "0")
    assert often.code == 2 and "--every is 0" in often.err
    (tmp_path / "mine/journal.jsonl").write_bytes(b"damaged\n")
    damaged = tunekit("watch", "mine", "--root", tmp_path)
    assert damaged.code == 1 and "the line is damaged" in damaged.err


def test_a_store_that_does_not_answer_for_a_moment_is_said_and_watched_on(tmp_path: Path) -> None:
    with running(tmp_path):
        watcher = Watcher(SweepFolder(tmp_path))
        first = watcher.look()
        answers: list[Any] = [StorageError("cannot read: the share is gone"), replace(first, state="back")]

        class Flaky(Watcher):
            def look(self) -> Look:
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                looker._end.set()
                return answer

        looker = watch_screen._Looker(Flaky(SweepFolder(tmp_path)), first, 0.0)
        seen: list[str] = []
        looker._look_on()
        seen.append(looker.latest.state)
    assert seen == ["back"] and looker.latest.problem == ""
    assert "the share is gone; shown is what was seen 7 s ago" in text_of(
        replace(first, problem="cannot read: the share is gone"), 200, age_s=7
    )


def _watching(folder: Path, *options: str, width: int = 60, **environment: str) -> tuple[subprocess.Popen[bytes], int]:
    """`tunekit watch` in a terminal of its own; the process, and the terminal's other end."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, width, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    env |= {"PYTHONPATH": str(TESTS.parent), "TERM": "xterm-256color", **environment}
    command = [sys.executable, "-m", "tunekit", "watch", str(folder), "--every", "0.2", *options]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=TESTS, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    return process, ours


def _read_until(terminal: int, wanted: str, *, seconds: float = 60.0) -> str:
    """What comes out of a terminal up to `wanted`, or to its end where that is empty."""
    said, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and not (wanted and wanted.encode() in said):
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    return said.decode("utf-8", "replace")


def test_in_a_terminal_it_follows_and_q_leaves(tmp_path: Path) -> None:
    with running(tmp_path / "mine") as sweep:
        process, terminal = _watching(tmp_path / "mine", NO_COLOR="1")
        try:
            said = _read_until(terminal, "q leaves")
            trial = sweep.begin("node:1")
            sweep.epoch(trial)
            said += _read_until(terminal, "finetune point 0")
            os.write(terminal, b"q")
            said += _read_until(terminal, "Join again with: tunekit watch")
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(terminal)
    assert "\x1b[?1049h" in said and "\x1b[?1049l" in said and said.count("\x1b[?25h") >= 1, "the terminal is as it was"
    assert "\x1b[32m" not in said and "\x1b[1;32m" not in said, "NO_COLOR"
    assert "process" in said and "Join again with: tunekit watch" in said


@pytest.mark.slow
def test_a_real_sweep_is_watched_to_its_end(tmp_path: Path, backbone: Path) -> None:
    (tmp_path / "tiny").symlink_to(backbone)
    (tmp_path / "words.yaml").write_text(SWEEP)
    env = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    command = [sys.executable, "-m", "tunekit", "sweep", "words.yaml", "--in-process"]
    sweep = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while not SweepFolder(tmp_path / "runs/words").exists:
            assert sweep.poll() is None, sweep.communicate()[0].decode()
            time.sleep(0.05)
        process, terminal = _watching(tmp_path / "runs/words", width=80)
        said = _read_until(terminal, "")
        os.close(terminal)
        assert process.wait(60) == 0
        assert sweep.wait(60) == 0
    finally:
        sweep.kill()
    assert "running: process" in said
    assert "next: tunekit report words" in said
