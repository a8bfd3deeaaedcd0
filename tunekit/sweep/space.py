"""The `fixed`, `space` and `enqueue` blocks of a sweep file, held against an arm's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunekit.errors import ConfigError, nearest, quoted
from tunekit.schema import JsonObject, Values, coerce
from tunekit.sweep.dimensions import Conditions, Dimension
from tunekit.sweep.finalise import SEED_RANGE, is_seed
from tunekit.sweep.source import Source, known_keys

_DIMENSION_KEYS = ("low", "high", "log", "step", "choices", "type", "when")

RESOURCES = ("tokens_per_step",)
"""What says how a trial is computed and not what it is, so no parameter: see `tunekit.trial.SMALLER_STEPS`."""

Blocks = tuple[tuple[Values, tuple[str, ...]], ...]
"""What holds `fixed` and `space`, with its key path: the whole file, then the arm, which wins."""


def parameters(
    blocks: Blocks, hints: Values, source: Source, used: set[str]
) -> tuple[JsonObject, tuple[Dimension, ...]]:
    """An arm's fixed values and its space; what the arm says of itself wins over what the file says of all.

    Args:
        blocks: the file and the arm.
        hints: type of every parameter that the arm knows.
        source: for messages.
        used: gets the parameters that were found.
    """
    fixed: JsonObject = {}
    space: dict[str, Dimension] = {}
    origin: dict[str, str] = {}
    hints = {**hints, "seed": int}
    for block, path in blocks:
        own_fixed, own_space = (_mapping(block, key, source, path) for key in ("fixed", "space"))
        for key in {**own_fixed, **own_space}:
            kind = "fixed" if key in own_fixed else "space"
            where = source.at(*path, kind, key)
            if key in hints:
                used.add(key)
            elif key in RESOURCES:
                raise ConfigError(f"{where}: {quoted(key)} is no parameter but a resource: write it as resources.{key}")
            elif path:  # the arm's own; what stands at the top may be meant for other arms
                raise ConfigError(f"{where}: unknown parameter {quoted(key)}; {nearest(key, hints)}")
            else:
                continue
            if key in own_fixed and key in own_space:
                raise ConfigError(f"{where}: {quoted(key)} is both fixed and searched; keep one")
            fixed.pop(key, None)
            space.pop(key, None)
            if kind == "fixed":
                fixed[key] = _fixed(key, own_fixed[key], hints[key], where)
            else:
                space[key], origin[key] = _dimension(key, own_space[key], hints[key], where), where
    return fixed, _ordered(space, origin)


def _mapping(block: Values, key: str, source: Source, path: tuple[str, ...]) -> Values:
    """The block's `key`, whose own keys are free; nothing at all is an empty one."""
    found = block.get(key)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ConfigError(f"{source.at(*path, key)}: expected keys and values, got {quoted(found)}")
    return {str(name): value for name, value in found.items()}


def _fixed(name: str, value: object, hint: object, where: str) -> object:
    if name == "seed":
        raise ConfigError(f"{where}: a seed is not fixed here; write `seeds: [{value}]` at the top of the file")
    if isinstance(value, (list, Mapping)) and hint in (int, float, str, bool, int | None, float | None):
        raise ConfigError(f"{where}: {quoted(value)} is not a single value; what is searched goes under `space`")
    return coerce(hint, value, where)


def _dimension(name: str, value: object, hint: object, where: str) -> Dimension:
    if isinstance(value, list):
        value = {"choices": value}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{where}: expected {{low: ..., high: ...}} or {{choices: [...]}}, got {quoted(value)}; "
            "a single value goes under `fixed`"
        )
    for key in value:
        if key not in _DIMENSION_KEYS:
            raise ConfigError(f"{where}: unknown key {quoted(key)}; {nearest(str(key), _DIMENSION_KEYS)}")
    condition = value.get("when") or {}
    if not isinstance(condition, Mapping):
        raise ConfigError(f"{where}.when: expected {{other_parameter: value or list}}, got {quoted(condition)}")
    when = {str(k): tuple(v) if isinstance(v, list) else (v,) for k, v in condition.items()}
    if "choices" in value:
        return _choice(name, value, hint, when=when, where=where)
    dimension = _range(name, value, hint, when=when, where=where)
    if name == "seed" and not (is_seed(dimension.low or 0) and is_seed(dimension.high or 0)):
        raise ConfigError(f"{where}: {dimension.low} to {dimension.high} are no seeds; use {SEED_RANGE}")
    return dimension


def _choice(name: str, value: Values, hint: object, *, when: Conditions, where: str) -> Dimension:
    extra = set(value) - {"choices", "when"}
    if extra:
        raise ConfigError(f"{where}: {', '.join(sorted(extra))} has no effect beside `choices`")
    if not isinstance(value["choices"], (list, tuple)):
        raise ConfigError(f"{where}.choices: expected a list, got {quoted(value['choices'])}")
    choices = tuple(coerce(hint, item, f"{where}.choices[{i}]") for i, item in enumerate(value["choices"]))
    if not choices or any(choice in choices[:i] for i, choice in enumerate(choices)):
        raise ConfigError(f"{where}: choices {quoted(list(choices))} must be at least one value, none repeated")
    if name == "seed" and not all(map(is_seed, choices)):
        raise ConfigError(f"{where}: {quoted(list(choices))} are no seeds; use {SEED_RANGE}")
    return Dimension(name=name, kind="choice", choices=choices, when=when)


