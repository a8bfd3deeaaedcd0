"""A disk that is full for a while: everything waits, nothing is torn, and it goes on; a share that fails likewise."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from simulation import launch, simulated_sweep
from sweep_driver import tiny_sweep
from tiny_trials import TOKENS, trial

from tunekit import patience, storage
from tunekit.cli.console import quiet
from tunekit.errors import StorageError
from tunekit.execution import Execution, run_sweep
from tunekit.execution.notices import AGAIN_S, Notices
from tunekit.journal import Journal, read_events, replay
from tunekit.storage import SweepFolder, TrialFolder
from tunekit.sweep import TrackingConfig
from tunekit.training import TrialRun, WorkerCache, checkpoints
from tunekit.trial import Locations


@dataclass
class Disk:
    """Flushing a file fails with `number` for so many pauses, after its bytes were written: they lie there torn."""

    number: int = errno.ENOSPC
    full_for: float = 3
    look: Callable[[], None] = field(default=lambda: None)
    """Called in each pause."""
    said: list[tuple[str, str]] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)

    def fsync(self, descriptor: int) -> None:
        if len(self.paused) < self.full_for:
            raise OSError(self.number, os.strerror(self.number))

    def tell(self, text: str, topic: str) -> None:
        self.said.append((text, topic))

    def pause(self, seconds: float) -> None:
        self.look()
        self.paused.append(seconds)

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Inside, the disk is this one, and the process listens."""
        with pytest.MonkeyPatch.context() as patch, patience.listening(self.tell, pause=self.pause):
            patch.setattr(os, "fsync", self.fsync)
            yield


def resumed(journal: Journal) -> None:
    journal.append("resumed", host="h", pid=2, versions={})
    journal.flush()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep's, with one event."""
    with Journal(tmp_path / "sweep") as journal:
        launch(simulated_sweep(), journal)
    return tmp_path / "sweep"


# -- the journal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_the_journal_waits_for_room_and_is_whole_all_the_while(folder: Path, number: int) -> None:
    path = SweepFolder(folder).journal
    before, seen = path.read_bytes(), []
    disk = Disk(number, look=lambda: seen.append(path.read_bytes()))
    with Journal(folder) as journal, disk.waited_for():
        resumed(journal)
        resumed(journal)
    assert seen == [before] * 3, "what is torn is cut before anything else"
    assert disk.paused == [1.0, 2.0, 4.0]
    assert len(list(read_events(path))) == 3


def test_pauses_grow_up_to_half_a_minute_and_never_end_by_themselves(folder: Path) -> None:
    disk = Disk(full_for=500)
    with Journal(folder) as journal, disk.waited_for():
        resumed(journal)
    assert disk.paused[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] and len(disk.paused) == 500


def test_ctrl_c_ends_the_waiting_and_leaves_the_journal_as_it_was(folder: Path) -> None:
    before = SweepFolder(folder).journal.read_bytes()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Journal(folder) as journal, Disk(look=interrupt).waited_for():
        resumed(journal)
    assert SweepFolder(folder).journal.read_bytes() == before
    with Journal(folder) as journal:
        resumed(journal)
    assert len(list(read_events(SweepFolder(folder).journal))) == 2


def test_what_is_said_names_the_file_and_the_cure_and_that_it_goes_on(folder: Path) -> None:
    disk = Disk()
    with Journal(folder) as journal, disk.waited_for():
        resumed(journal)
    shown: list[str] = []
    for text, topic in disk.said:
        Notices(shown.append).take(text, topic)
    (full, *_), (over, _) = disk.said[0], disk.said[-1]
    assert f"cannot write {folder}/journal.jsonl: No space left on device. Nothing is lost: this waits" in full
    assert "free some space" in full and over.startswith("it works again")
    assert [topic for _, topic in disk.said] == ["disk full"] * 3 + ["disk full is over"]


