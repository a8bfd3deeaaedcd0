"""One slot in this process, without Ray: trials one after the other. Deterministic on a CPU."""

from __future__ import annotations

import math
from pathlib import Path

from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.protocol import Reply, SlotMessage, worker_name
from tunekit.search import Search
from tunekit.training import WorkerCache


class _Here:
    """The line between a slot and a dispatcher in one process."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def post(self, message: SlotMessage) -> None:
        self._dispatcher.exchange([message])

    def ask(self, message: SlotMessage) -> Reply:
        ((_, reply),) = self._dispatcher.exchange([message])
        return reply


def run_in_process(search: Search, folder: Path, *, cache: WorkerCache | None = None) -> list[str]:
    """Run the sweep to its end.

    Args:
        search: replayed and ready.
        folder: the sweep's.
        cache: what trials share; a new one if not given.

    Returns:
        Problems that are not trials' failures (a trial that could not be tested), for the user.

    Raises:
        SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
    """
    import torch

    from tunekit.execution.slot import serve

    torch.set_num_threads(math.ceil(search.sweep.resources.cpu))
    dispatcher = Dispatcher(search, folder)

    for _ in serve("here", cache or WorkerCache(), _Here(dispatcher), worker=worker_name()):
        pass
    return dispatcher.problems
