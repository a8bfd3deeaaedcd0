"""A Ray cluster of several nodes on this machine, each a ``ray start`` of its own, with token authentication on."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).parent
C = TypeVar("C", bound="Cluster")


class Cluster:
    """Nodes of one CPU each, started as an administrator would; ends every process it started.

    Args:
        folder: short: Ray puts sockets in there, whose paths the system limits to 107 bytes.
        dashboard: with the dashboard, and so with Ray's jobs, whose nodes have nothing of this repository.
    """

    def __init__(self, folder: Path, *, dashboard: bool = False) -> None:
        import fakes  # only now: it loads torch, and who asks for a port alone need not wait for it

        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}" if dashboard else ""
        self.address = f"127.0.0.1:{free_port()}"
        self.updates = folder / "updates"
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        self.environment = {
            **without_token(folder),
            "PYTHONPATH": path,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            fakes.UPDATES: str(self.updates),
        }
        if dashboard:
            self.environment["PYTHONPATH"] = ""
            self.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._nodes: list[subprocess.Popen[bytes]] = []

    def start_head(self) -> None:
        port = self.address.rpartition(":")[2]
        ports = [f"--ray-client-server-port={free_port()}"]
        ports += [f"--dashboard-port={self.url.rpartition(':')[2] or free_port()}"]
        ports += [f"--include-dashboard={'true' if self.url else 'false'}"]
        self._start("--head", f"--port={port}", f"--temp-dir={self.folder}/ray", *ports)
        if self.url:
            wait_for(self._dashboard_answers, what="a dashboard")

    @property
    def head(self) -> subprocess.Popen[bytes]:
        """The node that was started first, and runs."""
        return self._nodes[0]

    def start_second(self) -> subprocess.Popen[bytes]:
        # Ray unpacks what a job ships on each node anew; two nodes in one folder would do so to each other.
        own = [f"--temp-dir={self.folder}/ray-{len(self._nodes)}"] if self.url else []
        return self._start(f"--address={self.address}", *own)

    def _dashboard_answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/api/version", timeout=5).close()
        except urllib.error.HTTPError:  # it asks for the token
            return True
        except OSError:
            return False
        return True

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        same = ["--block", "--num-cpus=1", "--object-store-memory=80000000", "--include-log-monitor=false"]
        same += ["--min-worker-port=0", "--max-worker-port=0", f"--dashboard-agent-listen-port={free_port()}"]
        ray = str(Path(sys.executable).with_name("ray"))
        number = len(self._nodes)
        with (self.folder / f"node-{number}.log").open("wb") as log:
            node = subprocess.Popen([ray, "start", *options, *same], env=self.environment, stdout=log, stderr=log)
        self._nodes.append(node)
        wait_for(lambda: _has_raylet(node.pid), what="a raylet", log=Path(log.name))
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """The machine is gone: the raylet, its workers and the rest, all at once."""
        signal_all(family(node.pid), signal.SIGKILL)
        node.wait()

    def stop(self) -> None:
        """End all nodes, and wait until none of their processes is left; say which ended by itself before."""
        for number, node in enumerate(self._nodes):
            if node.poll() not in (None, -signal.SIGKILL):
                log = (self.folder / f"node-{number}.log").read_text(errors="replace")[-3000:]
                print(f"node {number} ended by itself with exit code {node.returncode}; its log:\n{log}")
        everyone = [pid for node in self._nodes for pid in family(node.pid)]
        signal_all(everyone, signal.SIGKILL)
        for node in self._nodes:
            node.wait()
        wait_for(lambda: not {row[0] for row in processes()} & set(everyone), what="the end of the cluster")
        self._nodes.clear()


@contextlib.contextmanager
def started(kind: Callable[[Path], C]) -> Iterator[C]:
    """A cluster with its head, in a short folder of its own: the system limits the paths of Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="tk-"))
    running = kind(folder)
    try:
        running.start_head()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


def without_token(home: Path) -> dict[str, str]:
    """The environment of a user who never heard of the token."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH_")}, "HOME": str(home)}


PORTS = range(12_000, 32_000)  # below those that Linux gives to whoever names none, so nobody takes one in between
_GIVEN: list[socket.socket] = []


def free_port() -> int:
    """A TCP port that nobody uses now, and that no other call gives to anybody while this process runs.

    The caller will take it only later, so it cannot be held. Its UDP port is held instead: none of ours uses UDP.
    """
    while True:
        port = secrets.choice(PORTS)
        given = socket.socket(type=socket.SOCK_DGRAM)
        try:
            given.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError:
            given.close()
            continue
        _GIVEN.append(given)
        return port


def processes() -> list[tuple[int, int, str]]:
    """Process, parent and command of all that run."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True)
    rows = (line.split(None, 3) for line in listing.stdout.splitlines())
    return [(int(row[0]), int(row[1]), row[3]) for row in rows if len(row) == 4 and "Z" not in row[2]]


def family(ancestor: int) -> list[int]:
    """A process and all that descend from it, older ones first (Ray gives workers process groups of their own)."""
    everyone = processes()
    found = [pid for pid, _, _ in everyone if pid == ancestor]
    for member in found:
        found.extend(pid for pid, parent, _ in everyone if parent == member)
    return found


def _has_raylet(node: int) -> bool:
    return any(parent == node and Path(command.split()[0]).name == "raylet" for _, parent, command in processes())


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for(condition: Callable[[], Any], *, what: str, seconds: float = 180, log: Path | None = None) -> None:
    end = time.monotonic() + seconds
    while not condition():
        said = log.read_text()[-3000:] if log else ""
        assert time.monotonic() < end, f"{what} never came\n{said}"
        time.sleep(0.1)