def test_a_torn_end_that_cannot_be_cut_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk = Disk()
    monkeypatch.setattr(os, "truncate", fail)
    with Journal(folder) as journal, disk.waited_for(), pytest.raises(StorageError, match="No space left"):
        resumed(journal)
    assert not disk.paused


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_waits_for_room_and_leaves_nothing_beside_it_meanwhile(tmp_path: Path) -> None:
    path = storage.write_text(tmp_path / "file", "old")
    seen: list[tuple[list[str], str]] = []
    with Disk(look=lambda: seen.append((os.listdir(tmp_path), path.read_text()))).waited_for():
        storage.write_sealed_json(path, {"a": 1})
    assert seen == [(["file"], "old")] * 3
    assert storage.read_sealed_json(path) == {"a": 1}


def test_where_nobody_listens_a_full_disk_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    with pytest.raises(StorageError, match="No space left on device; free or repair the disk"):
        storage.write_text(tmp_path / "file", "new")
    with patience.listening(disk.tell, pause=disk.pause), patience.hurrying(), pytest.raises(StorageError):
        storage.write_text(tmp_path / "file", "new")
    assert not disk.paused


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EFBIG])
def test_what_room_does_not_cure_is_an_error_at_once(tmp_path: Path, number: int) -> None:
    disk = Disk(number)
    with disk.waited_for(), pytest.raises(StorageError, match="cannot write"):
        storage.write_text(tmp_path / "file", "new")
    assert not disk.paused and not disk.said


def test_a_share_that_fails_is_waited_for_and_given_up_after_ten_minutes(tmp_path: Path) -> None:
    disk = Disk(errno.ESTALE)
    with disk.waited_for():
        storage.write_text(tmp_path / "file", "new")
    assert "Stale file handle. It is tried again for 10 minutes" in disk.said[0][0]
    disk = Disk(errno.EIO, full_for=1000)
    with disk.waited_for(), pytest.raises(StorageError, match="Input/output error"):
        storage.write_text(tmp_path / "file", "newer")
    assert 600 <= sum(disk.paused) < 640
    assert (tmp_path / "file").read_text() == "new"


def test_a_file_that_cannot_be_read_now_is_read_again(tmp_path: Path) -> None:
    path = storage.write_sealed_json(tmp_path / "file", {"a": 1})
    disk, tries = Disk(), iter([errno.EIO, errno.ESTALE])

    def read(file: object) -> str:
        if (number := next(tries, None)) is not None:
            raise OSError(number, os.strerror(number))
        return "content"

    with patience.listening(disk.tell, pause=disk.pause):
        assert storage.read_with(path, read) == "content"
    assert disk.paused == [1.0, 2.0] and "cannot read" in disk.said[0][0]


