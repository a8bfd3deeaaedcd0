"""Bring a cluster up and reach it by Ray's own commands: ``ray up``, and ``ray dashboard`` for a tunnel to its head."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tunekit.cluster.jobs import POLL_S, Jobs
from tunekit.cluster.ray_jobs import RayJobs, Unreachable
from tunekit.cluster.remembered import Way
from tunekit.errors import ClusterError, ConfigError
from tunekit.storage import open_log, read_text

LOOPBACK = "127.0.0.1"
REACH_S = 120.0
"""How long a tunnel may take to reach a dashboard that is coming up."""
LOOK_S = 45.0
"""How long to look whether a cluster is up already; without a head, Ray says so at once."""
STOP_S = 5.0
SHOWN_LINES = 8
NO_HEAD = re.compile(r"Head node of cluster .* not found")
"""What ``ray dashboard`` says of a cluster that is not up."""
_CURE = "If no job runs there, bring it up with `ray up FILE`, which ends all jobs."


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Ray's commands on a cluster file.

    Args:
        file: as ``ray up`` takes it.
    """

    file: Path

    def __post_init__(self) -> None:
        if not self.file.is_file():
            raise ConfigError(f"--cluster {self.file}: no such file; README tells how to write one for `ray up`")

    @property
    def up(self) -> list[str]:
        """Brings it up. A cluster that is up and answers is not touched: this would restart Ray, and end all jobs."""
        return ["ray", "up", "--yes", str(self.file)]

    def dashboard(self, port: int | str) -> list[str]:
        """Holds a tunnel from a port of this machine to the dashboard on the head."""
        return ["ray", "dashboard", str(self.file), "--port", str(port)]

    @property
    def down(self) -> list[str]:
        """Ends it, and what it costs."""
        return ["ray", "down", "--yes", str(self.file)]


class _NoHead(ClusterError):
    """Ray knows of no head of this cluster.

    All else may hide a head that runs, which answers with an error, too slowly, or through a network that is away;
    ``ray up`` would end its jobs.
    """


@contextmanager
def reached(way: Way) -> Iterator[Jobs]:
    """The jobs of the cluster that `way` leads to.

    Raises:
        ConfigError: nothing answers there, or it does not let us in.
        ClusterError: no tunnel to its head can be opened.
    """
    if way.cluster is None:
        assert way.address is not None, "one of the two is given"
        yield RayJobs(way.address)
        return
    with tunnel(Commands(file=way.cluster), seconds=REACH_S) as jobs:
        yield jobs


@contextmanager
def brought_up(commands: Commands, say: Callable[[str], object]) -> Iterator[Jobs]:
    """The jobs of a cluster, which is brought up if it has no head.

    Args:
        commands: of its file.
        say: told what is done.

    Raises:
        ConfigError: it does not let us in.
        ClusterError: it cannot be brought up, or there is a head that cannot be reached.
    """
    with ExitStack() as stack:
        try:
            jobs = stack.enter_context(tunnel(commands, seconds=LOOK_S))
        except _NoHead:
            say(f"no cluster of {commands.file} is up; bringing it up: {' '.join(commands.up)}")
            bring_up(commands)
            jobs = stack.enter_context(tunnel(commands, seconds=REACH_S))
        else:
            say(
                f"the cluster of {commands.file} is up and stays as it is (`ray up` would restart Ray and end its jobs)"
            )
        yield jobs


def bring_up(commands: Commands) -> None:
    """Run ``ray up``; what it says goes to the terminal.

    Raises:
        ClusterError: it failed.
    """
    done = subprocess.run(command_line(commands.up), stdin=subprocess.DEVNULL)
    if done.returncode:
        raise ClusterError(f"`{' '.join(commands.up)}` failed with exit code {done.returncode}; its last lines say why")


@contextmanager
def tunnel(commands: Commands, *, seconds: float) -> Iterator[Jobs]:
    """The jobs of a cluster through ``ray dashboard``, which runs as long as the block.

    Raises:
        ConfigError: the cluster does not let us in.
        ClusterError: there is no such cluster, or no answer within `seconds`.
    """
    port = free_port()
    with TemporaryDirectory(prefix="tunekit-") as folder:
        said = Path(folder) / "said"
        with open_log(said) as log:
            process = subprocess.Popen(
                command_line(commands.dashboard(port)),
                stdin=subprocess.PIPE,  # kept open: ssh would end with it
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # ssh is its child, and ends with it
            )
        try:
            yield _answering(f"http://{LOOPBACK}:{port}", process, said, seconds=seconds)
        finally:
            _end(process)


def _answering(address: str, process: subprocess.Popen[bytes], said: Path, *, seconds: float) -> Jobs:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            return RayJobs(address)
        except Unreachable:
            time.sleep(POLL_S)
    text = read_text(said).strip()
    shown = "\n".join(text.splitlines()[-SHOWN_LINES:]) or "it said nothing"
    if process.poll() is None:
        raise ClusterError(
            f"there is a tunnel to the head of the cluster, but no dashboard answers there within {seconds:.0f} s. "
            f"Try again, since the head may be starting or busy. {_CURE} `ray dashboard` said:\n{shown}"
        )
    failed = "no tunnel to the head of the cluster: `ray dashboard` failed."
    if NO_HEAD.search(text):
        raise _NoHead(f"{failed} It said:\n{shown}")
    raise ClusterError(f"{failed} {_CURE} It said:\n{shown}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
            break
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def command_line(words: list[str]) -> list[str]:
    """A command of Ray's, run by the Ray of this Python."""
    return [sys.executable, "-m", "ray.scripts.scripts", *words[1:]]


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
