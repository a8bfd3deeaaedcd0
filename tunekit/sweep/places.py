"""Two arms may not read different places under one name: their trials would be taken for each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from tunekit.errors import ConfigError, quoted
from tunekit.schema import canonical_json
from tunekit.sweep.source import Source
from tunekit.sweep.types import Arm

_DATA = ("data_dir", "files", "fewshot_dir", "parallel_dir")
_CURES = {
    "backbone": "give one of them a name of its own: backbone: {name: ANOTHER, path: FOLDER}",
    "data": "give the data of one of them a name: task: {data_name: ANOTHER, ...}",
    "own data": "give one of them a name of its own: task: {name: ANOTHER, ...}",
}


def require_distinct_names(arms: Sequence[Arm], source: Source) -> None:
    """Refuse arms whose trials would have one name although they read different places.

    Raises:
        ConfigError: names both arms, both places, and what to write.
    """
    for one, other in combinations(arms, 2):
        if canonical_json([one.method, one.task]) != canonical_json([other.method, other.task]):
            continue
        if (one.backbone.name, one.backbone.revision) != (other.backbone.name, other.backbone.revision):
            continue
        for key, first, second in _differences(one, other):
            where = source.at("arms", other.name.partition("@")[0])
            cure = _CURES["backbone" if key == "backbone_path" else "data" if one.task.kind is None else "own data"]
            raise ConfigError(
                f"{where}: arms {one.name!r} and {other.name!r} read different places under one name "
                f"({key}: {quoted(first)} and {quoted(second)}), so their trials could not be told apart; {cure}"
            )


def _differences(one: Arm, other: Arm) -> Iterator[tuple[str, object, object]]:
    for key in ("backbone_path", *_DATA):
        first, second = getattr(one.locations, key), getattr(other.locations, key)
        if canonical_json(first) != canonical_json(second):
            yield key, first, second
