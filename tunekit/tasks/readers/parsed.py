"""What a reader gives: the examples, their lines, and what it left out or decided while it read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunekit.tasks.examples import Example


@dataclass(frozen=True)
class ReadingNotes:
    """How one split in one language was read, for a person who checks that it was understood."""

    place: str
    """The file, or the data set and its split."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many of what was not taken, such as ``{"comment lines": 3, "document marks": 1}``."""
    notes: tuple[str, ...] = ()
    """What was decided, such as ``columns: word 1, label 4 of 4, separated by blanks``; columns count from 1."""


@dataclass
class Parsed:
    """What a file or a data set holds; ``lines[i][w]`` is the 1-based line of word `w` of example `i`."""

    examples: list[Example] = field(default_factory=list)
    lines: list[Sequence[int]] = field(default_factory=list)
    """Empty where examples have no lines (a data set of the hub)."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many of what was not taken."""
    notes: list[str] = field(default_factory=list)
    """What was decided, in sentences for a person."""

    def reading(self, place: str) -> ReadingNotes:
        """The notes alone, without examples and lines."""
        return ReadingNotes(place, dict(self.left_out), tuple(self.notes))
