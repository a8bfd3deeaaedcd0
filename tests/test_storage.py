"""Files of a sweep: whole or not at all, one writer at a time, and digests that are computed once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from tunekit import storage
from tunekit.errors import ConfigError, StorageError
from tunekit.storage import AppendFile, Lock, digests, holder_of, sealed
from tunekit.storage.source_code import commit_of, commits, files_digest, package_digest


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = storage.write_text(tmp_path / "deep" / "file", "old")

    def fail(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"cannot write .*file: No space left on device; free or repair"):
        storage.write_with(path, fail)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file"]


def test_a_torn_json_file_is_passed_over_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = storage.write_json(tmp_path / "a.json", {"b": (1, 2)})
    assert storage.read_json(path) == {"b": [1, 2]}
    path.write_bytes(path.read_bytes()[:5])
    assert storage.read_json(path) is None
    assert "is torn and is ignored" in caplog.text
    assert storage.read_json(tmp_path / "none.json") is None


def _sealed(path: Path, content: bytes) -> Path:
    def write(file: IO[bytes]) -> None:
        file.write(content[:7])
        file.write(content[7:])

    return storage.write_sealed(path, write)


def _content(path: Path) -> bytes | None:
    return storage.read_sealed(path, lambda file: file.read()[: -sealed.SEAL_BYTES])


@pytest.mark.parametrize("size", [0, 1, 100, 3 * sealed.BLOCK_BYTES // 2])
def test_a_sealed_file_gives_back_what_was_written(tmp_path: Path, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    assert _content(_sealed(tmp_path / "file", content)) == content
    assert _content(tmp_path / "none") is None


def test_a_sealed_file_that_was_cut_grew_or_changed_in_one_bit_is_never_read(tmp_path: Path) -> None:
    path = _sealed(tmp_path / "file", b"all that a trial needs to go on")
    whole = path.read_bytes()
    changed = [whole[:size] for size in range(len(whole))] + [whole + b"\0", b"\0" + whole, whole[1:], whole * 2]
    for place in range(len(whole)):
        for bit in range(8):
            one = bytearray(whole)
            one[place] ^= 1 << bit
            changed.append(bytes(one))
    for content in changed:
        path.write_bytes(content)
        with pytest.raises(storage.TornFile, match="is torn: "):
            storage.read_sealed(path, lambda file: pytest.fail("it was read"))
    path.write_bytes(whole)
    assert _content(path) is not None


def test_a_sealed_file_that_the_disk_does_not_give_is_a_storage_error_and_not_torn(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*folder"):
        _content(tmp_path / "folder")


STORED = {"name": "größe", "number": 0.1 + 0.2, "inner": {"b": [1, None], "a": "\udcff"}}


def test_sealed_json_gives_back_what_was_written(tmp_path: Path) -> None:
    assert storage.read_sealed_json(storage.write_sealed_json(tmp_path / "a.json", STORED)) == STORED
    assert storage.read_sealed_json(tmp_path / "none.json") is None


def test_sealed_json_that_changed_anywhere_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = storage.write_sealed_json(tmp_path / "a.json", STORED)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bits in (1, 2, 32, 128):
            one = bytearray(whole)
            one[place] ^= bits
            path.write_bytes(one)
            assert storage.read_sealed_json(path) is None, one
    for other in (b"", b"[]", b"null", b"{}", b"[" * 100_000, b'{"checksum": 7}', whole[:-9], b"\xff"):
        caplog.clear()
        path.write_bytes(other)
        assert storage.read_sealed_json(path) is None
        assert "is torn and is ignored" in caplog.text


@pytest.mark.parametrize("content", [b"[]", b"7", b"[" * 100_000, b"\xff", b'{"a"'])
def test_json_of_another_kind_is_passed_over_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert storage.read_json(tmp_path / "a.json") is None
    assert "is ignored" in caplog.text


def test_a_link_is_a_second_name_and_survives_the_first(tmp_path: Path) -> None:
    first = storage.write_text(tmp_path / "first", "text")
    storage.copy_or_link(first, tmp_path / "second")
    storage.remove(first, tmp_path / "not there")
    assert (tmp_path / "second").read_text() == "text"


def test_a_lock_is_taken_once_and_can_be_asked_for_without_being_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder_of(path) is None
    lock = Lock(path)
    lock.write("process 7")
    for _ in range(3):  # neither asking nor closing the file elsewhere in this process releases it
        assert holder_of(path) == "process 7"
        path.read_text()
    with pytest.raises(BlockingIOError):
        Lock(path)
    lock.close()
    assert holder_of(path) is None
    Lock(path).close()


def test_a_lock_falls_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tunekit.storage import Lock\n"
        "Lock(Path(sys.argv[1])).write('the other'); print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code.replace("Lock(Path(sys.argv[1]))", "lock = Lock(Path(sys.argv[1])); lock")]
    with subprocess.Popen([*command, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert holder_of(tmp_path / "lock") == "the other"
        process.kill()
        process.wait()
    assert holder_of(tmp_path / "lock") is None


def test_what_cannot_be_appended_whole_is_not_there_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = AppendFile(tmp_path / "log")
    file.append(b"one\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="free some space"):
        file.append(b"two\n")
    with pytest.raises(StorageError, match="it is closed"):
        file.append(b"three\n")
    assert (tmp_path / "log").read_bytes() == b"one\n"


@pytest.mark.parametrize("how", ["appended to", "cut", "replaced", "deleted"])
def test_a_file_that_another_process_has_changed_is_written_no_more(how: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = AppendFile(path)
    file.append(b"one\n")
    if how == "appended to":
        with path.open("ab") as other:
            other.write(b"theirs\n")
    elif how == "cut":
        os.truncate(path, 2)
    else:
        path.unlink()
        if how == "replaced":
            path.write_bytes(b"other\n")
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(StorageError, match=r"cannot write .*log"):
        file.append(b"two\n")
    with pytest.raises(StorageError, match="it is closed"):
        file.append(b"three\n")
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage.place("~/runs") == tmp_path / "runs"
    assert storage.place("runs/~") == Path("runs/~")
    with pytest.raises(ConfigError, match="nobody of that name has a home folder"):
        storage.place("~nobody-of-this-name/runs")


def test_a_digest_follows_the_bytes_and_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "KEPT_BYTES", 0)
    path = tmp_path / "weights"
    path.write_bytes(b"a" * 1000)
    first = storage.file_digest(path)
    times = path.stat()
    path.write_bytes(b"b" * 1000)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time of modification
    assert storage.file_digest(path) != first
    path.write_bytes(b"a" * 1000)
    assert storage.file_digest(path) == first

    def never(path: Path) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr(digests, "_computed", never)
    assert storage.file_digest(path) == first
    digests._known.clear()  # as in another process on this machine
    assert storage.file_digest(path) == first


def test_a_sweep_is_found_by_name_or_path(tmp_path: Path) -> None:
    storage.write_text(tmp_path / "mine" / "journal.jsonl", "{}\n")
    assert storage.sweep_folder("mine", tmp_path).path == tmp_path / "mine"
    assert storage.sweep_folder(str(tmp_path / "mine"), tmp_path / "elsewhere").name == "mine"
    with pytest.raises(ConfigError, match="did you mean 'mine'"):
        storage.sweep_folder("mime", tmp_path)


def test_asking_who_holds_a_lock_never_keeps_anybody_from_taking_it(tmp_path: Path) -> None:
    path, is_over = tmp_path / "lock", threading.Event()
    asked = [0, 0]

    def ask(number: int) -> None:
        while not is_over.is_set():
            holder_of(path)
            asked[number] += 1

    pollers = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for poller in pollers:
        poller.start()
    try:
        num_taken = 0
        while num_taken < 500 or min(asked) < 200:
            Lock(path).close()
            num_taken += 1
    finally:
        is_over.set()
        for poller in pollers:
            poller.join()


def test_a_digest_of_code_changes_with_a_byte_and_a_name_and_not_with_line_ends(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "inner/b.py").write_text("y = 2\n")
    (tmp_path / "notes.txt").write_text("no code")
    first = files_digest(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", first)
    (tmp_path / "notes.txt").write_text("other text")
    (tmp_path / "a.py").write_bytes(b"x = 1\r\n")
    assert files_digest(tmp_path) == first
    (tmp_path / "inner/b.py").rename(tmp_path / "inner/c.py")
    second = files_digest(tmp_path)
    (tmp_path / "inner/c.py").write_text("y = 3\n")
    assert len({first, second, files_digest(tmp_path)}) == 3
    assert files_digest(tmp_path / "a.py") != files_digest(tmp_path / "inner/c.py")
    assert files_digest(tmp_path / "nowhere") == ""


def test_the_package_has_a_digest_of_its_own_code() -> None:
    assert re.fullmatch("[0-9a-f]{12}", package_digest())


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_commit_is_told_where_git_holds_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *own, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    code, installed = tmp_path / "code", tmp_path / ".venv"
    for folder in (code, installed):
        folder.mkdir()
        (folder / "a.py").write_text("1")
    assert commit_of(code) == ""
    git("init", "--quiet")
    assert commit_of(code) == "", "nothing is committed"
    git("add", "code")
    git("commit", "--quiet", "-m", "first")
    commit = git("rev-parse", "HEAD")[:12]
    assert commit_of(code) == commit_of(tmp_path) == commit
    assert commit_of(installed) == "", "a package that lies there is not of this commit"
    (code / "a.py").write_text("2")
    assert commit_of(code) == f"{commit}-dirty"
    monkeypatch.chdir(code)
    assert commits()["folder_commit"] == f"{commit}-dirty"
    monkeypatch.setenv("PATH", "")
    assert commit_of(code) == "" and commits() == {}


def test_two_writers_of_one_file_with_one_process_number_do_not_take_each_others_half_away(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write(file: IO[bytes]) -> None:
        file.write(b"first")
        storage.write_text(path, "second")  # a worker of another machine, in the middle

    storage.write_with(path, write)
    assert path.read_text() == "first" and [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_writer_leaves_is_found(tmp_path: Path) -> None:
    found: list[Path] = []
    storage.write_with(tmp_path / "file", lambda file: found.extend(storage.partial_files(tmp_path)))
    assert len(found) == 1


def test_a_file_that_is_there_already_stays_where_a_new_one_is_put(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("ours")
    target = tmp_path / "deep" / "target"
    storage.local.put_new(tmp_path / "source", target)
    assert target.read_text() == "ours"
    (tmp_path / "source").write_text("later")
    storage.local.put_new(tmp_path / "source", target)
    assert target.read_text() == "ours" and os.listdir(target.parent) == ["target"]
