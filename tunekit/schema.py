"""Strict building of dataclasses from parsed YAML or JSON, and one spelling of a value as JSON."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

from tunekit.errors import MOST, ConfigError, nearest, quoted

Values = Mapping[str, Any]
"""Keys and values as YAML or JSON holds them."""

JsonObject = dict[str, Any]
"""The same, made here and open to change."""

T = TypeVar("T")
V = TypeVar("V")


class FrozenMapping(Mapping[str, V]):
    """A mapping that cannot change: hashable if its values are, in the order of its keys.

    >>> FrozenMapping({"b": 1, "a": 2}) == {"a": 2, "b": 1}
    True
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, V]) -> None:
        self._values = {key: values[key] for key in sorted(values)}

    def __getitem__(self, key: str) -> V:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)


def to_json(value: object) -> Any:
    """Dataclasses, mappings and tuples as plain JSON values."""
    kind = type(value)
    if kind in _PLAIN:  # most values are; a driver asks thousands of times for each trial
        return value
    if dataclasses.is_dataclass(kind):
        return {name: to_json(getattr(value, name)) for name in _field_names(kind)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


_PLAIN = frozenset((str, int, float, bool, type(None)))


@functools.cache
def _field_names(cls: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(cls))


def canonical_json(value: object) -> str:
    """One spelling for one value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def build(cls: type[T], values: object, where: str) -> T:
    """Make the dataclass `cls` from parsed YAML or JSON, strictly.

    Args:
        cls: a dataclass whose fields are scalars, Literals, optionals, tuples of scalars, mappings or dataclasses.
        values: its fields by name.
        where: how messages name the place, such as ``sweep.yaml: task``.

    Raises:
        ConfigError: an unknown or missing key, a value of the wrong type, or a range that the class refuses.
    """
    hints = type_hints(cls)  # type: ignore[arg-type]
    fields = _required(cls)  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected keys and values, got {quoted(values)}")
    for key in values:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {quoted(key)}; {nearest(str(key), fields)}")
    for name, is_required in fields.items():
        if is_required and name not in values:
            raise ConfigError(f"{where}: missing key {name!r}")
    try:
        return cls(**{key: coerce(hints[key], value, f"{where}: {key}") for key, value in values.items()})
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(where) else f"{where}: {text}") from None


@functools.cache
def type_hints(cls: type) -> Mapping[str, object]:
    """Types of a dataclass's fields by name, those that stand as text resolved."""
    return typing.get_type_hints(cls)


@functools.cache
def _required(cls: type) -> Mapping[str, bool]:
    """The fields of a dataclass by name: whether each must be given."""
    missing = dataclasses.MISSING
    return {f.name: f.default is missing and f.default_factory is missing for f in dataclasses.fields(cls)}


def coerce(hint: object, value: object, where: str) -> Any:
    """`value` as the type `hint`, or a ConfigError that explains YAML's traps (``1e-4`` is text, ``no`` is False)."""
    if type(value) is hint and hint in _SCALARS and hint is not float:
        return value
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint) if origin is not None else ()
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _one_of([a for a in arguments if a is not type(None)], value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool) != any(isinstance(a, bool) for a in arguments):
            options = nearest(str(value) if isinstance(value, str) else "", map(str, arguments))
            hint = f"; {_QUOTES}" if isinstance(value, bool) else ""
            raise ConfigError(f"{where}: {quoted(value)} is not a valid choice; {options}{hint}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: expected a list, got {quoted(value)}")
        return tuple(coerce(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected keys and values, got {quoted(value)}")
        keys = {coerce(arguments[0], key, f"{where}: key {quoted(key)}"): key for key in value}
        return {key: coerce(arguments[1], value[found], f"{where}: {key}") for key, found in keys.items()}
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else build(typing.cast(type, hint), value, where)
    if hint in _SCALARS:
        return _scalar(hint, value, where)
    return value


_QUOTES = "YAML reads no, off, yes and on as true or false: put the word in quotes"
_SCALARS = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


def _one_of(kinds: list[Any], value: object, where: str) -> object:
    """`value` as the mapping among several types, or as one of the scalars; other types are not told apart here."""
    is_mapping = isinstance(value, Mapping)
    fitting = [kind for kind in kinds if (typing.get_origin(kind) is Mapping) == is_mapping] or kinds
    if len(fitting) == 1:
        return coerce(fitting[0], value, where)
    return _one_scalar(fitting, value, where)


def _one_scalar(kinds: list[Any], value: object, where: str) -> object:
    if type(value) in kinds or any(kind not in _SCALARS for kind in kinds):
        return value
    if isinstance(value, bool) and str in kinds:
        return _scalar(str, value, where)
    raise ConfigError(f"{where}: expected {' or '.join(_SCALARS[kind] for kind in kinds)}, got {value!r}")


def _scalar(kind: type, value: object, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{where}: {quoted(value)} is too large for a number") from None
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: {value!r} is not a finite number")
    if type(value) is kind:
        return value
    message = f"{where}: expected {_SCALARS[kind]}, got {quoted(value)} ({type(value).__name__})"
    if isinstance(value, str) and kind in (float, int) and (right := _as_yaml_number(value, kind)) is not None:
        wrong = f"YAML reads {value} as text: write {right}" if right != value else "drop the quotes"
        raise ConfigError(f"{message}; {wrong}")
    if kind is str and isinstance(value, bool):
        raise ConfigError(f"{message}; {_QUOTES}")
    if kind is str and value is None:
        raise ConfigError(f"{message}; YAML reads null, ~ and nothing at all as no value: put the word in quotes")
    if kind is str and isinstance(value, (int, float)):
        raise ConfigError(f"{message}; put it in quotes if it is a name")
    raise ConfigError(message)


def _as_yaml_number(text: str, kind: type) -> str | None:
    """How to write the number that `text` looks like; None if it looks like none."""
    if len(text) > MOST:
        return None
    try:
        number = float(text)
    except ValueError:
        return _in_decimal(text)
    if not math.isfinite(number):
        return None
    if kind is int or "_" in text:
        return str(int(number)) if number.is_integer() else "a whole number" if kind is int else repr(number)
    mantissa, _, exponent = f"{number:.15e}".partition("e")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa + '0' if mantissa.endswith('.') else mantissa}e{int(exponent):+d}"


def _in_decimal(text: str) -> str | None:
    """A number in another base, such as ``0o10``, in decimal."""
    try:
        return str(int(text, 0))
    except ValueError:
        return None
