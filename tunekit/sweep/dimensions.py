"""One searched parameter, the points of a space, and how many there are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from tunekit.errors import ConfigError
from tunekit.schema import JsonObject, Values, canonical_json

Conditions = Mapping[str, tuple[object, ...]]
"""Values that each named parameter must have."""
_OTHER = object()
"""Stands for all values of a parameter that no `when` names."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One searched parameter."""

    name: str
    kind: Literal["float", "int", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[object, ...] = ()
    when: Conditions = field(default_factory=dict)
    """Only searched where each named parameter has one of the listed values."""

    def is_active(self, params: Values) -> bool:
        """Whether this dimension is searched, given the params drawn before it."""
        return all(name in params and params[name] in values for name, values in self.when.items())

    def contains(self, value: object) -> bool:
        """Whether `value` lies in the range or among the choices."""
        if self.kind == "choice":
            # True == 1 in Python, and not in a sweep file.
            return any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)) or self.low is None or self.high is None:
            return False
        steps = (value - self.low) / (self.step or 1)
        on_grid = (self.kind == "float" and self.step is None) or abs(steps - round(steps)) < 1e-8
        return self.low <= value <= self.high and on_grid

    def corners(self) -> tuple[object, ...]:
        """The extreme values (or all choices), for checking that a method accepts them."""
        return self.choices if self.kind == "choice" else (self.low, self.high)

    @property
    def size(self) -> float:
        """How many values it has; infinite for a float without `step`."""
        if self.kind == "choice":
            return len(self.choices)
        if self.kind == "float" and self.step is None:
            return math.inf
        low, high, step = self._in_decimal()
        return math.floor((high - low) / step) + 1

    def grid(self) -> Iterator[object]:
        """Every value, in order.

        Raises:
            ConfigError: a float without `step` has no finite grid.
        """
        if self.kind == "choice":
            yield from self.choices
            return
        if math.isinf(self.size):
            raise ConfigError(f"space.{self.name}: the grid searcher needs `choices` or a `step` for a float")
        for index in itertools.takewhile(lambda index: index < self.size, itertools.count()):
            yield self.value_at(index)

    def value_at(self, index: int) -> object:
        """The value at a place in the finite grid, from 0."""
        if self.kind == "choice":
            return self.choices[index]
        low, _, step = self._in_decimal()
        value = low + index * step
        return int(value) if self.kind == "int" else float(value)

    def _in_decimal(self) -> tuple[Decimal, Decimal, Decimal]:
        """`low`, `high` and `step` as written: 0.1 + 2 * 0.1 would be 0.30000000000000004, outside of 0.1 to 0.3."""
        low, high, step = (Decimal(repr(number)) for number in (self.low, self.high, self.step or 1))
        return low, high, step

    def place(self, value: object) -> object:
        """What is one and the same for all spellings of a value of a finite dimension.

        A float may have missed the decimal number of its step by the last digit.
        """
        if self.kind == "float" and self.step is not None and self.low is not None and isinstance(value, (int, float)):
            return round((value - self.low) / self.step)
        return canonical_json(value)

    def __str__(self) -> str:
        condition = " when " + ", ".join(f"{k} in {list(v)}" for k, v in self.when.items()) if self.when else ""
        if self.kind == "choice":
            return f"one of {', '.join(map(str, self.choices))}{condition}"
        marks = [self.kind, *(["log"] if self.log else []), *([f"step {self.step:g}"] if self.step else [])]
        return f"{self.low:g} to {self.high:g} ({', '.join(marks)}){condition}"


def points_of(space: Sequence[Dimension], params: JsonObject) -> Iterator[JsonObject]:
    """Every way to go on from `params` with the dimensions of `space`, in their order; inactive ones are left out.

    Raises:
        ConfigError: a float without `step` has no finite grid.
    """
    if not space:
        yield params
    elif not space[0].is_active(params):
        yield from points_of(space[1:], params)
    else:
        for value in space[0].grid():
            yield from points_of(space[1:], {**params, space[0].name: value})


def space_size(space: Sequence[Dimension]) -> float:
    """How many points `points_of` gives, without enumerating them; may be infinite."""
    return _Size(space).after(0, {})


class _Size:
    """Counts points: all values of a parameter that no `when` names are alike to those that come after it."""

    def __init__(self, space: Sequence[Dimension]) -> None:
        self._space = space
        self._known: dict[tuple[object, ...], float] = {}

    def after(self, index: int, params: Values) -> float:
        """Ways to go on from `params` with the dimensions from `index` on."""
        if index == len(self._space):
            return 1
        needed = {name for dimension in self._space[index:] for name in dimension.when}
        params = {name: value for name, value in params.items() if name in needed}
        spelt = ((name, None if value is _OTHER else canonical_json(value)) for name, value in params.items())
        key = (index, *spelt)
        if key not in self._known:
            self._known[key] = self._count(index, params)
        return self._known[key]

    def _count(self, index: int, params: Values) -> float:
        dimension = self._space[index]
        if not dimension.is_active(params):
            return self.after(index + 1, params)
        named: list[object] = []
        for later in self._space[index + 1 :]:
            for value in later.when.get(dimension.name, ()):
                if dimension.contains(value) and value not in named:
                    named.append(value)
        total: float = sum(self.after(index + 1, {**params, dimension.name: value}) for value in named)
        rest = dimension.size - len(named)
        return total + rest * self.after(index + 1, {**params, dimension.name: _OTHER}) if rest else total
