"""A Ray to run on, started on this machine or joined: connecting, what its nodes offer, whether they can serve."""

from __future__ import annotations

import logging
import math
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tunekit import __version__
from tunekit.errors import ConfigError
from tunekit.sweep import ResourcesConfig

OBJECT_STORE_BYTES = 256 * 1024**2
"""For a local Ray: tunekit passes small messages only, weights go through files."""
REACH_S = 10.0
"""How long the head of a cluster may take to answer at all."""
SERVE_S = 120.0
"""How long a node may take to start a process that imports tunekit."""


def connect(address: str | None, resources: ResourcesConfig, num_workers: int | None) -> None:
    """Join the Ray at `address` (``auto``, ``host:port``), or start one on this machine if it is None.

    Raises:
        ConfigError: no Ray there, or it does not let us in.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cores = None if num_workers is None else max(1, math.ceil(num_workers * resources.cpu))
        store = OBJECT_STORE_BYTES
        quiet |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": store}
    try:
        ray.init(address=address or "local", **quiet)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        where = "start Ray here" if address is None else f"join the Ray cluster at {address!r}"
        raise ConfigError(f"cannot {where}: {_why(error)}") from error


def require_reachable(address: str) -> None:
    """Ask for a connection ourselves, before anything is written: Ray would go on trying for a quarter of an hour.

    Raises:
        ConfigError: `address` is none, or nothing answers there.
    """
    from ray._private.services import canonicalize_bootstrap_address  # what ray.init does with `auto` and $RAY_ADDRESS

    try:
        place = canonicalize_bootstrap_address(address) if address == "auto" else address
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
    return _line(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 240 else text[:237] + "..."


def room(resources: ResourcesConfig) -> int:
    """How many trials fit at once; a trial cannot be spread over nodes.

    Raises:
        ConfigError: not even one does.
    """
    wanted = {"CPU": resources.cpu, "GPU": resources.gpu, "memory": resources.memory or 0}
    fits = 0
    for node in _nodes():
        offer = node["Resources"]
        fits += min((int(offer.get(key, 0) / need + 1e-9) for key, need in wanted.items() if need), default=1)
    if fits < 1:
        raise ConfigError(f"resources: a trial takes {_wanted(resources)}, but no node offers it ({_offered()})")
    return fits


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _wanted(resources: ResourcesConfig) -> str:
    memory = f", {resources.memory} bytes of memory" if resources.memory else ""
    return f"{resources.cpu:g} CPU, {resources.gpu:g} GPU{memory}"


def _offered() -> str:
    offers = ((node["NodeManagerHostname"], node["Resources"]) for node in _nodes())
    return "; ".join(f"{host}: {offer.get('CPU', 0):g} CPU, {offer.get('GPU', 0):g} GPU" for host, offer in offers)


def require_same_world(folder: Path) -> None:
    """Every node must see the sweep's folder and run the same tunekit, or trials could not be taken up elsewhere.

    Raises:
        ConfigError: a node does not.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".seen-by-all-") as token:
        asked = [(node["NodeManagerHostname"], _ask(node["NodeID"], token.name)) for node in _nodes()]
        for host, answer in asked:
            try:
                version, is_visible = ray.get(answer, timeout=SERVE_S)
            except Exception as error:
                raise ConfigError(f"node {host} cannot run tunekit: {_last_line(error)}") from error
            if version != __version__:
                raise ConfigError(f"node {host} has tunekit {version}, the driver {__version__}; install the same")
            if not is_visible:
                raise ConfigError(f"node {host} does not see {folder}; put --root on storage that all nodes share")


def _ask(node_id: str, path: str) -> Any:
    strategy = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
    return ray.remote(_look).options(num_cpus=0, scheduling_strategy=strategy, max_retries=0).remote(path)


def _last_line(error: BaseException) -> str:
    """Of an error on a node Ray shows the whole traceback; its last line says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _look(path: str) -> tuple[str, bool]:
    """Runs on a node: its tunekit, and whether it may write what the driver wrote."""
    import os

    from tunekit import __version__

    return __version__, os.access(path, os.R_OK | os.W_OK)
