"""One slot in this process, without Ray: trials one after the other, or packed. Deterministic on a CPU."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import math
import os
import threading
import traceback
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from functools import partial

from tunekit.errors import DeviceLost
from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.protocol import DriverLost, Reply, SlotMessage, worker_name
from tunekit.patience import overhearing
from tunekit.search import Search
from tunekit.storage import AnyPath
from tunekit.training import Pack, WorkerCache

SLOT = "here"
"""The only one."""
ENDS = (SystemExit, GeneratorExit, CancelledError)
"""What ends a process although it is no error; Ctrl-C is for the whole sweep."""

LOOK_S = 5.0
"""How often it is looked whether the slot shows progress."""

logger = logging.getLogger(__name__)


class _Here:
    """The line between a slot and a dispatcher in one process."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def post(self, message: SlotMessage) -> None:
        self._dispatcher.exchange([message])

    def ask(self, message: SlotMessage) -> Reply:
        ((_, reply),) = self._dispatcher.exchange([message])
        return reply


def run_in_process(
    search: Search,
    folder: AnyPath,
    *,
    cache: WorkerCache | None = None,
    notify: Callable[[str], None] = logger.warning,
    try_again: bool = False,
) -> list[str]:
    """Run the sweep to its end.

    Args:
        search: replayed and ready.
        folder: the sweep's.
        cache: what trials share; a new one if not given.
        notify: called with a sentence that the user should read now.
        try_again: also take up a trial that has ended the process again and again.

    Returns:
        Problems that are not trials' failures (a trial that could not be tested), for the user.

    Raises:
        SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
        DriverLost: nor can this process.
    """
    import torch

    from tunekit.execution.slot import serve
    from tunekit.training.trial_loop import in_words

    torch.set_num_threads(math.ceil(search.sweep.resources.cpu))
    dispatcher, cache = Dispatcher(search, folder, is_in_process=True, notify=notify), cache or WorkerCache()
    if not try_again:
        dispatcher.set_aside()
    while True:
        try:
            with _watched(dispatcher, notify), overhearing(partial(dispatcher.heard, SLOT)):
                for _ in serve(SLOT, Pack(cache), _Here(dispatcher), worker=worker_name()):
                    pass
            return dispatcher.problems
        except DeviceLost as error:
            raise DriverLost(
                f"{error}; this process can compute nothing more. Start the sweep again to go on: nothing that was "
                "reported is lost, and a trial that ends its process again and again is given up"
            ) from error
        except ENDS as error:  # where a trial has a process of its own, this ends it, and the driver goes on
            logger.error("a trial ended its process\n%s", "".join(traceback.format_exception(error)))
            dispatcher.lost(SLOT, f"{in_words(error)}: it ended its process")
            dispatcher.flush()


@contextlib.contextmanager
def _watched(dispatcher: Dispatcher, notify: Callable[[str], None]) -> Iterator[None]:
    """Inside, a trial that shows no progress for too long ends this process.

    Nobody else could end it: what hangs is the thread that decides. The journal then shows a trial that was handed out
    and did not end, which the next launch counts as a death of its process.
    """
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(LOOK_S):
            for _, silence in dispatcher.hung():
                _end(silence, notify)

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _end(silence: str, notify: Callable[[str], None]) -> None:
    """Say where every thread stands, on standard error (the driver's log), and end this process."""
    with contextlib.suppress(Exception):
        faulthandler.dump_traceback(2)
        notify(
            f"{silence}: this process hangs and is ended; where it stood is in its log. Start the sweep again to go "
            "on; resources.hang_after says how long is waited"
        )
    os._exit(1)
