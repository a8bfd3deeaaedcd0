"""Sweeps in an object store: one writer, a journal of segments, and a whole sweep in a bucket that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from simulation import launch, simulated_sweep

from tunekit import storage
from tunekit.cli import found_sweeps
from tunekit.cli.next_command import resume_command
from tunekit.errors import ConfigError, StorageError
from tunekit.journal import Journal, SweepBusy, read_events, replay
from tunekit.storage import SweepFolder, lease, objects, places, segments
from tunekit.storage.lease import Lease, holder_of_lease
from tunekit.storage.segments import SegmentedFile, segment_lines
from tunekit.storage.snapshot import read_snapshot, write_snapshot

if TYPE_CHECKING:
    from upath import UPath

TESTS = Path(__file__).parent


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> UPath:
    """A prefix of its own in a store that is a dictionary; nothing is waited for."""
    monkeypatch.setattr(objects, "PAUSES_S", ())
    found = storage.place(f"memory://bucket-{uuid.uuid4().hex}/runs")
    assert not isinstance(found, Path)
    return found


def _lines(first: int, last: int) -> list[bytes]:
    return [b"line %d\n" % number for number in range(first, last + 1)]


def _file(folder: UPath, num_lines: int = 0, require_held: Callable[[], None] = lambda: None) -> SegmentedFile:
    file = SegmentedFile(folder, require_held)
    file.keep(size=0, num_lines=num_lines)
    return file


def _filled(folder: UPath, last: int) -> SegmentedFile:
    file = _file(folder)
    for line in _lines(1, last):
        file.append(line)
    return file


# -- segments --------------------------------------------------------------------------------------------------------


def test_lines_come_back_in_their_order_however_often_segments_were_merged(
    store: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FAN", 3)
    _filled(store, 32)
    assert list(segment_lines(store)) == _lines(1, 32)
    assert "00000001-00000027.jsonl" in objects.names(store), "segments of one size are merged, and those again"
    assert len(objects.names(store)) == 4


def test_a_file_that_is_opened_again_is_merged_into_one_segment_and_goes_on(store: UPath) -> None:
    _filled(store, 12)
    file = _file(store, num_lines=12)
    assert objects.names(store) == ["00000001-00000012.jsonl"]
    file.append(b"line 13\nline 14\n")
    assert list(segment_lines(store)) == _lines(1, 14)


def test_of_two_writers_of_one_line_the_second_is_told_and_changes_nothing(store: UPath) -> None:
    one, other = _file(store), _file(store)
    one.append(b"line 1\n")
    with pytest.raises(StorageError, match=r"another driver has written line 1 of .*nothing is lost"):
        other.append(b"line I\n")
    with pytest.raises(StorageError, match="it is closed"):
        other.append(b"line 2\n")
    assert list(segment_lines(store)) == _lines(1, 1)


def test_a_write_whose_answer_was_lost_is_known_again(store: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = type(store.fs).pipe_file

    def pipe_file(self: object, path: str, value: bytes, **options: object) -> None:
        whole(self, path, value, **options)
        raise TimeoutError("the answer is lost")

    monkeypatch.setattr(type(store.fs), "pipe_file", pipe_file)
    assert objects.create(store / "one", b"mine")
    assert not objects.create(store / "one", b"of another")


@pytest.mark.parametrize("num_deleted", range(6))
def test_a_kill_while_segments_are_merged_loses_and_doubles_no_line(store: UPath, num_deleted: int) -> None:
    _filled(store, 5)
    objects.create(store / "00000001-00000005.jsonl", b"".join(_lines(1, 5)))
    objects.remove(store / f"{number:08}.jsonl" for number in range(1, num_deleted + 1))
    assert list(segment_lines(store)) == _lines(1, 5)
    _file(store, num_lines=5).append(b"line 6\n")
    assert list(segment_lines(store)) == _lines(1, 6)


def test_a_reader_whose_segments_are_merged_under_its_hands_reads_each_line_once(
    store: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FAN", 2)
    file = _file(store)
    for line in _lines(1, 7):
        file.append(line)
    reader = segment_lines(store)
    read = [next(reader)]
    for line in _lines(8, 16):
        file.append(line)
    assert read + list(reader) == _lines(1, 16)


def test_a_writer_that_has_lost_its_lease_while_it_merged_deletes_nothing(store: UPath) -> None:
    _filled(store, 12)
    before = set(objects.names(store))

    def lost() -> None:
        raise StorageError("another driver holds it")

    with pytest.raises(StorageError, match="another driver"):
        _file(store, 12, lost)
    assert before < set(objects.names(store)) and len(list(segment_lines(store))) == 12


def test_what_a_successor_adds_while_segments_are_merged_stays(store: UPath) -> None:
    _filled(store, 12)
    _file(store, 12, lambda: objects.create(store / "00000013.jsonl", b"13\n") and None)
    assert list(segment_lines(store)) == [*_lines(1, 12), b"13\n"]


def test_a_line_that_a_late_writer_adds_after_a_merge_does_not_count(store: UPath) -> None:
    _filled(store, 12)
    _file(store, num_lines=12)
    late = _file(store, num_lines=4)  # it has missed lines 5 to 12, and their segments are gone
    late.append(b"line V\nline VI\n")
    assert list(segment_lines(store)) == _lines(1, 12)


def test_a_segment_that_is_gone_is_said_and_not_skipped(store: UPath) -> None:
    _filled(store, 5)
    objects.remove([store / "00000003.jsonl"])
    with pytest.raises(StorageError, match="segments of it are missing"):
        list(segment_lines(store))


# -- the lease -------------------------------------------------------------------------------------------------------


class Watch:
    """A pause that does not wait: counts its seconds, and may do something meanwhile."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.waited_s = 0.0
        self._meanwhile = meanwhile

    def __call__(self, seconds: float) -> None:
        self.waited_s += seconds
        self._meanwhile()


