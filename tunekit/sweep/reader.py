"""Sweep files: YAML in, a checked Sweep out, or one clear error with file, line and key."""

from __future__ import annotations

import math
import os
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunekit.errors import ConfigError, TunekitError, quoted
from tunekit.registry import lookup
from tunekit.schema import JsonObject, Values, coerce
from tunekit.sweep.arms import ARM_KEYS, NAME_IN_WORDS, ArmReader, is_name
from tunekit.sweep.budget import BudgetConfig
from tunekit.sweep.draws import check_final_draws, read_draws, with_draws
from tunekit.sweep.finalise import SEED_RANGE, FinaliseConfig, is_seed
from tunekit.sweep.parameters import resolve
from tunekit.sweep.paths import with_paths
from tunekit.sweep.places import require_distinct_names
from tunekit.sweep.protocols import protocol_name, with_protocol
from tunekit.sweep.references import absolute_places, read_references
from tunekit.sweep.source import Source, known_keys
from tunekit.sweep.trackers import read_tracking
from tunekit.sweep.types import (
    Arm,
    Reference,
    ResourcesConfig,
    SchedulerConfig,
    SearchConfig,
    StorageConfig,
    Sweep,
)
from tunekit.sweep.yaml_text import read_override, read_yaml

__all__ = ["ARM_KEYS", "TOP_KEYS", "content_as_written", "load_sweep", "parse_sweep"]

TOP_KEYS = (
    "name", "task", "backbone", "arms", "fixed", "space", "search", "scheduler", "seeds", "finalise",
    "resources", "budget", "storage", "selection", "shots", "protocol", "protocols", "draws", "references",
    "tracking",
)  # fmt: skip


def load_sweep(
    path: str | Path, *, overrides: Sequence[str] = (), name: str | None = None, folders_must_exist: bool = True
) -> Sweep:
    """Read and check a sweep file.

    Args:
        path: the YAML file. Paths inside it are relative to the current folder; `references` to the file's own.
        overrides: ``KEY=VALUE`` with a dotted KEY and a YAML VALUE, applied to the file's content.
        name: the sweep's name; the file's own `name` or its stem if not given.
        folders_must_exist: refuse a backbone's folder that is not there; it may be on the machine that will read it.

    Raises:
        ConfigError: anything is wrong with it; names file, line and key.
    """
    path = Path(path)
    content, lines = read_yaml(path)
    if "arms" not in content and {"method", "training"} <= content.keys():
        raise ConfigError(f"{path} holds one configuration, not a sweep; run it by: tunekit trial {path}")
    overridden = {_override(content, override): override for override in overrides}
    if content.get("name") is None:
        content["name"] = "-".join(filter(None, (path.stem, _text(content.get("protocol")))))
    if name is not None:
        content["name"] = name
    return parse_sweep(content, Source(str(path), lines, overridden), folders_must_exist=folders_must_exist)


def content_as_written(path: str | Path, *, overrides: Sequence[str] = ()) -> JsonObject:
    """The content of a sweep file with `overrides` applied, its paths as they are written, for another machine to read.

    Raises:
        ConfigError: the file is no YAML, or an override is none.
    """
    content, _ = read_yaml(Path(path))
    for override in overrides:
        _override(content, override)
    return content


def _text(value: object) -> str | None:
    """A protocol's name as part of the sweep's, so that two protocols of one file have two folders."""
    return value if isinstance(value, str) else None


def _override(content: JsonObject, override: str) -> tuple[str, ...]:
    """Put one ``KEY=VALUE`` into `content`; gives the key's path."""
    key, separator, text = override.partition("=")
    *parents, last = (part.strip() for part in key.split("."))
    if not separator or not all((*parents, last)):
        raise ConfigError(f"--set {quoted(override)}: expected KEY=VALUE, such as search.num_trials=8")
    value = read_override(override, (*parents, last), text)
    place = content
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        elif parent in ("backbone", "task") and isinstance(place[parent], str):
            place[parent] = {"name": place[parent]}
        place = place[parent]
        if not isinstance(place, dict):
            raise ConfigError(
                f"--set {quoted(override)}: {quoted(parent)} is {quoted(place)}, which has no keys below it"
            )
    place[last] = value
    return (*parents, last)


