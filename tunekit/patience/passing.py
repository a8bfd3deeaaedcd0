"""Which errors of files and of the hub pass by themselves, and which never will.

Errors of HTTP libraries are told by their names and their status codes, so that none of the libraries is imported.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Iterator

from tunekit.patience.waiting import Wait

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""No room: waited for without end, since only a person can make some."""
FAILING = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.EREMOTEIO,
        errno.ENOTCONN,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
    }
)
"""A share whose server does not answer now, or a disk that failed once."""
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes of a hub that does not serve now; the others say that it never will."""
LOST_CONNECTIONS = frozenset(
    {
        ("httpx", "TimeoutException"),
        ("httpx", "NetworkError"),
        ("httpx", "RemoteProtocolError"),
        ("requests", "ConnectionError"),
        ("requests", "Timeout"),
        ("requests", "ChunkedEncodingError"),
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
    }
)
"""Package and class of errors of a network that fails, as huggingface_hub and datasets let them out."""
LIMIT_S = 600.0
"""How long a share or a hub is waited for."""


def passing(error: BaseException, doing: str) -> Wait | None:
    """Why to try again after `error`, or after what caused it; None: it will not pass.

    Args:
        error: what was raised.
        doing: what failed, after "cannot", such as ``read data/train-en.tsv``.
    """
    causes = list(_causes(error))
    if any(_is_final(cause) for cause in causes):
        return None
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return _full(cause, doing)
        status = _status(cause)
        if status is not None and status not in BUSY:
            return None
        if status is not None or _is_failing(cause):
            return _failing(cause, status, doing)
    return None


def closed_door(error: BaseException) -> str:
    """What helps where the hub gives a repository only to those whom it knows; empty where it is not that."""
    if any("GatedRepoError" in (kind.__name__ for kind in type(cause).__mro__) for cause in _causes(error)):
        return (
            "ask for access on its page of the hub, then log in on every machine that runs trials (hf auth login, or "
            "the environment variable HF_TOKEN)"
        )
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_final(cause: BaseException) -> bool:
    """Whether trying again is in vain although a connection failed: there is to be none, or it is not trusted."""
    return isinstance(cause, ssl.SSLCertVerificationError) or type(cause).__name__ == "OfflineModeIsEnabled"


def _status(cause: BaseException) -> int | None:
    """The status code of an error of HTTP."""
    found = getattr(getattr(cause, "response", None), "status_code", None) or getattr(cause, "status", None)
    return found if isinstance(found, int) else None


def _is_failing(cause: BaseException) -> bool:
    if isinstance(cause, ConnectionError | TimeoutError) or (isinstance(cause, OSError) and cause.errno in FAILING):
        return True
    return any(
        (kind.__module__.partition(".")[0].rstrip("2"), kind.__name__) in LOST_CONNECTIONS
        for kind in type(cause).__mro__
    )


def _full(cause: OSError, doing: str) -> Wait:
    reason = os.strerror(cause.errno or errno.ENOSPC)
    return Wait(
        text=f"cannot {doing}: {reason}. Nothing is lost: this waits, and goes on once there is room; free some space",
        topic="disk full",
    )


def _failing(cause: BaseException, status: int | None, doing: str) -> Wait:
    number = cause.errno if isinstance(cause, OSError) else None
    reason = f"HTTP status {status}" if status else os.strerror(number) if number in FAILING and number else ""
    reason = reason or " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
    return Wait(
        text=f"cannot {doing} now: {reason}. It is tried again for {LIMIT_S / 60:.0f} minutes",
        topic="reading or writing fails",
        limit_s=LIMIT_S,
    )
