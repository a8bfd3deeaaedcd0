"""Start a sweep, or go on with it: one code path. Replay the journal, check that the sweep is the same, run, report."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

import yaml

from tunekit import tasks
from tunekit.errors import ConfigError, TunekitError
from tunekit.execution.notices import Notices
from tunekit.execution.protocol import DriverLost
from tunekit.journal import SCHEMA, Event, Journal, replay
from tunekit.patience import listening
from tunekit.schema import canonical_json, to_json
from tunekit.search import Search
from tunekit.storage import AnyPath, SweepFolder, remove, write_text
from tunekit.storage.source_code import commits, package_digest
from tunekit.sweep import Source, Sweep, parse_sweep, resolved
from tunekit.tracking import following, usable
from tunekit.version import __version__
from tunekit.wording import plural, printable

MAX_DIFFERENCES = 10
"""Differences that are shown of a sweep that is not the one that was launched."""

logger = logging.getLogger(__name__)

_PACKAGES = ("torch", "transformers", "ray", "optuna", "datasets")


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
    """Versions of tunekit (with a digest of its code), Python and the libraries that decide results."""
    found = {"tunekit": __version__, "tunekit_code": package_digest(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def stored_sweep(folder: AnyPath, *, num_trials: int | None = None) -> tuple[Sweep, Execution]:
    """The sweep that `folder` holds, with `num_trials` per arm if given, and how it was last run.

    Raises:
        ConfigError: there is no sweep in `folder`.
    """
    path = SweepFolder(folder).journal
    if not SweepFolder(folder).exists:
        raise ConfigError(f"no sweep at {folder} (no {path.name} there)")
    record = replay(folder)
    definition = record.definition
    if not definition:
        raise ConfigError(f"{path} holds no launched sweep; start it again from its file")
    if num_trials is not None:
        definition = {**definition, "search": {**(definition.get("search") or {}), "num_trials": num_trials}}
    # The journal holds what was read of published figures; their files may be gone, or have stayed on another machine.
    sweep = parse_sweep(definition, Source(str(path)), references=record.sweep.references)
    return sweep, Execution(**record.execution)


def run_sweep(
    sweep: Sweep,
    folder: AnyPath,
    execution: Execution,
    *,
    retry_failed: bool = False,
    watch: Callable[[Search, Event | None], None] | None = None,
    notify: Callable[[str], None] = logger.warning,
) -> Finish:
    """Run `sweep` in `folder` to its end; if it was begun before, go on.

    Args:
        sweep: what to search.
        folder: where it lives; made if it does not exist.
        execution: where trials run.
        retry_failed: take failed trials up again, each as the same trial.
        watch: called once after the replay (event None) and after every new event.
        notify: called with a sentence that the user should read while the sweep runs, such as what it waits for.

    Raises:
        ConfigError: the folder holds another sweep, or is in use (`SweepBusy`), or a tracker cannot be used.
        SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
    """
    if execution.address is not None and not execution.in_process:
        from tunekit.execution.ray_nodes import require_reachable

        require_reachable(execution.address)
    trackers = usable(sweep, SweepFolder(folder))
    has_begun = False
    try:
        with listening(Notices(notify).take), Journal(folder) as journal:
            sweep = with_metrics(sweep)
            _announce(sweep, journal, execution)
            if retry_failed:
                _reopen(journal)
            journal.flush()
            has_begun = True
            with following(sweep, journal.folder, trackers, num_events=journal.num_events, say=notify) as track:
                search = Search(sweep, journal, on_event=lambda event: _pass_on(event, search, track, watch))
                if watch:
                    watch(search, None)
                problems = _run(search, folder, execution, notify, try_again=retry_failed)
            problems += _cut(search)
            failed = sum(trial.state == "FAILED" for trial in search.record.trials.values())
    except (Exception, KeyboardInterrupt) as error:
        if has_begun:
            _say_why(folder, error, is_in_process=execution.in_process)
        raise
    return Finish(num_failed=failed, problems=tuple(problems))


def _pass_on(
    event: Event, search: Search, track: Callable[[Event], None], watch: Callable[[Search, Event | None], None] | None
) -> None:
    """Tell trackers and the display of an event, which is on the disk."""
    track(event)
    if watch:
        watch(search, event)


def _cut(search: Search) -> list[str]:
    """What the budget has cut, for the end of the run."""
    number = sum(search.progress.arm(arm).num_final_cut for arm in search.sweep.arms)
    if not number:
        return []
    return [f"{search.progress.stopped_by_budget()}; {plural(number, 'final trial')} not scored on test"]


def _say_why(folder: AnyPath, error: BaseException, *, is_in_process: bool) -> None:
    """Note why the driver ends, and that a trial at work in its own process was interrupted from outside: else its end
    would count as its own crash. (A trial may also be why this process cannot go on: `DriverLost`.)

    The journal is read anew: what this process knows of it may be half of an event, where Ctrl-C cut in.
    """
    words = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    if not isinstance(error, TunekitError | KeyboardInterrupt):
        words = f"{type(error).__name__}: {error}"
    with contextlib.suppress(TunekitError), Journal(folder) as journal:
        is_from_outside = is_in_process and not isinstance(error, DriverLost)
        for trial in list(journal.record.taken.values()) if is_from_outside else ():
            reason = printable(f"the driver ended with {type(error).__name__}: {error}", limit=300)
            journal.append("interrupted", trial_id=trial.trial_id, reason=reason)
        journal.append("stopped", reason=printable(words, limit=1000))


def _run(
    search: Search, folder: AnyPath, execution: Execution, notify: Callable[[str], None], *, try_again: bool
) -> list[str]:
    """Run what is left; gives problems that are no trial's failures."""
    if search.is_done:
        search.flush()
        return []
    if execution.in_process:
        from tunekit.execution.in_process import run_in_process

        problems = run_in_process(search, folder, notify=notify, try_again=try_again)
    else:
        from tunekit.execution.ray_slots import run_on_ray

        workers = execution.workers
        problems = run_on_ray(search, folder, address=execution.address, num_workers=workers, notify=notify)
    search.flush()
    return problems


