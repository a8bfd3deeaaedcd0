"""Start a sweep, or go on with it: one code path. Replay the journal, check that the sweep is the same, run, report."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from tunekit import __version__
from tunekit.errors import ConfigError
from tunekit.journal import FILE_NAME, Journal
from tunekit.schema import canonical_json, to_json
from tunekit.search import Search
from tunekit.sweep import Source, Sweep, parse_sweep
from tunekit.trial import SCHEMA_VERSION

_PACKAGES = ("torch", "transformers", "ray", "optuna", "datasets", "seqeval")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how wide a sweep runs; kept in the journal so that ``tunekit resume`` runs it the same way."""

    in_process: bool = False
    address: str | None = None
    workers: int | None = None


@dataclass(frozen=True, kw_only=True)
class Finish:
    """How a run ended."""

    num_failed: int
    problems: tuple[str, ...]
    """What is missing although no trial failed, such as a test that could not be scored."""


def versions() -> dict[str, str]:
    """Versions of tunekit, Python and the libraries that decide results."""
    found = {"tunekit": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def stored_sweep(folder: Path, *, num_trials: int | None = None) -> tuple[Sweep, Execution]:
    """The sweep that `folder` holds, with `num_trials` an arm if given, and how it was last run.

    Raises:
        ConfigError: there is no sweep in `folder`.
    """
    from tunekit.journal import read_events

    path = folder / FILE_NAME
    if not path.is_file():
        raise ConfigError(f"no sweep at {folder} (no {FILE_NAME} there)")
    definition: dict[str, Any] = {}
    execution: Mapping[str, Any] = {}
    for event in read_events(path):
        definition = event.get("definition", definition)
        execution = event.get("execution", execution)
    if not definition:
        raise ConfigError(f"{path} holds no launched sweep; start it again from its file")
    if num_trials is not None:
        definition = {**definition, "search": {**definition.get("search", {}), "num_trials": num_trials}}
    return parse_sweep(definition, Source(str(path))), Execution(**execution)


def run_sweep(
    sweep: Sweep,
    folder: Path,
    execution: Execution,
    *,
    watch: Callable[[Search, dict[str, Any] | None], None] | None = None,
) -> Finish:
    """Run `sweep` in `folder` to its end; if it was begun before, go on.

    Args:
        sweep: what to search.
        folder: where it lives; made if it does not exist.
        execution: where trials run.
        watch: called once after the replay (event None) and after every new event.

    Raises:
        ConfigError: the folder holds another sweep, or is in use (`SweepBusy`).
        SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
    """
    if execution.address is not None and not execution.in_process:
        from tunekit.execution.ray_nodes import require_reachable

        require_reachable(execution.address)
    with Journal(folder) as journal:
        _announce(sweep, journal, execution)
        search = Search(sweep, journal, on_event=lambda event: watch(search, event) if watch else None)
        if watch:
            watch(search, None)
        problems: list[str] = []
        if not search.is_done:
            problems = _run(search, folder, execution)
        failed = sum(trial.state == "FAILED" for trial in search.record.trials.values())
    return Finish(num_failed=failed, problems=tuple(problems))


def _run(search: Search, folder: Path, execution: Execution) -> list[str]:
    if execution.in_process:
        from tunekit.execution.in_process import run_in_process

        return run_in_process(search, folder)
    from tunekit.execution.ray_slots import run_on_ray

    return run_on_ray(search, folder, address=execution.address, num_workers=execution.workers)


def _announce(sweep: Sweep, journal: Journal, execution: Execution) -> None:
    """Write who runs what; refuse a sweep that is not the one the journal began with."""
    content = {
        "versions": versions(),
        "execution": to_json(execution),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    if not journal.events:
        journal.append("launched", definition=dict(sweep.definition), schema=SCHEMA_VERSION, **content)
    else:
        earlier = parse_sweep(journal.record.definition, Source(str(journal.path)))
        _require_same(earlier, sweep, journal.folder)
        if canonical_json(journal.record.definition) != canonical_json(sweep.definition):
            journal.append("amended", definition=dict(sweep.definition))
        journal.append("resumed", **content)
    text = yaml.safe_dump(to_json(sweep.definition), sort_keys=False, allow_unicode=True)
    (journal.folder / "sweep.yaml").write_text(text, encoding="utf-8")


def _require_same(earlier: Sweep, sweep: Sweep, folder: Path) -> None:
    differences = list(_differences(earlier.identity(), sweep.identity(), ()))
    if differences:
        shown = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
        raise ConfigError(
            f"{folder} holds another sweep of this name: {shown}. Only search.num_trials, finalise, budget, resources "
            "and paths may change; give the new one another --name"
        )


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(set(old) | set(new))
        return [line for key in keys for line in _differences(old.get(key), new.get(key), (*path, key))]
    return [] if old == new else [f"{'.'.join(path)} was {_short(old)}, now {_short(new)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
