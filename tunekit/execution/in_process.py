"""Trials one after the other in this process, without Ray. Deterministic on a CPU."""

from __future__ import annotations

import math
from pathlib import Path

from tunekit.execution.protocol import Courier, Job, perform
from tunekit.search import Search
from tunekit.training import Worker


def run_in_process(search: Search, folder: Path, *, worker: Worker | None = None) -> list[str]:
    """Run the sweep to its end.

    Args:
        search: replayed and ready.
        folder: the sweep's.
        worker: caches to use; a new one if not given.

    Returns:
        Problems that are not trials' failures (a trial that could not be tested), for the user.

    Raises:
        SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
    """
    import torch

    torch.set_num_threads(math.ceil(search.sweep.resources.cpu))
    worker = worker or Worker()
    courier = Courier(search, folder)
    while (assignment := search.next_trial()) is not None:
        for message in perform(Job.of(assignment, folder), worker):
            if not courier.deliver(assignment, message):
                break
    return courier.problems
