"""``tunekit doctor``: what each probe makes of what it meets, and that no probe can take the command down."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from command_line import CommandLine
from rich.console import Console

from tunekit import storage
from tunekit.doctor import Finding, Patient, cluster, devices, examine, hub, libraries, machine, render, root
from tunekit.doctor.child import PROBES as RUN_BY_CHILD
from tunekit.doctor.examination import PROBES, Probe, answer, findings, start
from tunekit.doctor.page import verdict
from tunekit.errors import StorageError
from tunekit.execution.launch import _PACKAGES
from tunekit.execution.ray_look import JobServer, NodeReport, NodeView
from tunekit.execution.ray_start import keep_token_private

GIB = 1024**3
PROBE = Probe("x", "X", 20)


def _levels(found: Iterator[Finding] | list[Finding]) -> list[str]:
    return [one.level for one in found]


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_doctor_looks_at_everything_and_leaves_nothing(tunekit: CommandLine, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    told = tunekit("doctor", "--root", tmp_path / "new" / "runs", "--json")
    rows = json.loads(told.out)
    assert {row["part"] for row in rows} == {probe.title for probe in PROBES}
    assert told.code == (1 if "wrong" in {row["level"] for row in rows} else 0)
    assert {"python", "torch", "memory", "locks", "hub", "token"} <= {row["name"] for row in rows}
    assert all(row["cure"] for row in rows if row["level"] != "ok"), "what is not ok has a cure"
    assert not [row for row in rows if "could not be looked at" in row["found"]]
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_wrong_ends_in_exit_code_1(tunekit: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.doctor import examination

    monkeypatch.setattr(examination.examine, "__defaults__", (PROBES[3:4],))
    Path("file").touch()
    told = tunekit("doctor", "--root", "file")
    assert told.code == 1 and "file is a file" in told.out and "1 thing is wrong" in told.out
    told = tunekit("doctor", "--root", "runs")
    assert told.code == 0 and "can be written" in told.out


def test_each_part_has_a_probe_and_each_probe_a_part() -> None:
    assert [probe.name for probe in PROBES] == list(RUN_BY_CHILD)


@pytest.mark.parametrize("width", [60, 140])
def test_the_page_fits_its_terminal_and_cuts_nothing(width: int) -> None:
    long = " ".join(["word"] * 60)
    found = {"Part": [Finding("a name", "ok", long), Finding("n" * 40, "wrong", long, f"cure {long}")]}
    file = io.StringIO()
    Console(file=file, width=width).print(render(found))
    text = file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    assert (text.count("word"), text.count("n" * 16), text.count("→ cure")) == (180, 2, 1)
    assert text.splitlines()[-1] == "1 thing is wrong"


def test_the_verdict_counts() -> None:
    ok, warning, wrong = Finding("a", "ok", ""), Finding("b", "warning", "", "x"), Finding("c", "wrong", "", "x")
    assert verdict([ok]) == "nothing is wrong"
    assert verdict([ok, warning]) == "nothing is wrong, 1 warning"
    assert verdict([wrong, wrong, warning, warning]) == "2 things are wrong, 2 warnings"


# -- probes that fail --------------------------------------------------------------------------------------------------

LINE = 'print(\'{"name": "a", "level": "ok", "found": "x", "cure": ""}\', flush=True)'


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('no such thing')", "could not be looked at: ValueError: no such thing"),
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("import sys; sys.exit(3)", "no reason given"),
        ("raise OSError('https://me:secret1@host refused')", "https://[hidden]@host refused"),
    ],
)
def test_a_probe_that_fails_is_a_line_with_the_reason_and_keeps_what_it_found_before(code: str, said: str) -> None:
    before, after = answer(PROBE, start([sys.executable, "-c", f"{LINE}\n{code}"]))
    assert (before, after.level) == (Finding("a", "ok", "x"), "wrong")
    assert said in after.found and after.cure


def test_a_probe_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = f"{LINE}\nimport subprocess; subprocess.run(['sleep', '1000'])"
    process = start([sys.executable, "-c", code])
    before, after = answer(Probe("x", "X", 0.5), process)
    assert (before.found, after.level, after.found) == ("x", "wrong", "no answer within 0 s")
    assert process.returncode is not None and process.stdout is not None and process.stdout.closed


def test_what_is_no_finding_is_passed_over() -> None:
    bad = b'noise\n{"name": 1}\n{"name": "a"\n{"name": "a", "level": "fine", "found": "", "cure": ""}\n'
    assert findings(bad) == []
    assert findings(b'{"name": "\\u001b[31m", "level": "ok", "found": "\\u001b", "cure": ""}')[0].name == "\\x1b[31m"


# -- libraries and devices ---------------------------------------------------------------------------------------------


def test_versions_are_compared_with_those_that_are_tested(tmp_path: Path) -> None:
    file = tmp_path / "constraints.txt"
    file.write_text("# words\ntorch==2.0\nray==3\nnumpy==1\n")
    tested = libraries.pinned(file)
    found = list(libraries.compared({"torch": "2.0+cpu", "ray": None, "numpy": "2", "optuna": "9"}, tested))
    assert [(one.name, one.level) for one in found] == [
        ("ray", "wrong"),
        ("numpy", "warning"),
        ("as tested", "ok"),
        ("libraries", "ok"),
    ]
    assert "ray==3" in found[0].cure and "numpy==1" in found[1].cure
    assert libraries.pinned(tmp_path / "nothing") == {}


def test_every_library_whose_version_is_in_the_journal_is_looked_at() -> None:
    assert set(_PACKAGES) <= set(libraries.NEEDED)
    assert set(libraries.NEEDED) <= libraries.pinned(libraries.CONSTRAINTS).keys()


def test_an_old_python_is_wrong() -> None:
    assert (libraries.python((3, 10, 1), "").level, libraries.python((3, 11, 0), "").level) == ("wrong", "ok")


@pytest.mark.parametrize(
    ("has_driver", "built_for", "shown", "level", "said"),
    [
        (False, None, None, "ok", "no NVIDIA driver"),
        (True, None, None, "wrong", "built without CUDA"),
        (True, "13.0", None, "wrong", "driver is too old"),
        (True, "13.0", "", "warning", "hides the GPUs"),
        (True, "13.0", "-1", "warning", "hides the GPUs"),
        (True, "13.0", "0", "wrong", "cannot use the NVIDIA driver"),
    ],
)
def test_without_cuda_the_reason_is_found(
    has_driver: bool, built_for: str | None, shown: str | None, level: str, said: str
) -> None:
    found = devices.without_cuda(["driver is too old"], has_driver=has_driver, built_for=built_for, shown=shown)
    assert found.level == level and said in found.found


def test_a_device_in_use_or_without_bf16_is_a_warning() -> None:
    levels = [
        devices.judged("d", "", free_share=share, has_bf16=has_bf16).level
        for share, has_bf16 in ((0.9, True), (0.1, True), (0.9, False))
    ]
    assert levels == ["ok", "warning", "warning"]


@pytest.mark.parametrize("library", ["torch", "ray"])
def test_without_torch_or_ray_the_doctor_says_so_and_imports_neither(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # any import of it now fails
    for room in (devices, cluster):
        monkeypatch.setattr(room, "installed_version", lambda name: None if name == library else "1")
    probe = devices.devices if library == "torch" else cluster.cluster
    (found,) = probe(Patient(root="runs", address="auto"))
    assert (found.name, found.level) == (library, "wrong") and "not installed" in found.found


# -- the machine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "limit", "asked", "level"),
    [
        (8, None, None, "ok"),
        (8, None, "9", "warning"),
        (8, 2.0, None, "warning"),
        (8, 1.5, "2", "ok"),
        (8, 2.0, "8", "warning"),
        (2, 8.0, "1", "ok"),
    ],
)
def test_threads_are_compared_with_the_cores_that_may_be_used(
    cores: int, limit: float | None, asked: str | None, level: str
) -> None:
    assert machine.processors(cores, limit=limit, asked=asked).level == level


def test_the_limits_of_a_container_are_read_in_both_versions(tmp_path: Path) -> None:
    new, old, none = (tmp_path / name for name in ("new", "old", "none"))
    for file, text in {
        new / "cpu.max": "150000 100000\n",
        new / "memory.max": "1000\n",
        new / "memory.current": "400\n",
        old / "cpu" / "cpu.cfs_quota_us": "200000\n",
        old / "cpu" / "cpu.cfs_period_us": "100000\n",
        old / "memory" / "memory.limit_in_bytes": str(1 << 62),
        none / "cpu.max": "max 100000\n",
        none / "memory.max": "max\n",
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert [machine.processor_limit(folder) for folder in (new, old, none)] == [1.5, 2.0, None]
    assert [machine.memory_limit(folder) for folder in (new, old, none)] == [600, None, None]


def test_little_of_anything_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [machine.memory(n * GIB, None).level for n in (16, 2)] == ["ok", "warning"]
    assert machine.memory(16 * GIB, GIB // 2).level == "wrong"
    assert machine.memory(None, None).level == "warning"
    assert [machine.open_files(n, 99999).level for n in (-1, 65536, 1024, 256)] == ["ok", "ok", "warning", "wrong"]
    assert "ulimit -n 65536" in machine.open_files(1024, -1).cure
    assert "hard limit" in machine.open_files(1024, 1024).cure
    assert [machine.clock(n).level for n in (0, 1.8e9)] == ["wrong", "ok"]
    assert machine.temporary_files(Path("/" + "x" * 60)).level == "wrong"
    for free, level in ((GIB // 2, "wrong"), (5 * GIB, "warning"), (50 * GIB, "ok")):
        monkeypatch.setattr(storage, "free_bytes", lambda _, free=free: free)
        assert machine.disk("room", tmp_path / "not" / "there", "cure").level == level


def test_what_this_machine_says_is_read(tmp_path: Path) -> None:
    assert list(machine.shared_memory(tmp_path / "nowhere")) == []
    assert (machine.free_memory() or 0) > 0
    assert (machine.free_memory(tmp_path / "nowhere") or 0) > 0


# -- the folder of the sweeps ------------------------------------------------------------------------------------------


def test_a_sound_root_is_ok_and_left_as_it_was(tmp_path: Path) -> None:
    assert set(_levels(root.root(Patient(root=str(tmp_path / "a" / "b"))))) <= {"ok", "warning"}
    assert not list(tmp_path.iterdir())


def _refuse(*_: object, **__: object) -> None:
    raise StorageError("cannot do it: read-only; repair it")


@pytest.mark.parametrize(
    ("function", "probe"), [("write_text", root.writes), ("rename", root.writes), ("Lock", root.locks)]
)
def test_what_the_root_refuses_is_wrong(
    function: str, probe: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, function, _refuse)
    found = probe(tmp_path)  # type: ignore[operator]
    assert found.level == "wrong" and "read-only" in found.found and found.cure


def test_a_root_whose_locks_do_nothing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "Lock", lambda path: io.StringIO())
    assert root.locks(tmp_path).level == "wrong"


def test_a_rename_that_loses_bytes_and_an_append_that_does_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "read_text", lambda path: "")
    assert [root.writes(tmp_path).level, root.grows(tmp_path).level] == ["wrong", "wrong"]
    assert [root.paced(seconds).level for seconds in (0.01, 1.0)] == ["ok", "warning"]


# -- the hub -----------------------------------------------------------------------------------------------------------


class _Hub(BaseHTTPRequestHandler):
    code = 200
    headers_seen: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.headers_seen.append(self.headers.get("Authorization"))
        self.send_response(self.code)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Hub]]:
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("HF_TOKEN", "hf_canarycanarycanary")
    yield _Hub
    server.shutdown()
    server.server_close()


def test_the_mirror_is_asked_and_gets_no_token(mirror: type[_Hub]) -> None:
    found = hub.reachable()
    assert found.level == "ok" and "127.0.0.1" in found.found and "HF_TOKEN" in found.found
    assert mirror.headers_seen[-1] is None and "canary" not in found.found
    mirror.code = 503
    assert (hub.reachable().level, "503" in hub.reachable().found) == ("warning", True)
    mirror.code = 200


@pytest.mark.parametrize(
    ("variable", "value", "level", "said"),
    [
        ("HF_HUB_OFFLINE", "1", "ok", "not asked"),
        ("TRANSFORMERS_OFFLINE", "yes", "ok", "not asked"),
        ("HF_ENDPOINT", "http://me:secret99@127.0.0.1:1", "warning", "http://[hidden]@127.0.0.1:1 does not answer"),
        ("HF_ENDPOINT", "ftp://host", "wrong", "ftp://host"),
    ],
)
def test_the_hub_is_asked_as_its_variables_say(
    variable: str, value: str, level: str, said: str, mirror: type[_Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    found = hub.reachable()
    assert found.level == level and said in found.found


def test_the_hubs_cache_is_where_the_hub_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub.hub_cache() == Path.home() / ".cache" / "huggingface" / "hub"
    assert constants.HF_HUB_CACHE.endswith("hub")
    monkeypatch.setenv("HF_HOME", "/h")
    assert hub.hub_cache() == Path("/h/hub")


def test_a_cache_that_cannot_be_written_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "write_text", _refuse)
    (found,) = hub.cache("cache", tmp_path / "not" / "yet", "another folder")
    assert (found.level, found.cure) == ("wrong", "another folder")
    assert not list(tmp_path.iterdir())


# -- Ray ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "mode", "level", "said"),
    [
        ({}, None, "ok", "none yet"),
        ({}, 0o600, "ok", "for its owner alone"),
        ({}, 0o644, "wrong", "mode 644"),
        ({"RAY_AUTH_MODE": "disabled"}, 0o600, "wrong", "RAY_AUTH_MODE=disabled"),
        ({"RAY_AUTH_MODE": "TOKEN"}, 0o600, "ok", "for its owner"),
        ({"RAY_AUTH_TOKEN": "canary"}, 0o600, "warning", "every program"),
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere/x"}, 0o600, "wrong", "not there"),
    ],
)
def test_the_token_is_found_as_ray_finds_it_and_never_shown(
    environment: dict[str, str], mode: int | None, level: str, said: str, tmp_path: Path
) -> None:
    if mode is not None:
        file = tmp_path / ".ray" / "auth_token"
        file.parent.mkdir()
        file.write_text("canary")
        file.chmod(mode)
    (found,) = cluster.token(environment, tmp_path)
    assert found.level == level and said in found.found
    assert "canary" not in found.found + found.cure


def test_a_token_that_tunekit_makes_is_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    keep_token_private()
    (found,) = cluster.token({}, tmp_path)
    assert found.level == "ok" and "for its owner alone" in found.found


SAME = {"tunekit": "1", "torch": "2"}


@pytest.mark.parametrize(
    ("versions", "sees", "free", "ahead", "levels", "said"),
    [
        (SAME, True, 50 * GIB, 0.0, ["ok"], "same versions"),
        (SAME, False, 50 * GIB, 0.0, ["wrong"], "does not see"),
        ({**SAME, "torch": "3"}, True, 50 * GIB, 0.0, ["warning"], "torch 3 (here 2)"),
        ({"torch": "2"}, True, 50 * GIB, 0.0, ["wrong"], "tunekit not there (here 1)"),
        (SAME, True, GIB, -60.0, ["warning", "warning"], "60 s behind"),
        (SAME, True, None, 0.0, ["ok"], "same versions"),
    ],
)
def test_a_node_is_compared_with_the_driver(
    versions: dict[str, str], sees: bool, free: int | None, ahead: float, levels: list[str], said: str
) -> None:
    view = NodeView(versions=versions, sees_folder=sees, free_bytes=free)
    report = NodeReport(host="h", offer={"CPU": 1.0}, view=view, clock_ahead_s=ahead)
    found = list(cluster.node(report, SAME, Path("/shared")))
    assert _levels(found) == levels and said in found[0].found


def test_a_node_that_cannot_be_asked_says_why() -> None:
    report = NodeReport(host="h", offer={}, view=None, problem="ModuleNotFoundError: no tunekit")
    (found,) = cluster.node(report, SAME, Path("/shared"))
    assert found.level == "wrong" and "ModuleNotFoundError" in found.found


@pytest.mark.parametrize(
    ("answered", "levels"),
    [
        (JobServer(ray="9"), ["ok", "ok"]),
        (JobServer(ray="9", is_open=True), ["ok", "wrong"]),
        (JobServer(ray="8"), ["wrong", "ok"]),
        (JobServer(ray="", reason="error 401"), ["wrong"]),
        (OSError("refused"), ["wrong"]),
    ],
)
def test_a_job_server_is_asked_who_it_lets_in(
    answered: JobServer | OSError, levels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.execution import ray_look

    def asked(address: str) -> JobServer:
        if isinstance(answered, OSError):
            raise answered
        return answered

    monkeypatch.setattr(ray_look, "job_server", asked)
    monkeypatch.setattr(cluster, "installed_version", lambda _: "9")
    monkeypatch.setattr(cluster, "token", lambda *_: iter(()))
    found = list(cluster.cluster(Patient(root="runs", address="http://me:pass99@head:8265")))
    assert _levels(found) == levels and "pass99" not in str(found)


def test_no_command_line_of_the_doctor_needs_more_than_a_minute_or_three() -> None:
    assert max(probe.limit_s for probe in PROBES) <= 180


def test_all_probes_are_run_at_once_and_answer_by_their_titles(tmp_path: Path) -> None:
    found = examine(Patient(root=str(tmp_path)), PROBES[2:4])
    assert list(found) == ["This machine", "The folder of the sweeps"]
    assert "wrong" not in _levels(found["The folder of the sweeps"][:3])
