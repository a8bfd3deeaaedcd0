"""Sweeps sent to real Ray clusters on this machine: submitted, killed, stopped, resumed, fetched, and launched.

The nodes know nothing of this repository but what is shipped to them, and ask for a token.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import ray
from command_line import SWEEP
from local_cluster import HERE, Cluster, family, free_port, processes, signal_all, started, wait_for, without_token

from tunekit.cluster import launching
from tunekit.journal import SweepRecord, read_events, replay

CLI = [sys.executable, "-m", "tunekit"]
LONG = SWEEP.replace("epochs: 2", "epochs: 40").replace("num_trials: 2", "num_trials: 4")


class Desk:
    """A person's own machine: a folder with a sweep file, and the command line."""

    def __init__(self, folder: Path, backbone: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "tiny").symlink_to(backbone)
        (folder / "words.yaml").write_text(LONG)
        path = os.pathsep.join([str(HERE), str(HERE.parent)])
        self.environment = {**environment, "PYTHONPATH": path, "TUNEKIT_CACHE": str(folder / "cache")}

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*CLI, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


def _short_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="tk-"))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with started(partial(Cluster, dashboard=True)) as running:
        running.start_second()
        yield running


def _has_reported(journal: Path, after: int = 0) -> bool:
    return journal.exists() and journal.read_text().count('"event":"reported"') > after


def _driver(journal: Path) -> int:
    """The process that writes the journal."""
    return next(int(event["pid"]) for event in reversed(list(read_events(journal))) if "pid" in event)