def parse_sweep(
    content: Values,
    source: Source,
    *,
    folders_must_exist: bool = True,
    references: tuple[Reference, ...] | None = None,
) -> Sweep:
    """Check the content of a sweep file (or a `Sweep.definition`) and resolve it.

    Args:
        content: keys and values.
        source: where they came from.
        folders_must_exist: refuse a backbone's folder that is not there.
        references: published figures as they were read before; None reads the files that `content` names.

    Raises:
        ConfigError: anything is wrong with it.
    """
    known_keys(content, TOP_KEYS, source, ())
    content = with_protocol(content, source)
    if not content.get("arms"):
        raise ConfigError(f"{source.at()}: no arms; write `arms:` with at least one `name: {{method: ...}}`")
    name = _name(content, source)
    definition = {**_absolute(content), "name": name, **absolute_places(content, source)}
    selection = content.get("selection", "source_dev")
    draws = read_draws(content, source)
    read = ArmReader(definition, source, folders_must_exist=folders_must_exist).arms()
    arms = with_draws(read, draws, source)
    sweep = Sweep(
        name=name,
        arms=arms,
        seeds=_seeds(content, source),
        draws=draws,
        resources=source.build(ResourcesConfig, _resources(content.get("resources"), source), "resources"),
        protocol=protocol_name(content, source),
        selection=coerce(_selection_hint(), selection, source.at("selection")),
        search=source.build(SearchConfig, content.get("search"), "search"),
        scheduler=source.build(SchedulerConfig, content.get("scheduler"), "scheduler"),
        finalise=source.build(FinaliseConfig, content.get("finalise"), "finalise"),
        budget=source.build(BudgetConfig, content.get("budget"), "budget"),
        storage=source.build(StorageConfig, content.get("storage"), "storage"),
        tracking=read_tracking(content, source),
        references=read_references(content, source, arms) if references is None else references,
        definition=definition,
        source=source,
    )
    _check(sweep, content, source)
    check_final_draws(sweep, source)
    require_distinct_names(sweep.arms, source)
    return sweep


def _name(content: Values, source: Source) -> str:
    """The sweep's name; a number or a date will do."""
    name = content.get("name", "sweep")
    name = coerce(str, name, source.at("name")) if isinstance(name, (bool, list, dict)) else str(name)
    if not is_name(name):
        raise ConfigError(
            f"{source.at('name')}: {quoted(name)} cannot name a folder; write `name:` or --name with {NAME_IN_WORDS}"
        )
    return name


def _selection_hint() -> object:
    return typing.get_type_hints(Sweep)["selection"]


def _seeds(content: Values, source: Source) -> tuple[int, ...]:
    seeds: tuple[int, ...] = coerce(tuple[int, ...], content.get("seeds", [10]), source.at("seeds"))
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"{source.at('seeds')}: {quoted(list(seeds))} must be at least one seed, none repeated")
    if not all(map(is_seed, seeds)):
        raise ConfigError(f"{source.at('seeds')}: {quoted(list(seeds))} must be {SEED_RANGE}")
    return seeds


def _resources(resources: object, source: Source) -> object:
    """The block with a `memory` such as 8 GiB in bytes, a `hang_after` such as 30 min in seconds, and ``off`` as it is
    meant: YAML reads it as false."""
    if not isinstance(resources, Mapping):
        return resources
    resources = {**resources, **{key: "off" for key in ("pack", "hang_after") if resources.get(key) is False}}
    if isinstance(resources.get("hang_after"), str) and resources["hang_after"] not in ("auto", "off"):
        resources = _with_seconds(resources, source)
    return _with_bytes(resources, source) if isinstance(resources.get("memory"), str) else resources


def _with_seconds(resources: Values, source: Source) -> Values:
    units = {"s": 1, "min": 60, "h": 3600}
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*({'|'.join(units)})", resources["hang_after"])
    if not match:
        raise ConfigError(
            f"{source.at('resources', 'hang_after')}: {quoted(resources['hang_after'])} is not a time; "
            "write auto, off, seconds, or a number with s, min or h"
        )
    return {**resources, "hang_after": float(match[1]) * units[match[2]]}


def _with_bytes(resources: Values, source: Source) -> Values:
    units = ("KiB", "MiB", "GiB", "TiB")
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*({'|'.join(units)})", resources["memory"])
    if not match:
        raise ConfigError(
            f"{source.at('resources', 'memory')}: {quoted(resources['memory'])} is not a size; "
            "write bytes or a number with KiB, MiB, GiB or TiB"
        )
    return {**resources, "memory": int(float(match[1]) * 1024 ** (units.index(match[2]) + 1))}


