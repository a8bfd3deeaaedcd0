"""Bring a sweep's folder home: from a root that this machine sees, or out of a cluster through its jobs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tunekit.cluster.code import own_package
from tunekit.cluster.jobs import PYTHON, Jobs, runtime_env
from tunekit.cluster.sending import MARK, ending
from tunekit.cluster.shipping import Shipment, packed
from tunekit.errors import ClusterError, ConfigError
from tunekit.storage import SweepFolder, write_with
from tunekit.storage.snapshot import Snapshot, read_snapshot, write_snapshot

FETCH_KEY = "tunekit_fetch"
SHOWN_LINES = 10
"""Of what a job printed, where it went wrong."""


def copy(source: SweepFolder, target: SweepFolder, *, checkpoints: bool) -> Snapshot:
    """Bring a sweep over from a folder of this machine or a file system that it sees.

    Raises:
        ConfigError: `target` holds another sweep, one that is further, or one that runs.
        StorageError: a file cannot be read or written.
    """

    def fill(file: IO[bytes]) -> None:
        write_snapshot(source, file, checkpoints=checkpoints)

    return _through_a_file(fill, target)


def fetch(jobs: Jobs, name: str, root: str, target: SweepFolder, *, checkpoints: bool) -> Snapshot:
    """Bring a sweep over from a cluster of which only the jobs can be reached.

    Raises:
        ConfigError: there is no such sweep, or `target` holds another one, one that is further, or one that runs.
        ClusterError: not all of it arrived; nothing was written.
        StorageError: a file cannot be written.
    """
    job_id = f"tunekit-fetch-{name}-{secrets.token_hex(4)}"
    with packed(Shipment(items=(own_package(),))) as package:
        command = sending_command(name, root, checkpoints=checkpoints)
        jobs.submit(job_id, command, runtime_env=runtime_env(package), metadata={FETCH_KEY: name})

    def fill(file: IO[bytes]) -> None:
        try:
            receive(lines_of(jobs.follow(job_id)), file)
        finally:
            jobs.stop(job_id)  # it empties its log and ends

    return _through_a_file(fill, target)


def sending_command(name: str, root: str, *, checkpoints: bool) -> str:
    """What runs on the head of the cluster."""
    words = [PYTHON, "-m", "tunekit.cluster.sending", root, name, *(["--checkpoints"] if checkpoints else [])]
    return f"exec {shlex.join(words)}"


def _through_a_file(fill: Callable[[IO[bytes]], None], target: SweepFolder) -> Snapshot:
    """Everything arrives before anything is written to `target`."""
    with TemporaryDirectory(prefix="tunekit-") as folder:
        snapshot = Path(folder) / "snapshot.tar.gz"
        write_with(snapshot, fill)
        return read_snapshot(snapshot, target)


def lines_of(pieces: Iterator[str]) -> Iterator[str]:
    """The whole lines of a text that comes in pieces cut anywhere."""
    rest: list[str] = []
    for piece in pieces:
        *whole, last = piece.split("\n")
        for line in whole:
            yield "".join((*rest, line))
            rest.clear()
        rest.append(last)
    if any(rest):
        yield "".join(rest)


def receive(lines: Iterator[str], file: IO[bytes]) -> None:
    """Write to `file` what :mod:`tunekit.cluster.sending` prints.

    Raises:
        ConfigError: the cluster has no such sweep.
        ClusterError: the job ended before it had sent everything, or what arrived is not what was sent.
    """
    digest, num_bytes, others = hashlib.sha256(), 0, list[str]()
    for line in lines:
        if not line.startswith(MARK):
            others = [*others, line][-SHOWN_LINES:]
            continue
        kind, _, content = line.removeprefix(MARK).partition(" ")
        if kind == "refused":
            raise ConfigError(f"on the cluster: {json.loads(content)}")
        if kind == "end":
            if content != ending(digest.hexdigest(), num_bytes):
                raise ClusterError("what arrived is not what was sent: the digests differ; fetch it again")
            return
        piece = _decoded(content)
        digest.update(piece)
        num_bytes += len(piece)
        file.write(piece)
    said_last = "\n".join(others) or "it printed nothing"
    raise ClusterError(f"the job that sends the sweep ended half-way; nothing was written. It said:\n{said_last}")


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise ClusterError(f"what arrived is not what was sent ({error}); fetch it again") from error
