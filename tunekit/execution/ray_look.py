"""A look at a cluster that changes nothing there: its token, its nodes, what each has and sees, its job server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import ray

from tunekit import storage
from tunekit.errors import StorageError
from tunekit.execution import ray_nodes as nodes
from tunekit.execution.launch import versions
from tunekit.storage import AnyPath
from tunekit.sweep import ResourcesConfig

CLOCK_S = 20.0
"""How long a node may take to say what its clock shows, once it serves."""
ANSWER_S = 5.0
"""How long a job server may take to answer."""
STRANGER_S = 30.0

_STRANGER = "from ray._raylet import GcsClient; import sys; GcsClient(sys.argv[1]).get_all_node_info(timeout=5)"


@dataclass(frozen=True, kw_only=True)
class NodeView:
    """What a process on a node finds there."""

    versions: dict[str, str]
    """Of tunekit, Python and libraries."""
    sees_folder: bool
    """Whether it reads what the driver wrote to the folder of the sweeps, and can write there."""
    free_bytes: int | None
    """Of the disk with its temporary files; None where it does not say."""


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """A node, as the driver sees it."""

    host: str
    offer: dict[str, float]
    """What Ray may give away there: CPU, GPU, memory (bytes)."""
    view: NodeView | None
    """None if it could not be asked."""
    problem: str = ""
    """Why it could not be asked."""
    clock_ahead_s: float = 0.0
    """How far its clock is ahead of the driver's, at least; negative if it is behind. Half of a round trip is left out
    because nobody knows when in it the clock was read."""


@dataclass(frozen=True, kw_only=True)
class JobServer:
    """What the job server of a cluster answers."""

    ray: str
    """Its version of Ray; empty if it does not let us in."""
    reason: str = ""
    """Why it does not let us in."""
    is_open: bool = field(default=False)
    """Whether it lets in who has no token."""


def survey(address: str, token: AnyPath, limit_s: float) -> list[NodeReport]:
    """Join the cluster at `address` and look at each of its nodes.

    Args:
        address: ``auto`` or ``host:port``.
        token: a file that `ray_nodes.token_in` made in the folder of the sweeps.
        limit_s: how long all nodes together may take.

    Raises:
        ConfigError: no cluster there, or it does not let us in.
    """
    nodes.require_reachable(address)
    nodes.connect(address, ResourcesConfig(), None)
    end = time.monotonic() + limit_s
    asked = [(node, nodes.ask(node["NodeID"], look, token)) for node in nodes.alive()]
    return [_report(node, answer, token, max(1.0, end - time.monotonic())) for node, answer in asked]


def _report(node: nodes.Node, answer: ray.ObjectRef[NodeView], token: AnyPath, limit_s: float) -> NodeReport:
    host, offer = node["NodeManagerHostname"], dict(node["Resources"])
    try:
        view = ray.get(answer, timeout=limit_s)
        return NodeReport(host=host, offer=offer, view=view, clock_ahead_s=_ahead(node["NodeID"], token))
    except Exception as error:  # whatever a node answers, the others are to be seen
        problem = nodes.last_line(str(error)) or type(error).__name__
        return NodeReport(host=host, offer=offer, view=None, problem=problem)


def look(token: AnyPath) -> NodeView:
    """What this process finds on its node."""
    try:
        free = storage.free_bytes(Path(tempfile.gettempdir()))
    except StorageError:
        free = None
    return NodeView(versions=versions(), sees_folder=nodes.look(token).sees_folder, free_bytes=free)


def show_clock(_: AnyPath) -> float:
    """Seconds since 1970 by this node's clock."""
    return time.time()


def _ahead(node_id: str, path: AnyPath) -> float:
    """How far a node's clock is ahead of ours, by the shortest of three round trips."""
    trips = []
    for _ in range(3):
        before = time.time()
        there = ray.get(nodes.ask(node_id, show_clock, path), timeout=CLOCK_S)
        after = time.time()
        trips.append((after - before, there - (before + after) / 2))
    trip, ahead = min(trips)
    sure = max(0.0, abs(ahead) - trip / 2)
    return sure if ahead > 0 else -sure


def lets_strangers_in(address: str) -> bool:
    """Whether the head at `address`, ``auto`` or ``host:port``, answers a process that has no token."""
    place = nodes.place_of(address)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    environment |= {"RAY_AUTH_MODE": "disabled"}
    asked = [sys.executable, "-c", _STRANGER, str(place)]
    try:
        done = subprocess.run(asked, env=environment, capture_output=True, timeout=STRANGER_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def job_server(address: str) -> JobServer:
    """What the job server at `address`, ``http://host:port``, answers to us and to one who has no token.

    Raises:
        OSError: nothing answers there.
    """
    from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled

    place = f"{address.rstrip('/')}/api/version"
    try:
        ours = _answer(place, get_auth_headers_if_auth_enabled({}))
    except urllib.error.HTTPError as error:
        return JobServer(ray="", reason=f"error {error.code}: {error.read(200).decode('utf-8', 'replace')}")
    try:
        _answer(place, {})
    except urllib.error.HTTPError:
        return JobServer(ray=ours)
    return JobServer(ray=ours, is_open=True)


def _answer(place: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(place, headers=headers)
    with urllib.request.urlopen(request, timeout=ANSWER_S) as reply:
        content = json.loads(reply.read(10_000))
    return str(content.get("ray_version", "unknown")) if isinstance(content, dict) else "unknown"