def _of_another_machine(held: Lease) -> None:
    """Let the holder look like one of a machine of which nothing is known."""
    path = held.path / f"{held.generation:06}"
    content = json.loads(objects.read(path) or b"")
    objects.write(path, json.dumps({**content, "machine": "another"}).encode())


def test_a_holder_that_gives_signs_of_life_keeps_its_lease_and_is_named(store: UPath) -> None:
    held = Lease(store, "process 7 on node-1 since noon", beats=False)
    _of_another_machine(held)
    watch = Watch(lambda: held._beat(1))
    with pytest.raises(BlockingIOError, match="process 7 on node-1 since noon"):
        Lease(store, "we", pause=watch, beats=False)
    assert watch.waited_s < 1, "one beat is enough"
    held.require_held()


def test_a_holder_without_a_sign_of_life_loses_its_lease_and_writes_no_more(store: UPath) -> None:
    old, watch = Lease(store / "lock", "the old one", beats=False), Watch()
    _of_another_machine(old)
    journal = _file(store / "journal", require_held=old.require_held)
    journal.append(b"line 1\n")
    new = Lease(store / "lock", "the new one", pause=watch, beats=False)
    assert lease.PATIENCE_S <= watch.waited_s <= 10
    with pytest.raises(StorageError, match="another driver has taken the sweep over: the new one"):
        journal.append(b"line 2\n")
    new.require_held()
    old.close()
    assert holder_of_lease(store / "lock", pause=Watch(lambda: new._beat(2))) == "the new one"


def test_a_lease_that_was_given_back_is_free_at_once(store: UPath) -> None:
    Lease(store, "one", beats=False).close()
    watch = Watch()
    assert holder_of_lease(store, pause=watch) is None
    Lease(store, "other", pause=watch, beats=False)
    assert watch.waited_s == 0


def test_the_lease_of_a_process_of_this_machine_that_is_gone_is_free_at_once(store: UPath) -> None:
    held = Lease(store, "gone", beats=False)
    process = subprocess.Popen(["true"])
    process.wait()
    path = store / f"{held.generation:06}"
    objects.write(path, json.dumps({**json.loads(objects.read(path) or b""), "pid": process.pid}).encode())
    watch = Watch()
    Lease(store, "next", pause=watch, beats=False)
    assert watch.waited_s == 0