def failing_first(action: Callable[..., object], numbers: list[int]) -> Callable[..., object]:
    """`action`, which first fails once with each of `numbers`."""

    def attempt(*args: object, **named: object) -> object:
        if numbers:
            number = numbers.pop(0)
            raise OSError(number, os.strerror(number))
        return action(*args, **named)

    return attempt


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_share_that_does_not_answer_whether_a_file_is_there_is_asked_again(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, path = Disk(), storage.write_text(tmp_path / "file", "text")

    with patience.listening(disk.tell, pause=disk.pause), monkeypatch.context() as patch:
        patch.setattr(Path, "exists", failing_first(Path.exists, [number]))
        assert storage.exists(path)
        patch.setattr(Path, "open", failing_first(Path.open, [number]))
        assert storage.read_with(path, lambda file: file.read()) == b"text"
        patch.setattr(os, "listdir", failing_first(os.listdir, [number]))
        assert storage.partial_files(tmp_path) == []
        patch.setattr(Path, "unlink", failing_first(Path.unlink, [number]))
        storage.remove(path)
    assert not path.exists() and disk.paused == [1.0] * 4


def test_a_checkpoint_is_written_though_the_share_does_not_answer_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, disk = TrialFolder(tmp_path), Disk()
    last = checkpoints.Checkpoint(trial_id="t", fingerprints={}, epoch=1, history=(), peak_memory_bytes=0)
    checkpoints.save_last(files, last)
    monkeypatch.setattr(Path, "exists", failing_first(Path.exists, [errno.ESTALE]))
    with patience.listening(disk.tell, pause=disk.pause):
        checkpoints.save_last(files, replace(last, epoch=2))
    newest, before = checkpoints.load(files.last), checkpoints.load(files.previous)
    assert newest is not None and before is not None and (newest.epoch, before.epoch) == (2, 1)
    assert disk.paused == [1.0]


# -- who says it -------------------------------------------------------------------------------------------------------


def test_a_hundred_workers_that_wait_are_one_sentence_in_ten_minutes() -> None:
    shown: list[str] = []
    now = 0.0
    notices = Notices(shown.append, clock=lambda: now)
    for worker in range(100):
        notices.take(f"cannot write trials/{worker}/last.pt", "disk full")
        notices.take("the micro-batch was halved", "memory")
    now = AGAIN_S
    notices.take("cannot write trials/7/last.pt", "disk full")
    assert shown == ["cannot write trials/0/last.pt", "the micro-batch was halved", "cannot write trials/7/last.pt"]


def test_the_log_has_a_wait_once_and_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Disk().waited_for():
        storage.write_text(tmp_path / "file", "new")
    assert len(caplog.records) == 2


# -- a disk that is really full ----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tunekit-test", str(path)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return filler


def test_a_checkpoint_waits_for_room_on_a_full_disk(small_disk: Path, locations: Locations, tmp_path: Path) -> None:
    folder, disk = small_disk / "trial", Disk()
    config = trial()
    run = TrialRun(config, folder=folder, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS)
    run.step()
    filler, seen = fill(small_disk), []

    def look() -> None:
        seen.append((sorted(os.listdir(folder)), checkpoints.load(folder / "previous.pt")))
        if len(seen) == 2:
            filler.unlink()

    disk.look = look
    with patience.listening(disk.tell, pause=disk.pause):
        run.step()
    assert [names for names, _ in seen] == [["best.pt", "previous.pt"]] * 2
    assert all(stored is not None and stored.epoch == 1 for _, stored in seen), "the epoch before is whole"
    again = TrialRun(config, folder=folder, locations=locations, cache=WorkerCache(), tokens_per_step=TOKENS)
    assert len(again.history) == 2
    assert "No space left on device" in disk.said[0][0] and "last.pt" in disk.said[0][0]


def test_a_sweep_on_a_full_disk_waits_says_so_once_and_ends_as_on_an_empty_one(
    small_disk: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quietly = TrackingConfig(tensorboard=False)  # a tracker that finds no room has a sentence of its own
    sweep = replace(tiny_sweep(backbone, num_trials=2, epochs=2), tracking=quietly)
    said: list[str] = []
    run_sweep(sweep, tmp_path / "empty", Execution(in_process=True))
    filler = fill(small_disk)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if filler.exists():
            filler.unlink()
        elif len(pauses) < 12:
            fill(small_disk)

    def crowd(search: object, event: object) -> None:
        if not filler.exists() and len(pauses) < 12:
            fill(small_disk)

    monkeypatch.setattr("tunekit.patience.waiting.time.sleep", pause)
    finish = run_sweep(sweep, small_disk / "sweep", Execution(in_process=True), watch=crowd, notify=said.append)
    assert finish.num_failed == 0 and len(pauses) >= 3
    assert sum("No space left" in text for text in said) == 1
    with_room, without = replay(tmp_path / "empty"), replay(small_disk / "sweep")
    assert {n: t.test_scores for n, t in with_room.trials.items()} == {
        n: t.test_scores for n, t in without.trials.items()
    }


def test_a_trial_that_prints_does_not_fail_where_its_log_has_no_room(small_disk: Path) -> None:
    log = small_disk / "driver.log"
    log.touch()
    fill(small_disk)
    with quiet(log):
        for _ in range(100):
            print("loss " * 4000)
            print("warning " * 4000, file=sys.stderr)
    assert log.stat().st_size == 0
