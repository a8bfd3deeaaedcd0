"""The jobs of a Ray cluster, by the HTTP interface of its dashboard (port 8265 of the head)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar, cast
from unittest import mock

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from tunekit.cluster.jobs import Job
from tunekit.cluster.remembered import ADDRESS_VARIABLES
from tunekit.errors import ClusterError, ConfigError

T = TypeVar("T")

TOKEN_CURE = (
    "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file with the token that the cluster was started with "
    "(~/.ray/auth_token unless set)"
)


class Unreachable(ConfigError):
    """Nothing answers at an address."""


class RayJobs:
    """The jobs of the cluster at `address`, such as ``http://10.0.0.12:8265``.

    Raises:
        Unreachable: nothing answers there.
        ConfigError: it does not let us in.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        for module in ("dashboard_sdk", "job.sdk"):  # what they do is said by us
            logging.getLogger(f"ray.dashboard.modules.{module}").setLevel(logging.ERROR)
        # Ray would take these before the address that it is given.
        with mock.patch.dict(os.environ), self._errors():
            for name in ADDRESS_VARIABLES:
                os.environ.pop(name, None)
            self._client = JobSubmissionClient(address)

    def submit(
        self, job_id: str, entrypoint: str, *, runtime_env: Mapping[str, object], metadata: Mapping[str, str]
    ) -> None:
        """Start a job.

        Raises:
            ConfigError: there is one of that name: another person was faster.
        """
        with self._errors():
            try:
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=job_id,
                    runtime_env=dict(runtime_env),
                    metadata=dict(metadata),
                )
            except RuntimeError as error:
                if "already exists" in str(error):
                    raise ConfigError(f"job {job_id} was submitted to {self.address} a moment ago") from error
                raise

    def all(self) -> Sequence[Job]:
        """Every job that the cluster remembers."""
        with self._errors():
            found = [details for details in self._client.list_jobs() if details.submission_id]
        return [_job(details) for details in found]

    def job(self, job_id: str) -> Job:
        """One of them."""
        with self._errors():
            return _job(self._client.get_job_info(job_id))

    def stop(self, job_id: str) -> None:
        """Send SIGTERM to a job, and SIGKILL after its grace; does not wait."""
        with self._errors():
            self._client.stop_job(job_id)

    def log(self, job_id: str) -> str:
        """What a job has printed."""
        with self._errors():
            text: str = self._client.get_job_logs(job_id)
        return text

    def follow(self, job_id: str) -> Iterator[str]:
        """What a job prints, in pieces, until it ends."""
        loop = asyncio.new_event_loop()
        stream = cast(AsyncGenerator[str, None], self._client.tail_job_logs(job_id))
        try:
            while True:
                with self._errors():
                    piece = _run(loop, _next(stream))
                if piece is None:
                    return
                yield piece
        finally:
            _run(loop, stream.aclose())
            loop.close()

    def forget(self, job_id: str) -> None:
        """Take a job that has ended off the list."""
        with self._errors():
            self._client.delete_job(job_id)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What Ray raises as an error for the user."""
        try:
            yield
        except AuthenticationError as error:
            raise ConfigError(f"{self.address} asks for a token that we do not have. {TOKEN_CURE}") from error
        except ConnectionError as error:
            raise Unreachable(
                f"nothing answers at {self.address}; the address of a cluster is that of its dashboard, such as "
                "http://10.0.0.12:8265. Is the port reachable from here, by a tunnel or a network?"
            ) from error
        except (RuntimeError, ValueError, OSError) as error:
            raise ClusterError(f"{self.address}: {_short(error)}") from error


async def _next(stream: AsyncGenerator[str, None]) -> str | None:
    """The next piece; None at the end."""
    return await anext(stream, None)


def _run(loop: asyncio.AbstractEventLoop, step: Coroutine[object, object, T]) -> T:
    """What a step gives; one that Ctrl-C cuts short is ended first, so that the stream behind it can be closed."""
    task = loop.create_task(step)
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        raise


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"{text[:399]}…"


def _job(details: JobDetails) -> Job:
    return Job(
        id=str(details.submission_id),
        status=str(details.status),
        message=details.message or "",
        metadata=details.metadata or {},
    )
