"""The points of a finite space that one arm has drawn, and one that it has not.

A space of few points is used up without repeating any. The choice depends on what was drawn before and on a seed.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

from tunekit.schema import JsonObject, Values
from tunekit.sweep import Arm

MOST_LISTED = 10_000
"""Points of a space that are all looked at; in a larger one some are tried at random, which rarely takes long."""
NUM_TRIES = 1000


class DrawnPoints:
    """What has been drawn for an arm, if its space is finite; where it is not, nothing counts as drawn before.

    Args:
        arm: whose space.
    """

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._places: set[object] = set()

    def add(self, params: Values) -> None:
        """Note a point."""
        if not math.isinf(self._arm.size):
            self._places.add(self._arm.place(params))

    def has(self, params: Values) -> bool:
        """Whether the same point was drawn before."""
        return bool(self._places) and self._arm.place(params) in self._places

    def unused(self, generator: random.Random, setting: Values) -> JsonObject | None:
        """A point that was not drawn; one that agrees with `setting`, if there is one. None if all are used up."""
        if self._arm.size <= MOST_LISTED:
            found = [point for point in self._arm.grid() if not self.has(point)]
            fitting = [point for point in found if agrees(point, setting)] or found
            return generator.choice(fitting) if fitting else None
        tried = (self._at_random(generator, setting) for _ in range(NUM_TRIES))
        # The first ones in order: no more than were drawn can be drawn ones.
        listed: Iterator[JsonObject] = itertools.islice(self._arm.grid(), len(self._places) + 1)
        return next((point for point in itertools.chain(tried, listed) if not self.has(point)), None)

    def _at_random(self, generator: random.Random, setting: Values) -> JsonObject:
        params: JsonObject = {}
        for dimension in self._arm.space:
            if dimension.is_active(params):
                value = dimension.value_at(generator.randrange(int(dimension.size)))
                params[dimension.name] = setting.get(dimension.name, value)
        return params


def agrees(point: Values, setting: Values) -> bool:
    """Whether a point has the values of a setting."""
    return all(point.get(key) == value for key, value in setting.items())
