"""The extreme settings of an arm's space: what works at all of them works in between."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

from tunekit.schema import canonical_json
from tunekit.sweep import Arm, Dimension

MAX_CORNERS = 256
"""More corners than this are thinned out to one parameter at its extreme at a time."""


def corner_params(arm: Arm) -> Iterator[dict[str, object]]:
    """Params at the extremes of the space: all combinations, or one extreme at a time where these are too many."""
    values = {d.name: _extremes(d) for d in arm.space if d.name != "seed"}
    dimensions = [d for d in arm.space if d.name in values]
    if math.prod(map(len, values.values())) <= MAX_CORNERS:
        settings: Iterable[Mapping[str, object]] = (
            dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())
        )
    else:
        low, high = ({name: found[at] for name, found in values.items()} for at in (0, -1))
        singles = ({**low, name: value} for name, found in values.items() for value in found)
        settings = itertools.chain([low, high], singles)
    seen = set()
    for setting in settings:
        params: dict[str, object] = {}
        for dimension in dimensions:
            if dimension.is_active(params):
                params[dimension.name] = setting[dimension.name]
        key = canonical_json(params)
        if key not in seen:
            seen.add(key)
            yield params


def _extremes(dimension: Dimension) -> tuple[object, ...]:
    ends = dimension.corners()
    numbers = [end for end in ends if isinstance(end, (int, float)) and not isinstance(end, bool)]
    return tuple(dict.fromkeys((min(numbers), max(numbers)))) if len(numbers) == len(ends) else ends