def test_of_two_that_want_a_free_lease_at_one_moment_one_gets_it(store: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Lease(store, "first", beats=False)
    monkeypatch.setattr(lease, "_newest", lambda folder: 0)  # what the second saw a moment before
    with pytest.raises(BlockingIOError, match="first"):
        Lease(store, "second", beats=False)
    monkeypatch.undo()
    first.require_held()


# -- whole files and names -------------------------------------------------------------------------------------------


def test_whether_an_object_is_there_is_asked_again_while_the_store_does_not_answer(
    store: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = storage.write_text(store / "last.pt", "content")
    info, failures = store.fs.info, [OSError("no answer"), OSError("no answer")]

    def failing(key: str, **named: object) -> object:
        if failures:
            raise failures.pop()
        return info(key, **named)

    monkeypatch.setattr(objects, "PAUSES_S", (0.0,) * 6)
    monkeypatch.setattr(store.fs, "info", failing)
    assert storage.exists(path) and not failures
    assert not storage.exists(store / "other")


def test_files_of_a_store_are_written_read_renamed_and_deleted_like_those_of_a_folder(store: UPath) -> None:
    path = store / "trial" / "last.pt"
    assert storage.read_json(path) is None
    storage.write_sealed_json(path, {"a": 1})
    storage.rename(path, path.with_name("previous.pt"))
    storage.copy_or_link(path.with_name("previous.pt"), path.with_name("best.pt"))
    assert objects.names(store / "trial") == ["best.pt", "previous.pt"]
    assert storage.read_sealed_json(path.with_name("best.pt")) == {"a": 1}
    objects.write(path, (objects.read(path.with_name("best.pt")) or b"")[:-3])
    assert storage.read_sealed_json(path) is None, "a torn one is told from a whole one"
    storage.remove(path, path)
    with pytest.raises(StorageError, match="there is no such object"):
        storage.read_text(path)


def test_of_many_objects_to_delete_those_that_are_gone_are_not_asked_for(
    store: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, paths = list[str](), [store / f"trial-{number}" / "last.pt" for number in range(objects.MANY + 1)]
    for path in (*paths[:3], store / "trial-0" / "best.pt"):
        objects.write(path, b"x")
    delete = type(store.fs).rm_file

    def rm_file(self: object, path: str) -> None:
        asked.append(path)
        delete(self, path)

    monkeypatch.setattr(type(store.fs), "rm_file", rm_file)
    storage.remove(*paths)
    assert asked == [path.path for path in paths[:3]]
    assert objects.below(store) == [store / "trial-0" / "best.pt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3:/bucket/runs", "neither a folder nor a URL; right would be s3://BUCKET/PREFIX"),
        ("s4://bucket", "unknown kind of storage 's4'; did you mean 's3'"),
        ("s3://", "names no bucket"),
    ],
)
def test_a_root_that_is_no_place_is_refused_and_never_becomes_a_folder(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        storage.place(text)


def test_a_store_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigError, match=r"pip install 'tunekit\[gs\]'"):
        storage.place("gs://bucket/runs")


def test_a_folder_needs_no_package_of_object_stores() -> None:
    code = "import sys, tunekit.cli.app, tunekit.storage; sys.exit(bool({'upath', 'fsspec'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=TESTS.parent).returncode == 0


def test_the_hint_of_how_to_go_on_names_the_bucket(store: UPath) -> None:
    assert resume_command(SweepFolder(store / "words")) == f"tunekit resume words --root {store}"


def test_what_only_grows_is_kept_on_this_machine_and_never_in_a_folder_called_like_the_url(
    store: UPath, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUNEKIT_CACHE", str(tmp_path))
    log = SweepFolder(store / "words").driver_log
    assert log.is_relative_to(tmp_path / "sweeps") and ":" not in str(log)
    assert places.own_folder(tmp_path / "here", tmp_path) == tmp_path / "here"


def test_a_journal_in_a_store_is_busy_while_it_is_open_and_says_with_whom(
    store: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.01)
    folder = store / "words"
    with pytest.raises(ConfigError, match="no journal is there"):
        replay(folder)
    with Journal(folder), pytest.raises(SweepBusy, match=rf"run by process {os.getpid()} on .* since 20"):
        Journal(folder)
    Journal(folder).close()


def test_sweeps_of_a_bucket_are_looked_at_all_at_once(store: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a driver that died elsewhere still lives takes some seconds to know, of each sweep."""
    for name in "abc":
        with Journal(store / name) as journal:
            launch(simulated_sweep(), journal)
    together = threading.Barrier(3)

    def holder(path: object) -> None:
        together.wait(timeout=30)

    monkeypatch.setattr(found_sweeps, "holder_of", holder)
    found = found_sweeps.found_sweeps(store)
    assert [(sweep.folder.name, sweep.problem, sweep.is_running) for sweep in found] == [(n, "", False) for n in "abc"]


def test_a_sweep_is_fetched_from_a_store_into_a_folder(store: UPath, tmp_path: Path) -> None:
    source, target = SweepFolder(store / "words"), SweepFolder(tmp_path / "words")
    objects.create(source.journal / "00000001.jsonl", b"line 1\nline 2\n")
    storage.write_text(source.trial("abc").outcome, "outcome")
    storage.write_text(source.trial("abc").best, "weights")
    storage.write_text(source.lock / "000001", "who")
    with (tmp_path / "stream").open("wb") as stream:
        write_snapshot(source, stream)
    read_snapshot(tmp_path / "stream", target)
    assert storage.read_text(target.journal) == "line 1\nline 2\n"
    found = sorted(path.relative_to(target.path).as_posix() for path in tmp_path.glob("words/**/*") if path.is_file())
    assert found == ["journal.jsonl", "trials/abc/outcome.json"]


# -- a whole sweep in a bucket ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a server that speaks S3, in a process of its own; its address stands in the environment."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install -e '.[dev]'")
    del server
    from local_cluster import free_port

    address = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", address.rpartition(":")[2]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**keys, "AWS_ENDPOINT_URL": address}.items():
            environment.setenv(name, value)
        try:
            yield _made_bucket(address)
        finally:
            process.kill()
            process.wait()


def _made_bucket(address: str) -> str:
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"), timeout=5):
                return "s3://bucket"
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_two_writers_in_a_bucket_never_both_write_a_line_and_a_missing_bucket_is_said(bucket: str) -> None:
    root = storage.place(f"{bucket}/lines")
    assert not isinstance(root, Path)
    one, other = _file(root), _file(root)
    for line in _lines(1, 3):
        one.append(line)
    with pytest.raises(StorageError, match="another driver has written line 1 of"):
        other.append(b"line I\n")
    _file(root, num_lines=3)
    assert list(segment_lines(root)) == _lines(1, 3)
    storage.require_place(root)
    with pytest.raises(ConfigError, match="there is no bucket 'nowhere'"):
        storage.require_place(storage.place("s3://nowhere/runs"))


def _driver(folder: str, backbone: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, str(TESTS / "sweep_driver.py"), folder, str(backbone), "--trials", "4", "--retries", "99"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_sweep_in_a_bucket_is_killed_ten_times_and_ends_with_every_trial_finished_once(
    bucket: str, backbone: Path
) -> None:
    folder = storage.place(f"{bucket}/runs/killed")
    assert not isinstance(folder, Path)
    for number in range(10):
        process, before = _driver(str(folder), backbone), _num_lines(folder)
        while process.poll() is None and _num_lines(folder) < before + 4:
            time.sleep(0.05)
        assert process.poll() is None, f"it ended by itself before kill {number}"
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = _driver(str(folder), backbone)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()[-2000:]
    record = replay(folder)
    assert all(trial.state in ("COMPLETE", "PRUNED") for trial in record.trials.values())
    finished = Counter(
        event["trial_id"] for event in read_events(SweepFolder(folder).journal) if event["event"] == "finished"
    )
    assert set(finished) == set(record.trials) and set(finished.values()) == {1}


def _num_lines(folder: UPath) -> int:
    return sum(1 for _ in segment_lines(SweepFolder(folder).journal))


@pytest.mark.slow
@pytest.mark.parametrize("is_bucket", [True, False], ids=["bucket", "folder"])
def test_of_two_drivers_started_at_one_moment_one_works_and_the_other_says_who(
    bucket: str, backbone: Path, tmp_path: Path, is_bucket: bool
) -> None:
    folder = f"{bucket}/runs/twice" if is_bucket else str(tmp_path / "twice")
    both = [_driver(folder, backbone) for _ in range(2)]
    said = [process.communicate()[1].decode() for process in both]
    codes = [process.returncode for process in both]
    loser = said[codes.index(max(codes))]
    assert sorted(map(bool, codes)) == [False, True], said
    assert "SweepBusy: sweep 'twice' is being run by process" in loser and " since 20" in loser
