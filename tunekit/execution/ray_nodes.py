"""A Ray to run on, started on this machine or joined: connecting, what its nodes offer, whether they can serve."""

from __future__ import annotations

import json
import logging
import math
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypedDict, TypeVar, cast

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tunekit import storage
from tunekit.errors import ConfigError, StorageError
from tunekit.execution.ray_start import keep_token_private, on_loopback, signals_kept
from tunekit.execution.step_sizes import LOST, why_lost
from tunekit.schema import build
from tunekit.storage import AnyPath
from tunekit.sweep import ResourcesConfig
from tunekit.version import __version__

T = TypeVar("T")

OBJECT_STORE_BYTES = 256 * 1024**2
"""For a local Ray: tunekit passes small messages only, weights go through files."""
REACH_S = 10.0
"""How long the head of a cluster may take to answer at all."""
SERVE_S = 120.0
"""How long a node may take to start a process that imports tunekit."""
STATUS_S = 10.0
"""How long a cluster that was just started may take to say whether it has an autoscaler."""


class Node(TypedDict):
    """What Ray tells of a node; keys that are not used here are left out."""

    NodeID: str
    NodeManagerHostname: str
    Alive: bool
    Resources: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class View:
    """What a process on some node finds there."""

    host: str
    version: str
    """Of tunekit."""
    sees_folder: bool
    """Whether it can read and write the sweep's folder."""


def connect(address: str | None, resources: ResourcesConfig, num_workers: int | None) -> None:
    """Join the Ray at `address` (``auto``, ``host:port``), or start one on this machine if it is None.

    No other machine can reach one that is started here, and no other user can read its token.

    Raises:
        ConfigError: no Ray there, or it does not let us in.
    """
    quiet = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    try:
        with signals_kept():
            if address is not None:
                quiet(address=address)
                return
            cores = None if num_workers is None else max(1, math.ceil(num_workers * resources.cpu))
            keep_token_private()
            local = partial(quiet, address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES)
            with on_loopback() as host:
                local(num_cpus=cores, _node_ip_address=host)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        where = "start Ray here" if address is None else f"join the Ray cluster at {address!r}"
        raise ConfigError(f"cannot {where}: {_why(error)}") from error


def place_of(address: str) -> str | None:
    """``host:port`` of the cluster at `address`; of ``auto`` what ray.init would take (it knows $RAY_ADDRESS)."""
    from ray._private.services import canonicalize_bootstrap_address

    return canonicalize_bootstrap_address(address) if address == "auto" else address


def require_reachable(address: str) -> None:
    """Ask for a connection ourselves, before anything is written: Ray would go on trying for a quarter of an hour.

    Raises:
        ConfigError: `address` is none, or nothing answers there.
    """
    try:
        place = place_of(address)
        host, _, port = (place or "").rpartition(":")
        if "//" in address or not host or not port.isdecimal():
            example = "auto (the Ray on this machine) or host:port of the cluster's head, such as 10.0.0.12:6379"
            raise ConfigError(f"--address: {address!r} is not the address of a cluster; right would be {example}")
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        why = f"nothing answers there ({error})"
        raise ConfigError(f"cannot join the Ray cluster at {address!r}: {why}") from error


def _why(error: BaseException) -> str:
    """One line on what went wrong, and what helps."""
    for cause in _causes(error):  # Ray quotes some causes in the text of others
        _, is_refusal, words = f"{type(cause).__name__}: {cause}".partition("AuthenticationError: ")
        if is_refusal:
            reason = words.partition(". Ensure")[0]
            return (
                f"it asks for a token that we do not have ({reason}). Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH "
                "to a file with the token that the cluster was started with (~/.ray/auth_token unless set)"
            )
    text = " ".join(str(error).split())
    return text if len(text) <= 240 else text[:237] + "..."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


# -- what the nodes offer ----------------------------------------------------------------------------------------------


def room(resources: ResourcesConfig) -> int:
    """How many trials fit at once on the nodes alive now; a trial cannot be spread over nodes."""
    wanted = {"CPU": resources.cpu, "GPU": resources.gpu, "memory": resources.memory or 0}
    fits, leaving = 0, draining()
    for node in alive():
        if node["NodeID"] in leaving:
            continue
        offer = node["Resources"]
        fits += min((int(offer.get(key, 0) / need + 1e-9) for key, need in wanted.items() if need), default=1)
    return fits


def draining() -> frozenset[str]:
    """Ids of the nodes that take no further work, since they will be ended (a spot instance called back, for one)."""
    from ray._private.state import state

    return frozenset(state.get_draining_nodes())


def require_room(resources: ResourcesConfig, *, may_grow: bool) -> None:
    """A trial must fit on a node, or the cluster must be one that starts nodes by itself.

    Raises:
        ConfigError: neither is so.
    """
    if room(resources) < 1 and not (may_grow and has_autoscaler()):
        raise ConfigError(f"resources: a trial takes {wanted(resources)}, but no node offers it ({offered()})")


