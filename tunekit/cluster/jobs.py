"""A sweep as a Ray job: its name, whether it may be submitted, how it is stopped and read.

Each submission of a sweep is a job of its own, ``tunekit-NAME-1``, ``-2``, ...; the journal under ``--root`` is what
they share. A cluster is known here by its `Jobs` alone.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tunekit.cluster.shipping import SWEEP_FILE
from tunekit.errors import ClusterError, ConfigError, nearest
from tunekit.version import __version__

ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
"""Ray's words for a job that runs no longer; the others are PENDING and RUNNING."""
SWEEP_KEY = "tunekit_sweep"
ROOT_KEY = "tunekit_root"
GRACE_S = 120
"""How long a driver that is asked to stop may take to end in good order; Ray's own default is 3 seconds."""
START_S = 120.0
"""How long a cluster may take to unpack a shipment and start its job."""
POLL_S = 0.5
PYTHON = "python"
"""The interpreter on the cluster's head, found on the path of the Ray that runs there."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a cluster says of one job."""

    id: str
    status: str
    message: str = ""
    metadata: Mapping[str, str]

    @property
    def has_ended(self) -> bool:
        """Whether it runs no longer."""
        return self.status in ENDED


class Jobs(Protocol):
    """The jobs of one cluster."""

    address: str
    """As a person wrote it."""

    def submit(
        self, job_id: str, entrypoint: str, *, runtime_env: Mapping[str, object], metadata: Mapping[str, str]
    ) -> None:
        """Start a job. Raises `ConfigError` if there is one of that name."""

    def all(self) -> Sequence[Job]:
        """Every job that the cluster remembers."""

    def job(self, job_id: str) -> Job:
        """One of them."""

    def stop(self, job_id: str) -> None:
        """Send SIGTERM to a job, and SIGKILL after its grace; does not wait."""

    def log(self, job_id: str) -> str:
        """What a job has printed."""

    def follow(self, job_id: str) -> Iterator[str]:
        """What a job prints, in pieces, until it ends."""

    def forget(self, job_id: str) -> None:
        """Take a job that has ended off the list."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A sweep that is to run on a cluster."""

    name: str
    root: str
    """Folder or object store on the cluster."""
    workers: int | None = None

    def __post_init__(self) -> None:
        require_root(self.root)

    @property
    def entrypoint(self) -> str:
        """The command that runs on the cluster's head.

        It takes the place of its shell, so that a stop reaches the driver itself.
        """
        words = [PYTHON, "-m", "tunekit", "sweep", SWEEP_FILE, "--name", self.name]
        words += ["--address", "auto", "--root", self.root]
        words += [] if self.workers is None else ["--workers", str(self.workers)]
        return f"exec {shlex.join(words)}"

    @property
    def metadata(self) -> dict[str, str]:
        """What the cluster's list of jobs says of it; anybody who may see the list can read it."""
        return {SWEEP_KEY: self.name, ROOT_KEY: self.root, "tunekit_version": __version__}


def require_root(root: str) -> None:
    """Raise a ConfigError for a root that a job cannot keep results in, or that holds a secret."""
    if re.match(r"[a-z][a-z0-9+.-]*://", root):
        if re.search(r"://[^/]*@|(?i:secret|password|token|credential|signature)[^/&]*=", root):
            raise ConfigError(
                "--root holds a user name or a secret, which everybody could read in the list of jobs; "
                "give the nodes their credentials in their environment, or by the role of the machine"
            )
    elif not root.startswith(("/", "~")) or ".." in Path(root).parts:
        raise ConfigError(
            f"--root is {root!r}: on a cluster it must be an absolute path that all nodes share, such as /shared/runs, "
            "or an object store such as s3://bucket/runs"
        )


def runtime_env(package: Path) -> dict[str, object]:
    """What Ray prepares on each node that works for a job: the shipped files as the current folder.

    No variable of this machine is among them, and so no secret.
    """
    return {
        "working_dir": str(package),
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(GRACE_S), "TUNEKIT_SUBMITTED": "1"},
    }