def _absolute(content: Values) -> JsonObject:
    """A deep copy with every path made absolute, so that a sweep can be resumed from another folder.

    Variables and ``~`` stay as they are written: what they hold is known to each machine, and is nobody else's concern.
    """
    return with_paths(content, lambda key, path: _absolute_path(path))


def _absolute_path(path: str) -> str:
    if path.startswith(("$", "~")):
        return path
    # Of what a variable holds nothing is known, so a `..` after it may not be worked out yet.
    return os.path.join(os.getcwd(), path) if "$" in path else os.path.abspath(path)


def _check(sweep: Sweep, content: Values, source: Source) -> None:
    """What only the whole can tell: method and task fit, every corner of every space is accepted."""
    for arm in sweep.arms:
        where = source.at("arms", arm.name.partition("@")[0])
        if sweep.search.searcher == "grid" and not arm.space:
            raise ConfigError(f"{where}: the grid searcher needs a space")
        if sweep.selection == "target_dev" and not arm.task.target_languages:
            raise ConfigError(f"{where}: selection target_dev needs target_languages")
        method = lookup("method", arm.method)
        if arm.task.kind is not None and arm.task.kind not in method.kinds:
            kinds = " and ".join(sorted(method.kinds))
            raise ConfigError(
                f"{where}: method {arm.method!r} serves {kinds} tasks, {arm.task.name!r} is a {arm.task.kind} task"
            )
        _check_corners(sweep, arm, source)
        if sweep.search.searcher == "grid":
            _require_grid(arm, where)
    if "seeds" in content and all(arm.searches_seed for arm in sweep.arms):
        raise ConfigError(f"{source.at('seeds')}: `seed` is searched, so `seeds` has no effect; keep one of them")
    _check_budget(sweep, source)


def _check_budget(sweep: Sweep, source: Source) -> None:
    """Raise a ConfigError where a limit buys nothing, or nothing counts towards it."""
    trials, num_arms = sweep.budget.trials, len(sweep.arms)
    if trials is not None and trials < num_arms:
        raise ConfigError(
            f"{source.at('budget', 'trials')}: {trials} is less than one trial for each of {num_arms} arms"
        )
    if sweep.budget.gpu_hours is not None and not sweep.rates.gpu:
        raise ConfigError(
            f"{source.at('budget', 'gpu_hours')}: no trial takes a GPU (resources.gpu is 0), so it limits nothing; "
            "write `hours`, or `resources: {gpu: ...}`"
        )
    hours, reserved = sweep.budget.hours, sweep.budget.reserve_hours
    if hours is not None and reserved is not None and reserved >= hours:
        where = source.at("budget", "reserve_hours")
        raise ConfigError(f"{where}: {reserved:g} is all of the {hours:g} hours; leave some to the search")
    if sweep.budget.money is not None and not sweep.rates.money:
        raise ConfigError(
            f"{source.at('budget', 'money')}: a worker costs nothing (resources.gpu is 0, and there is no "
            "price_per_hour), so it limits nothing; write `price_per_hour`, or `resources: {gpu: ...}`"
        )


def _require_grid(arm: Arm, where: str) -> None:
    """Raise a ConfigError where the points of `arm` are no grid."""
    for dimension in arm.space:
        if math.isinf(dimension.size):
            raise ConfigError(
                f"{where}: space.{dimension.name}: the grid searcher needs `choices` or a `step` for a float"
            )


def _check_corners(sweep: Sweep, arm: Arm, source: Source) -> None:
    base = {d.name: d.corners()[0] for d in arm.space if not d.when and d.name != "seed"}
    settings = [base] + [{**base, d.name: corner} for d in arm.space for corner in d.corners() if d.name != "seed"]
    for setting in settings:
        try:
            config = resolve(arm, {**arm.fixed, **setting}, seed=0, selection=sweep.selection)
        except TunekitError as error:
            message = str(error).removeprefix(f"arm {arm.name}: ")
            raise ConfigError(f"{source.of(arm.name, message)}: {message}") from None
        length, tokens = config.training.max_length, sweep.resources.tokens_per_step
        if tokens < length:
            where = source.at("resources", "tokens_per_step")
            raise ConfigError(
                f"{where}: tokens_per_step is {tokens}, must be at least max_length ({length}) of arm {arm.name!r}"
            )
