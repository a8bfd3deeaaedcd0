"""What there is to choose from, for ``tunekit list``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tunekit.config import METHODS, TASKS, ConfigError, lookup, nearest

SEARCHERS = {
    "tpe": "tree-structured Parzen estimator, multivariate; the default",
    "random": "independent draws",
    "grid": "every combination, in a shuffled order",
    "qmc": "scrambled Sobol sequence",
    "cmaes": "CMA-ES; numbers only, choices are drawn at random",
    "gp": "Gaussian process with expected improvement",
    "nsga2": "genetic algorithm, population of 10",
}
SCHEDULERS = {
    "asha": "asynchronous successive halving: one in reduction_factor goes on at each rung",
    "hyperband": "the same in several brackets of grace periods",
    "median": "stop below the median of the other trials' running means",
    "none": "no early stopping; the default",
}


def listing(what: str, root: Path) -> Iterator[str]:
    """Lines of ``name  what it is``.

    Raises:
        ConfigError: there is no such list.
    """
    if what == "sweeps":
        yield from _sweeps(root)
        return
    tables = {"methods": METHODS, "tasks": TASKS, "searchers": SEARCHERS, "schedulers": SCHEDULERS}
    if what not in tables:
        raise ConfigError(f"cannot list {what!r}; {nearest(what, [*tables, 'sweeps'])}")
    table = tables[what]
    width = max(map(len, table))
    for name, text in table.items():
        described = text if what in ("searchers", "schedulers") else _first_line(what, name)
        yield f"{name:{width}}  {described}"


def _first_line(what: str, name: str) -> str:
    document = lookup(what.removesuffix("s"), name).__doc__ or ""
    return document.strip().splitlines()[0] if document.strip() else ""


def _sweeps(root: Path) -> Iterator[str]:
    from tunekit.journal import FILE_NAME, replay

    folders = sorted(path.parent for path in root.glob(f"*/{FILE_NAME}"))
    if not folders:
        yield f"no sweeps under {root}"
    for folder in folders:
        record = replay(folder)
        states = [trial.state for trial in record.trials.values()]
        finished = len(states) - states.count("RUNNING")
        arms = ", ".join(record.definition.get("arms", {}))
        yield f"{folder.name}  {finished} trials finished  ({arms})  last event {record.last_event_at}"
