"""What the tables of a comparison, and the columns of its arms, are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunekit.reports.results import ArmResult, Comparison


def title_of(comparison: Comparison) -> str:
    """For people: ``udpos from en``."""
    return f"{comparison.task} from {comparison.source}"


def key_of(comparison: Comparison) -> str:
    """For files: ``udpos_en``."""
    return _word(f"{comparison.task}_{comparison.source}")


def keys_of(arms: Sequence[ArmResult]) -> list[str]:
    """A different word for each arm, made of its name."""
    found: list[str] = []
    for arm in arms:
        word = _word(arm.name)
        while word in found:
            word += "_"
        found.append(word)
    return found


def _word(text: str) -> str:
    return re.sub(r"\W+", "_", text.lower()).strip("_") or "arm"