def _whole(record: SweepRecord, journal: Path) -> None:
    """Every trial that was asked for is finished exactly once."""
    finished = [event["trial_id"] for event in read_events(journal) if event["event"] == "finished"]
    assert len(finished) == len(set(finished)) == len(record.trials)
    assert {trial.state for trial in record.trials.values()} == {"COMPLETE"}
    assert Counter(trial.phase for trial in record.trials.values())["search"] == 8


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)  # a machine with much else to do takes its time
def test_a_submitted_sweep_is_stopped_killed_taken_up_again_and_fetched(
    cluster: Cluster, backbone: Path, tmp_path: Path
) -> None:
    desk, root = Desk(tmp_path / "desk", backbone, cluster.environment), cluster.folder / "shared"
    journal = root / "words" / "journal.jsonl"
    submit = ("submit", "words.yaml", "--address", cluster.url, "--root", str(root))
    assert "as job tunekit-words-1" in desk(*submit)
    wait_for(lambda: _has_reported(journal), what="a trial's first epoch")
    assert "is RUNNING" in desk(*submit, code=2)

    assert "words on" in desk("stop", "words")
    said = desk("logs", "words")
    assert "interrupted" in said and "Traceback" not in said, "the driver itself was told, and ended in good order"

    num_reported = journal.read_text().count('"event":"reported"')
    assert "as job tunekit-words-2" in desk(*submit)
    wait_for(lambda: _has_reported(journal, num_reported), what="an epoch after the stop")
    os.kill(_driver(journal), signal.SIGKILL)
    desk("logs", "words", "--follow", code=1)

    assert "as job tunekit-words-3" in desk(*submit)
    desk("logs", "words", "--follow")
    said = desk("fetch", "words", "--address", cluster.url)
    target = desk.folder / "runs" / "words"
    assert "runs/words" in said and target.joinpath("journal.jsonl").read_bytes() == journal.read_bytes()
    assert not list(target.rglob("*.pt"))
    desk("fetch", "words", "--address", cluster.url, "--checkpoints")
    assert list(target.rglob("best.pt"))
    _whole(replay(target), target / "journal.jsonl")
    assert "zero_shot" in desk("report", "words")
    logs = cluster.folder / "ray" / "session_latest" / "logs"
    wait_for(lambda: not any(log.stat().st_size for log in logs.glob("job-driver-tunekit-fetch-*")), what="no copy")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_cluster_that_does_not_know_our_token_runs_nothing_of_ours(
    cluster: Cluster, backbone: Path, tmp_path: Path
) -> None:
    wrong = {**cluster.environment, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    del wrong["RAY_AUTH_TOKEN_PATH"]
    none = {**without_token(tmp_path), "RAY_AUTH_MODE": "disabled"}
    for name, environment in (("wrong", wrong), ("none", none)):
        said = Desk(tmp_path / name, backbone, environment)("submit", "words.yaml", "--address", cluster.url, code=2)
        assert "asks for a token that we do not have" in said and "RAY_AUTH_TOKEN_PATH" in said
        assert "Traceback" not in said


# -- launch ------------------------------------------------------------------------------------------------------------

CLUSTER = """\
cluster_name: tunekit-test
provider: {{type: local, head_ip: 127.0.0.1, worker_ips: []}}
auth: {{ssh_user: somebody}}
file_mounts: {{"{home}/.ray/auth_token": "{token}"}}
head_start_ray_commands:
  - >-
    nohup ray start --head --block --port={port} --num-cpus=2 --dashboard-port={dashboard} --temp-dir={folder}/ray
    --ray-client-server-port={client} --dashboard-agent-listen-port={agent} --object-store-memory=80000000
    --min-worker-port=0 --max-worker-port=0 --autoscaling-config=~/ray_bootstrap_config.yaml
    > {folder}/head.log 2>&1 & echo $! >> {folder}/pids
"""


class Launched:
    """A folder in which ``ray up`` finds all it needs on this machine; ends what it started."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir()
        token, programs = folder / "token", folder / "programs"
        token.write_text(secrets.token_hex(32))
        programs.mkdir()
        for name in ("ssh", "rsync"):
            (programs / name).write_text(f"#!{sys.executable}\n{(HERE / 'fake_ssh.py').read_text()}")
            (programs / name).chmod(0o755)
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        (self.home / ".bashrc").write_text(f"export PATH={path}\n")  # a login shell forgets what it was given
        (self.home / ".bash_profile").write_text("source ~/.bashrc\n")
        ports = {name: free_port() for name in ("port", "dashboard", "client", "agent")}
        content = CLUSTER.format(home=self.home, token=token, folder=folder, **ports)
        self.file = folder / "cluster.yaml"
        self.file.write_text(textwrap.dedent(content))
        self.environment = {
            **without_token(self.home),
            "PATH": path,
            "PYTHONPATH": "",
            "RAY_TMPDIR": str(folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "FAKE_SSH_DASHBOARD": str(ports["dashboard"]),
        }

    @property
    def heads(self) -> list[int]:
        """The heads that were ever started."""
        pids = self.folder / "pids"
        return [int(line) for line in pids.read_text().split()] if pids.exists() else []

    def stop(self) -> None:
        everyone = [pid for head in self.heads for pid in family(head)]
        signal_all(everyone, signal.SIGKILL)
        wait_for(lambda: not {row[0] for row in processes()} & set(everyone), what="the end of the cluster")


class Answer(http.server.BaseHTTPRequestHandler):
    """What a dashboard says of a cluster without jobs, once ``ray up`` has run its commands."""

    started: Path

    def do_GET(self) -> None:
        """Answer, or hang up as ssh does where nobody listens."""
        if not self.started.exists():
            self.connection.close()
            return
        said = {"version": "4", "ray_version": ray.__version__, "ray_commit": "", "session_name": ""}
        body = json.dumps(said if self.path == "/api/version" else []).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.mark.slow
def test_rays_launcher_runs_once_and_its_tunnel_leads_to_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's launcher and tunnel as they are; a stand-in for the Ray that they start."""
    folder, said = _short_folder(), list[str]()
    try:
        launched = Launched(folder)
        head = launched.file.read_text().partition("head_start_ray_commands:")[0]
        launched.file.write_text(f"{head}head_start_ray_commands: [echo started >> {folder}/started]\n")
        for name, value in launched.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PYTHONPATH", str(HERE.parent))
        handler = type("Here", (Answer,), {"started": folder / "started"})
        port = int(launched.environment["FAKE_SSH_DASHBOARD"])
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            for expected in ("bringing it up: ray up", "stays as it is"):
                with launching.brought_up(launching.Commands(file=launched.file), said.append) as jobs:
                    assert jobs.all() == []
                assert expected in said[-1]
            server.shutdown()
        assert (folder / "started").read_text().split() == ["started"]
        copied = launched.home / ".ray" / "auth_token"
        assert copied.read_text() == (folder / "token").read_text(), "the launcher takes the token along"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_launch_brings_a_cluster_up_by_rays_own_launcher_once(backbone: Path, tmp_path: Path) -> None:
    folder = _short_folder()
    launched = Launched(folder)
    try:
        desk = Desk(tmp_path / "desk", backbone, launched.environment)
        launch = ("launch", "words.yaml", "--cluster", str(launched.file), "--root", str(folder / "shared"))
        desk(*launch, "--dry-run")
        assert not launched.heads
        said = desk(*launch)
        assert "bringing it up: ray up" in said and "as job tunekit-words-1" in said and "ray down" in said
        desk("logs", "words", "--follow")
        said = desk(*launch, "--trials", "5")
        assert "stays as it is" in said and "as job tunekit-words-2" in said
        assert len(launched.heads) == 1, "what runs is not restarted"
        desk("stop", "words")
        desk("fetch", "words", "--cluster", str(launched.file))
        assert len(replay(desk.folder / "runs" / "words").trials) >= 8
    finally:
        launched.stop()
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
