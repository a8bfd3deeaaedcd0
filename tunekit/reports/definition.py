"""The sweep file as the journal kept it, read plainly: no method's code is loaded, and so neither torch nor Ray.

:mod:`tunekit.sweep` has checked all of it before the first trial; what is read here is known to be sound.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunekit.schema import canonical_json
from tunekit.sweep import BudgetConfig, Dimension, FinaliseConfig, SchedulerConfig, SearchConfig

LOCATION_KEYS = ("data_dir", "files", "fewshot_dir", "parallel_dir", "cache_dir")


@dataclass(frozen=True, kw_only=True)
class ArmDefinition:
    """One arm as the file describes it, what the top of the file says for all arms included."""

    name: str
    method: str
    backbone: str
    """Hub id, or a folder's last component."""
    task: Mapping[str, Any]
    """The keys given of TaskConfig; what is not given has its default."""
    locations: Mapping[str, Any]
    """The keys given of Locations; paths are absolute."""
    fixed: Mapping[str, Any]
    """Parameters with one value. Those from the top of the file may belong to other arms only."""
    space: Mapping[str, Any]
    """Parameters with a range or choices, likewise."""
    own: frozenset[str]
    """Which of `fixed` and `space` the arm itself names."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages scored zero-shot."""
        return tuple(self.task.get("target_languages") or ())


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The parts of a sweep file that a report speaks of, defaults filled in."""

    name: str
    arms: Mapping[str, ArmDefinition]
    search: SearchConfig
    scheduler: SchedulerConfig
    seeds: tuple[int, ...]
    finalise: FinaliseConfig
    budget: BudgetConfig
    selection: str
    content: Mapping[str, Any]
    """All of it, as in the journal."""


def read_definition(content: Mapping[str, Any]) -> Definition:
    """The definition in the journal's first line or in its last amendment; an empty one has no arms."""
    finalise = dict(content.get("finalise") or {})
    if "seeds" in finalise:
        finalise["seeds"] = tuple(finalise["seeds"])
    return Definition(
        name=str(content.get("name", "sweep")),
        arms={arm.name: arm for arm in _arms(content)},
        search=SearchConfig(**(content.get("search") or {})),
        scheduler=SchedulerConfig(**(content.get("scheduler") or {})),
        seeds=tuple(content.get("seeds") or (10,)),
        finalise=FinaliseConfig(**finalise),
        budget=BudgetConfig(**(content.get("budget") or {})),
        selection=content.get("selection") or "source_dev",
        content=content,
    )


def _arms(content: Mapping[str, Any]) -> Iterator[ArmDefinition]:
    """The arms in the order of the file; a list of `shots` makes an arm of each."""
    for name, raw in (content.get("arms") or {}).items():
        shots = raw.get("shots", content.get("shots"))
        for shot in shots if isinstance(shots, list) else [shots]:
            yield _arm(f"{name}@{shot}" if isinstance(shots, list) else name, raw, shot, content)


def _arm(name: str, raw: Mapping[str, Any], shots: int | None, content: Mapping[str, Any]) -> ArmDefinition:
    task = {**_block(content.get("task")), **_block(raw.get("task"))}
    if shots is not None:
        task["shots"] = shots
    locations = {key: task.pop(key) for key in LOCATION_KEYS if task.get(key) is not None}
    backbone = _block(raw.get("backbone", content.get("backbone")))
    label = str(backbone.get("name", "?"))
    folder = backbone.get("path") or (label if label.startswith(("/", "./", "../", "~", "$")) else None)
    if folder is not None:
        locations["backbone_path"] = folder
        label = label if "path" in backbone else Path(label).name
    fixed, space = _parameters(content, raw)
    return ArmDefinition(
        name=name,
        method=str(raw.get("method", "?")),
        backbone=label,
        task=task,
        locations=locations,
        fixed=fixed,
        space=space,
        own=frozenset({**(raw.get("fixed") or {}), **(raw.get("space") or {})}),
    )


def _block(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": value}
    return dict(value or {})


def _parameters(content: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`fixed` and `space` of an arm: what it says of itself wins over what the file says of all."""
    fixed: dict[str, Any] = {}
    space: dict[str, Any] = {}
    for block in (content, raw):
        for key, value in (block.get("fixed") or {}).items():
            fixed[key] = value
            space.pop(key, None)
        for key, value in (block.get("space") or {}).items():
            space[key] = value
            fixed.pop(key, None)
    return fixed, space


def dimensions(arm: ArmDefinition, config: Mapping[str, Any] | None) -> tuple[Dimension, ...]:
    """The searched parameters of an arm, every parent before its children.

    Args:
        arm: whose.
        config: a resolved TrialConfig of the arm, which tells what parameters it has and whether a range is of whole
            numbers. Without one (no trial yet) every parameter at the top of the file counts.
    """
    known = None if config is None else _values(config)
    chosen = {name: raw for name, raw in arm.space.items() if known is None or name in arm.own or name in known}
    depth = {name: _depth(name, chosen) for name in chosen}
    return tuple(_dimension(name, chosen[name], known or {}) for name in sorted(chosen, key=depth.__getitem__))


def fixed_parameters(arm: ArmDefinition, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters of an arm to which the file gives one value."""
    known = None if config is None else _values(config)
    return {name: v for name, v in arm.fixed.items() if known is None or name in arm.own or name in known}


def _values(config: Mapping[str, Any]) -> dict[str, Any]:
    backbone = config.get("backbone") or {}
    flat = {key: backbone[key] for key in ("dtype", "word_piece") if key in backbone}
    return {**flat, **config["training"], **config["options"], "seed": config["seed"]}


def _conditions(raw: Any) -> dict[str, tuple[Any, ...]]:
    when = raw.get("when") or {} if isinstance(raw, Mapping) else {}
    return {key: tuple(value) if isinstance(value, list) else (value,) for key, value in when.items()}


def _depth(name: str, space: Mapping[str, Any]) -> int:
    parents = [parent for parent in _conditions(space[name]) if parent in space]
    return 1 + max((_depth(parent, space) for parent in parents), default=0)


def _dimension(name: str, raw: Any, values: Mapping[str, Any]) -> Dimension:
    if isinstance(raw, list):
        return Dimension(name=name, kind="choice", choices=tuple(raw))
    if "choices" in raw:
        return Dimension(name=name, kind="choice", choices=tuple(raw["choices"]), when=_conditions(raw))
    seen = values.get(name, raw["low"])
    is_int = raw.get("type", "int" if isinstance(seen, int) else "float") == "int"
    return Dimension(
        name=name,
        kind="int" if is_int else "float",
        low=raw["low"],
        high=raw["high"],
        log=bool(raw.get("log", False)),
        step=raw.get("step"),
        when=_conditions(raw),
    )


def num_points_asked(definition: Definition, space: Sequence[Dimension]) -> int:
    """Points that an arm's search draws: `num_trials`, or the whole grid if that is smaller."""
    wanted = definition.search.num_trials
    if definition.search.searcher != "grid" or any(d.kind == "float" and d.step is None for d in space):
        return wanted
    seen = set()
    for values in itertools.product(*(dimension.grid() for dimension in space)):
        params: dict[str, Any] = {}
        for dimension, value in zip(space, values, strict=True):
            if dimension.is_active(params):
                params[dimension.name] = value
        seen.add(canonical_json(params))
        if len(seen) >= wanted:
            break
    return min(wanted, len(seen))
