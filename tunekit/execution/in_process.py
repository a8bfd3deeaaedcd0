"""Trials one after the other in this process, without Ray. Deterministic on a CPU."""

from __future__ import annotations

import math
from pathlib import Path

from tunekit.execution.protocol import Courier, Job, perform
from tunekit.search import Search
from tunekit.training import WorkerCache


def run_in_process(search: Search, folder: Path, *, cache: WorkerCache | None = None) -> list[str]:
    """Run the sweep to its end.

    Args:
        search: replayed and ready.
        folder: the sweep's.
        cache: what earlier sweeps of this process left; a new one if not given.

    Returns:
        Problems that are not trials' failures (a trial that could not be tested), for the user.

    Raises:
        SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
    """
    import torch

    torch.set_num_threads(math.ceil(search.sweep.resources.cpu))
    cache = cache or WorkerCache()
    tokens = search.sweep.resources.tokens_per_step
    courier = Courier(search, folder)
    while (assignment := search.next_trial()) is not None:
        for message in perform(Job.of(assignment, folder, tokens_per_step=tokens), cache):
            if not courier.deliver(assignment, message):
                break
    return courier.problems
