"""Which cluster a sweep was last submitted to, kept on this machine; no token and no other secret is in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tunekit.errors import ConfigError
from tunekit.storage import cache_folder, read_json, write_json

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where Ray's own tools find a cluster's address, the first one first."""


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """The last submission of a sweep from this machine."""

    address: str | None = None
    """Of the cluster's dashboard; None for one that is reached through its file."""
    cluster: str | None = None
    """The cluster file, for one that `tunekit launch` brought up."""
    root: str
    command: str
    """What goes on with it."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a cluster is reached: by one of the two."""

    address: str | None = None
    cluster: Path | None = None
    source: str
    """Who said so, in words."""

    @property
    def in_words(self) -> str:
        """The cluster, and how it was chosen."""
        return f"{self.address or self.cluster} ({self.source})"


def remember(name: str, submission: Remembered) -> None:
    """Keep it for the commands that follow."""
    write_json(_path(name), asdict(submission))


def remembered(name: str) -> Remembered | None:
    """What was kept of a sweep; None if nothing was, or it is torn."""
    found = read_json(_path(name))
    if found is None or not isinstance(found.get("root"), str):
        return None
    texts = {key: str(found[key]) for key in ("address", "cluster", "root", "command") if found.get(key) is not None}
    return Remembered(**{"command": "", **texts})


def _path(name: str) -> Path:
    return cache_folder() / "submitted" / f"{name}.json"


def way_to(
    name: str | None, *, address: str | None, cluster: Path | None, environment: Mapping[str, str] = os.environ
) -> Way:
    """The cluster that a command means.

    Args:
        name: of a sweep that was submitted; None for one that is about to be.
        address: what --address says.
        cluster: what --cluster says.
        environment: may hold the address.

    Raises:
        ConfigError: nothing tells, or two options contradict each other.
    """
    if address is not None and cluster is not None:
        raise ConfigError("--address and --cluster name one cluster each; give one of them")
    if address is not None:
        return Way(address=address, source="--address")
    if cluster is not None:
        return Way(cluster=cluster, source="--cluster")
    for variable in ADDRESS_VARIABLES:
        if environment.get(variable):
            return Way(address=environment[variable], source=f"${variable}")
    last = None if name is None else remembered(name)
    if last is not None and (last.address or last.cluster):
        place = None if last.cluster is None else Path(last.cluster)
        return Way(address=last.address, cluster=place, source="where it was last submitted from here")
    unknown = "" if name is None else f", and {name!r} was not submitted from this machine"
    raise ConfigError(f"which cluster? Give --address http://HEAD:8265, or set RAY_API_SERVER_ADDRESS{unknown}")