def _announce(sweep: Sweep, journal: Journal, execution: Execution) -> None:
    """Write who runs what; refuse a sweep that is not the one the journal began with."""
    content = {
        "versions": {**versions(), **commits()},
        "execution": to_json(execution),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    described = {"sweep": resolved(sweep), "definition": dict(sweep.definition)}
    if not journal.num_events:
        journal.append("launched", schema=SCHEMA, **described, **content)
    else:
        _require_same(journal.record.sweep, sweep, journal.folder.path)
        if canonical_json(journal.record.resolved) != canonical_json(described["sweep"]):
            journal.append("amended", **described)
        journal.append("resumed", **content)
    text = yaml.safe_dump(to_json(sweep.definition), sort_keys=False, allow_unicode=True)
    write_text(journal.folder.sweep_file, text)


def with_metrics(sweep: Sweep) -> Sweep:
    """`sweep` with the main metric of each arm's task, which a task of one's own shows in its labels.

    Raises:
        ConfigError: a task cannot be loaded.
    """
    found: dict[str, str] = {}
    arms = []
    for arm in sweep.arms:
        key = canonical_json([arm.task, arm.locations])
        if key not in found:
            found[key] = tasks.load(arm.task, arm.locations).metric
        arms.append(replace(arm, metric=found[key]))
    return replace(sweep, arms=tuple(arms))


def _reopen(journal: Journal) -> None:
    """Take failed trials up again: the outcome goes, what was trained before stays if it is there."""
    for trial in journal.record.trials.values():
        if trial.state == "FAILED":
            remove(journal.folder.trial(trial.trial_id).outcome)
            journal.append("reopened", trial_id=trial.trial_id, reason=trial.reason or "no reason given")


def _require_same(earlier: Sweep, sweep: Sweep, folder: AnyPath) -> None:
    differences = _differences(earlier.identity(), sweep.identity(), "")
    if differences:
        shown = "".join(f"\n  {line}" for line in differences[:MAX_DIFFERENCES])
        more = f"\n  and {len(differences) - MAX_DIFFERENCES} more" if len(differences) > MAX_DIFFERENCES else ""
        raise ConfigError(
            f"{folder} holds another sweep of this name. What differs:{shown}{more}\nOnly search.num_trials, finalise, "
            "budget, storage, resources, tracking and paths may change; give the new one another --name"
        )


def _differences(old: object, new: object, path: str) -> list[str]:
    """A line for each value that differs, named by its path, down into lists."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        inner = [(f"{path}.{key}" if path else str(key), old.get(key), new.get(key)) for key in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list):
        names = [_name(new, old, index) for index in range(max(len(old), len(new)))]
        inner = [
            (f"{path}[{name}]", old[index] if index < len(old) else None, new[index] if index < len(new) else None)
            for index, name in enumerate(names)
        ]
    else:
        return [] if old == new else [f"{path}: was {_short(old)}, is now {_short(new)}"]
    return [line for name, before, now in inner for line in _differences(before, now, name)]


def _name(*lists: object) -> str:
    """How the item at an index is called: by its own name, if it has one in both lists, else by the index."""
    *found, index = lists
    assert isinstance(index, int)
    names = {str(items[index]["name"]) for items in found if _is_named(items, index)}  # type: ignore[index]
    return names.pop() if len(names) == 1 else str(index)


def _is_named(items: object, index: int) -> bool:
    has_item = isinstance(items, list) and index < len(items)
    return has_item and isinstance(items[index], Mapping) and "name" in items[index]  # type: ignore[index]


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