# -- which job a sweep is ----------------------------------------------------------------------------------------------


def jobs_of(jobs: Jobs, name: str) -> list[Job]:
    """The jobs of a sweep, the latest last."""
    return sorted((job for job in jobs.all() if job.metadata.get(SWEEP_KEY) == name), key=_number)


def _number(job: Job) -> int:
    last = job.id.rpartition("-")[2]
    return int(last) if last.isdecimal() else 0


def latest_job(jobs: Jobs, name: str) -> Job:
    """The last job of a sweep.

    Raises:
        ConfigError: there is none.
    """
    found = jobs_of(jobs, name)
    if found:
        return found[-1]
    known = sorted({job.metadata[SWEEP_KEY] for job in jobs.all() if SWEEP_KEY in job.metadata})
    if not known:
        raise ConfigError(f"no sweep {name!r} was submitted to {jobs.address}, nor any other since its Ray started")
    raise ConfigError(
        f"no sweep {name!r} was submitted to {jobs.address} since its Ray started; {nearest(name, known)}"
    )


def next_id(jobs: Jobs, name: str) -> str:
    """The name of the next job of a sweep.

    Raises:
        ConfigError: the sweep runs now, or is about to.
    """
    found = jobs_of(jobs, name)
    running = [job for job in found if not job.has_ended]
    if running:
        job = running[-1]
        raise ConfigError(
            f"the sweep {name!r} is {job.status} on {jobs.address} already, as job {job.id} with --root "
            f"{job.metadata.get(ROOT_KEY)}. Follow it with: tunekit logs {name} --follow. Stop it with: "
            f"tunekit stop {name}. Another sweep needs another --name"
        )
    return f"tunekit-{name}-{_number(found[-1]) + 1 if found else 1}"


# -- submit and stop ---------------------------------------------------------------------------------------------------


def submit(jobs: Jobs, submission: Submission, package: Path) -> Job:
    """Start a sweep, or go on with it, and wait until its driver runs.

    Raises:
        ConfigError: it runs already.
        ClusterError: its job did not start.
    """
    job_id = next_id(jobs, submission.name)
    jobs.submit(job_id, submission.entrypoint, runtime_env=runtime_env(package), metadata=submission.metadata)
    job = wait(jobs, job_id, lambda found: found.status != "PENDING", seconds=START_S)
    if job.status == "FAILED":
        raise ClusterError(f"job {job_id} did not start: {_why(jobs, job)}")
    return job


def wait(jobs: Jobs, job_id: str, is_enough: Condition, *, seconds: float) -> Job:
    """Look at a job until `is_enough`, at most for so long; gives what was seen last."""
    end = time.monotonic() + seconds
    while not is_enough(job := jobs.job(job_id)) and time.monotonic() < end:
        time.sleep(POLL_S)
    return job


class Condition(Protocol):
    """What is asked of a job."""

    def __call__(self, found: Job, /) -> bool: ...


def _why(jobs: Jobs, job: Job) -> str:
    said = (jobs.log(job.id).strip() or job.message.strip()).splitlines()
    return "\n".join(said[-10:]) or "it gave no reason"


def stop(jobs: Jobs, name: str) -> tuple[Job, bool]:
    """Stop a sweep's driver in good order and wait for its end; the job, and whether it ran at all.

    Raises:
        ConfigError: there is no such sweep.
        ClusterError: it has not ended after its grace.
    """
    job = latest_job(jobs, name)
    if job.has_ended:
        return job, False
    jobs.stop(job.id)
    job = wait(jobs, job.id, lambda found: found.has_ended, seconds=GRACE_S + 30)
    if not job.has_ended:
        raise ClusterError(f"job {job.id} is still {job.status} {GRACE_S + 30} s after it was asked to stop; try again")
    return job, True
