"""How many machines a sweep is to get, and how large: from what one trial takes and how many shall run at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tunekit.errors import ConfigError, require
from tunekit.sweep import Sweep
from tunekit.wording import plural

GIB = 1024**3
USUAL_WORKERS = 4
"""Trials at once, where nobody says."""
CPU_TRIALS = 4
"""Trials that share a machine without GPUs, where nobody says."""
TRIAL_BYTES = 8 * GIB
"""Main memory of a trial, where the sweep does not say; a base model with its optimiser fits."""
RAY_BYTES = 2 * GIB
"""Main memory that Ray's own processes and its object store get on each machine."""
OBJECT_STORE_BYTES = 256 * 1024**2
"""Of each machine: tunekit passes small messages only, weights go through files."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the options say; None where they say nothing."""

    workers: int | None = None
    """Trials at once."""
    machines: int | None = None
    gpus: int | None = None
    """Of a machine."""
    cpus: int | None = None
    """Cores of a machine."""

    def __post_init__(self) -> None:
        for option, number in (("workers", self.workers), ("nodes", self.machines), ("cpus", self.cpus)):
            require(number is None or number >= 1, f"--{option}", number, "at least 1")
        require(self.gpus is None or self.gpus >= 1, "--gpus", self.gpus, "at least 1, or left out")


@dataclass(frozen=True, kw_only=True)
class Machines:
    """The machines on which trials run; the driver's own share is not in it."""

    workers: int
    """Trials at once, on all of them."""
    count: int
    trials: int
    """Trials at once on each."""
    cpus: int
    """Cores of each."""
    gpus: int
    """GPUs of each."""
    memory_bytes: int
    """Main memory of each."""
    guesses: tuple[str, ...]
    """What nobody said, in words."""


def machines_for(sweep: Sweep, asked: Asked) -> Machines:
    """The machines for `sweep`; what `asked` leaves open is computed, or guessed and said.

    Raises:
        ConfigError: no trial fits on a machine as asked for, or GPUs are asked for that no trial would use.
    """
    need, where = sweep.resources, sweep.source.at("resources")
    if asked.gpus is not None and not need.gpu:
        raise ConfigError(
            f"--gpus is {asked.gpus}, but no trial would use a GPU: {where}: gpu is 0; set it: --set resources.gpu=1"
        )
    gpus = asked.gpus or math.ceil(need.gpu)
    trials = _trials_each(sweep, asked, gpus)
    workers, guesses = _workers(sweep, asked, trials)
    trials = min(trials, workers)
    count = asked.machines or math.ceil(workers / trials)
    if workers < count:
        raise ConfigError(
            f"--nodes is {count}, but only {plural(workers, 'trial')} run at once; give --workers {count}"
        )
    memory = trials * (need.memory or TRIAL_BYTES) + RAY_BYTES
    return Machines(
        workers=workers,
        count=count,
        trials=trials,
        cpus=asked.cpus or math.ceil(trials * need.cpu),
        gpus=gpus,
        memory_bytes=math.ceil(memory / GIB) * GIB,
        guesses=(*guesses, *_unsaid(sweep, asked, trials)),
    )


def _trials_each(sweep: Sweep, asked: Asked, gpus: int) -> int:
    need = sweep.resources
    fits = [int(gpus / need.gpu + 1e-9)] if need.gpu else []
    fits += [int(asked.cpus / need.cpu + 1e-9)] if asked.cpus else []
    if fits and min(fits) < 1:
        offer = f"{asked.cpus or 'any'} CPU, {gpus} GPU"
        raise ConfigError(
            f"{sweep.source.at('resources')}: a trial takes {need.cpu:g} CPU and {need.gpu:g} GPU, "
            f"but a machine is to have {offer}; give more by --gpus or --cpus"
        )
    if fits:
        return min(fits)
    if asked.machines and asked.workers:
        return math.ceil(asked.workers / asked.machines)
    return CPU_TRIALS


def _workers(sweep: Sweep, asked: Asked, trials: int) -> tuple[int, list[str]]:
    """Trials at once, and the words for it if that is a guess."""
    if asked.workers is not None:
        return asked.workers, []
    if asked.machines is not None:
        return asked.machines * trials, []
    most = sum(sweep.num_points(arm) * sweep.num_replicates(arm) for arm in sweep.arms)
    workers = min(USUAL_WORKERS, most)
    return workers, [f"{plural(workers, 'trial')} at once (--workers)"]


def _unsaid(sweep: Sweep, asked: Asked, trials: int) -> list[str]:
    need, said = sweep.resources, []
    if need.memory is None:
        said.append(f"{TRIAL_BYTES // GIB} GiB of main memory a trial (resources.memory of the sweep)")
    if not need.gpu:
        said.append("no GPU, because a trial takes none (resources.gpu of the sweep)")
        if asked.cpus is None and not (asked.machines and asked.workers):
            said.append(f"{plural(trials, 'trial')} a machine (--cpus)")
    elif asked.gpus is None:
        said.append(f"{plural(math.ceil(need.gpu), 'GPU')} a machine, enough for one trial (--gpus)")
    return said
