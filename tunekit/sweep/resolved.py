"""A whole Sweep as JSON, all defaults filled in: what a journal keeps and a report reads, without any method's code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tunekit.schema import build, to_json
from tunekit.sweep.source import Source
from tunekit.sweep.types import Sweep


def resolved(sweep: Sweep) -> dict[str, object]:
    """Everything of `sweep` but the file's own content (`Sweep.definition`), as plain JSON values."""
    names = [field.name for field in dataclasses.fields(sweep) if field.name not in ("definition", "source")]
    return {name: to_json(getattr(sweep, name)) for name in names}


def from_resolved(content: Mapping[str, object], definition: Mapping[str, object], where: str) -> Sweep:
    """The Sweep that `resolved` gave.

    Args:
        content: what `resolved` gave.
        definition: the file's content.
        where: how messages name the place.

    Raises:
        ConfigError: what is there is not a resolved sweep.
    """
    return build(Sweep, {**content, "definition": definition, "source": Source(where)}, where)