def _range(name: str, value: Values, hint: object, *, when: Conditions, where: str) -> Dimension:
    is_int, is_float = hint in (int, int | None), hint in (float, float | None)
    if not is_int and not is_float:
        raise ConfigError(f"{where}: {quoted(name)} is not a number, so it takes `choices`, not a range")
    kind = value.get("type", "int" if is_int else "float")
    if kind not in ("int", "float") or (kind == "float" and is_int):
        right = "a whole number: int" if is_int else "a number: float or int"
        raise ConfigError(f"{where}: type {quoted(kind)} does not fit; {quoted(name)} is {right}")
    for bound in ("low", "high"):
        if bound not in value:
            raise ConfigError(f"{where}: missing key {bound!r}")
    number: type[int] | type[float] = int if kind == "int" else float
    low, high = (coerce(number, value[bound], f"{where}.{bound}") for bound in ("low", "high"))
    step = coerce(number, value["step"], f"{where}.step") if value.get("step") is not None else None
    log = coerce(bool, value.get("log", False), f"{where}.log")
    if low >= high:
        raise ConfigError(f"{where}: low {quoted(low)} must be less than high {quoted(high)}")
    if log and (low <= 0 or step is not None):
        raise ConfigError(f"{where}: a log range needs low > 0 (is {quoted(low)}) and no step (is {quoted(step)})")
    if step is not None and not 0 < step <= high - low:
        raise ConfigError(f"{where}: step {quoted(step)} must be greater than 0 and at most high - low")
    return Dimension(name=name, kind=kind, low=low, high=high, log=log, step=step, when=when)


def _ordered(space: Mapping[str, Dimension], origin: Mapping[str, str]) -> tuple[Dimension, ...]:
    """Dimensions with every parent before its children; `origin` says where each stands."""
    ordered: list[Dimension] = []
    remaining = dict(space)
    while remaining:
        placed = {dimension.name for dimension in ordered}
        ready = [dimension for dimension in remaining.values() if set(dimension.when) <= placed]
        if not ready:
            name, dimension = next(iter(remaining.items()))
            missing = [parent for parent in dimension.when if parent not in placed]
            raise ConfigError(
                f"{origin[name]}: `when` names {', '.join(missing)}, which this arm must search too, and not in a "
                f"circle; {nearest(missing[0], set(space) - {name})}"
            )
        for dimension in ready:
            for parent, values in dimension.when.items():
                if not any(space[parent].contains(v) for v in values):
                    raise ConfigError(
                        f"{origin[dimension.name]}: `when` can never hold: {parent} is never one of "
                        f"{quoted(list(values))} (it is {space[parent]})"
                    )
        ordered += ready
        for dimension in ready:
            del remaining[dimension.name]
    return tuple(ordered)


def enqueued(settings: object, space: Sequence[Dimension], source: Source, path: tuple[str, ...]) -> list[JsonObject]:
    """The settings that an arm tries first, held against its space."""
    if not isinstance(settings, list):
        raise ConfigError(f"{source.at(*path, 'enqueue')}: expected a list of settings, got {quoted(settings)}")
    by_name = {dimension.name: dimension for dimension in space}
    result = []
    for index, setting in enumerate(settings):
        here = (*path, "enqueue", str(index))
        known_keys(setting, tuple(by_name), source, here)
        checked = {key: _setting(by_name[key], value, source.at(*here, key)) for key, value in setting.items()}
        for key in checked:
            parent = _excluding(key, checked, by_name)
            if parent is not None:
                raise ConfigError(
                    f"{source.at(*here, key)}: {quoted(key)} has no effect where {parent} is "
                    f"{quoted(checked[parent])}: it is not searched there"
                )
        result.append(checked)
    return result


def _excluding(name: str, setting: Values, by_name: Mapping[str, Dimension]) -> str | None:
    """The parameter whose value in `setting` makes `name` inactive, directly or through its own conditions."""
    for parent, values in by_name[name].when.items():
        if parent in setting and setting[parent] not in values:
            return parent
        further = _excluding(parent, setting, by_name)
        if further is not None:
            return further
    return None


def _setting(dimension: Dimension, value: object, where: str) -> object:
    """One enqueued value in the dimension's own type."""
    numbers = {"int": int, "float": float}
    of_choices = {type(choice) for choice in dimension.choices}
    kind = numbers.get(dimension.kind) or (of_choices.pop() if len(of_choices) == 1 else None)
    if isinstance(value, str) and kind in (int, float):
        value = coerce(kind, value, where)  # raises: 1e-4 is text to YAML
    if not dimension.contains(value):
        raise ConfigError(f"{where}: {quoted(value)} lies outside the space: {dimension}")
    if dimension.kind == "choice":
        return dimension.choices[dimension.choices.index(value)]
    return numbers[dimension.kind](value)