def has_autoscaler() -> bool:
    """Whether the cluster starts and stops nodes by itself.

    Ray runs its autoscaler's loop on every cluster; where it may start nothing, it gives each node a type of its own,
    called after the node.
    """
    end = time.monotonic() + STATUS_S
    while not (types := _node_types()) and time.monotonic() < end:
        time.sleep(0.5)
    return any(name != f"node_{node_id}" for node_id, name in types.items())


def _node_types() -> Mapping[str, str]:
    """The type of each node by the node's id, as the autoscaler says; empty before it has said anything."""
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.experimental.internal_kv import _internal_kv_get

    if is_autoscaler_v2():
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        return {str(node.node_id): node.ray_node_type_name for node in [*status.active_nodes, *status.idle_nodes]}
    status = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or b"{}")
    report = status.get("autoscaler_report") or {}
    found: dict[str, str] = report.get("node_type_mapping") or {}
    return found


def alive() -> list[Node]:
    """The nodes of the cluster that we have joined."""
    nodes: list[Node] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def wanted(resources: ResourcesConfig) -> str:
    """What a trial takes, in words."""
    memory = f", {resources.memory} bytes of memory" if resources.memory else ""
    return f"{resources.cpu:g} CPU, {resources.gpu:g} GPU{memory}"


def offered() -> str:
    """What the nodes alive now have, in words."""
    offers = ((node["NodeManagerHostname"], node["Resources"]) for node in alive())
    return "; ".join(f"{host}: {offer.get('CPU', 0):g} CPU, {offer.get('GPU', 0):g} GPU" for host, offer in offers)


# -- whether a node can serve ------------------------------------------------------------------------------------------


@contextmanager
def token_in(folder: AnyPath) -> Iterator[AnyPath]:
    """A file in the sweep's folder that a node must see to serve; gone at the end."""
    token = storage.write_text(folder / f".seen-by-all-{uuid.uuid4().hex}", __version__)
    try:
        yield token
    finally:
        storage.remove(token)


def look(token: AnyPath) -> View:
    """What this process finds on its node."""
    try:
        is_there = storage.read_text(token) == __version__
        if is_there:
            storage.remove(storage.write_text(token.with_name(f"{token.name}-{uuid.uuid4().hex}"), ""))
    except StorageError:
        is_there = False
    return View(host=socket.gethostname(), version=__version__, sees_folder=is_there)


def require_same_world(token: AnyPath) -> None:
    """Every node must see the sweep's folder and run the same tunekit, or trials could not be taken up elsewhere.

    A node that ends meanwhile is left out: a cluster may learn late that a machine is gone.

    Raises:
        ConfigError: a node does not.
    """
    for node, answer in [(node, ask(node["NodeID"], look, token)) for node in alive()]:
        host = node["NodeManagerHostname"]
        try:
            view = ray.get(answer, timeout=SERVE_S)
        except Exception as error:
            if node["NodeID"] not in {other["NodeID"] for other in alive()}:
                continue
            raise ConfigError(f"node {host} cannot run tunekit: {last_line(str(error))}") from error
        require_fit(host, view, token.parent)


def require_fit(host: str, view: View, folder: AnyPath) -> None:
    """What was found on a node must be what the driver has.

    Raises:
        ConfigError: another tunekit, or `folder` cannot be read and written there.
    """
    if view.version != __version__:
        raise ConfigError(f"node {host} has tunekit {view.version}, the driver {__version__}; install the same")
    if not view.sees_folder:
        raise ConfigError(f"node {host} does not see {folder}; put --root on storage that all nodes share")


def ask(node_id: str, work: Callable[[AnyPath], T], path: AnyPath) -> ray.ObjectRef[T]:
    """The answer to come of a function of ours that a process on a node calls with `path`; no resources are needed."""
    strategy = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
    answer: ray.ObjectRef[T] = (
        ray.remote(work).options(num_cpus=0, scheduling_strategy=strategy, max_retries=0).remote(path)
    )
    return answer


def reason_of_death(text: str) -> str:
    """Of the traceback of a slot that died, the line that says it; that memory ran out stands in the middle."""
    of_memory = next((line.strip() for line in text.splitlines() if why_lost(line) != LOST), None)
    return of_memory or last_line(text)


def last_line(text: str) -> str:
    """Of an error on a node Ray shows the whole traceback; its last line says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"


# -- for the driver ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Ray's nodes, as the driver asks about them."""

    resources: ResourcesConfig
    token: AnyPath
    """See `token_in`."""
    is_fixed: bool
    """There are never more than now."""

    def room(self) -> int:
        """Slots that fit at once on the nodes that are there now."""
        return room(self.resources)

    def offer(self) -> str:
        """What a slot takes and what the nodes have, in words."""
        return f"each takes {wanted(self.resources)}; {offered()}"

    def leaving(self) -> Mapping[str, str]:
        """The nodes that will be ended from outside, each with what to say of it."""
        return dict.fromkeys(draining(), "its node will be ended")

    def check(self, view: object) -> None:
        """Raise a ConfigError if a slot's process cannot serve, by what it found on its node."""
        found = build(View, cast(Mapping[str, object], view), "a slot's first message")
        require_fit(found.host, found, self.token.parent)
