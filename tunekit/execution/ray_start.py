"""What Ray does on its own when it starts, and what is wanted in its place.

Left alone, Ray listens on every network interface, writes its token so that every user of the machine can read it,
takes SIGTERM for itself, and copies credentials of the driver to where its logs show them. It has no options for these.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from unittest import mock

import ray

logger = logging.getLogger(__name__)

_PATIENCE = 3
"""The signal of this number does not wait for Ray."""
LOOPBACK = "127.0.0.1"


@contextmanager
def on_loopback() -> Iterator[str]:
    """A Ray that is started inside can be reached from this machine alone. Gives the address of its node.

    Ray takes "127.0.0.1" for "whichever address this machine has", unless it believes that it can have one node only.
    """
    with mock.patch("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False):
        yield LOOPBACK


@contextmanager
def signals_kept() -> Iterator[None]:
    """Ray inside leaves this process's own answers to signals alone; its own ends the process without a word.

    A signal that comes meanwhile is answered at the end: a Ray that is half started, or half ended, would leave
    processes behind. The third does not wait.
    """
    with mock.patch("ray._private.utils.set_sigterm_handler"), _postponed(signal.SIGINT, signal.SIGTERM):
        yield


def shut_down() -> None:
    """End Ray, and keep this process's answer to SIGTERM.

    Ray's core leaves the system's own answer behind, which ends the process without a word; Python does not see that.
    """
    state = ray._private.state.state
    disconnect: Callable[[], None] = state.disconnect

    def first_step_without_core() -> None:
        _set_again(signal.SIGTERM)
        disconnect()

    with signals_kept(), mock.patch.object(state, "disconnect", first_step_without_core):
        ray.shutdown()


def _set_again(number: signal.Signals) -> None:
    handler = signal.getsignal(number)
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(number, handler)


@contextmanager
def _postponed(*numbers: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    handlers = {number: signal.getsignal(number) for number in numbers}
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == _PATIENCE:
            put_back()
            signal.raise_signal(number)

    def put_back() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield
    finally:
        put_back()
        if came:
            signal.raise_signal(came[0])


@contextmanager
def nothing_copied() -> Iterator[None]:
    """Ray Tune inside copies no environment variables to workers; its logs, which every user can read, show them all.

    Workers on this machine have the environment of their driver, those of a cluster that of their node.
    """
    with mock.patch("ray.tune.execution.class_cache.ENV_VARS_TO_PROPAGATE", frozenset()):
        yield


def keep_token_private() -> None:
    """See to it that the token of a Ray that is started next is for this user's eyes only; it is made if there is none.

    Where the token is kept elsewhere, or none is wanted, nothing is done.
    """
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return
    token = Path.home() / ".ray" / "auth_token"
    if os.environ.get("RAY_AUTH_MODE", "token").lower() == "token":
        _make(token)
    for path in (token.parent, token):
        _take_from_others(path)


def _make(token: Path) -> None:
    with suppress(OSError):  # Ray says what is wrong with the place
        token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))


def _take_from_others(path: Path) -> None:
    """Leave a file or a folder to its owner alone, if that is who we are."""
    with suppress(OSError):
        found = path.stat()
        if found.st_uid == os.getuid() and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            logger.warning("%s was open to other users of this machine; now it is not", path)
            path.chmod(stat.S_IMODE(found.st_mode) & stat.S_IRWXU)
