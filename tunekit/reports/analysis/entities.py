"""Entities of many sentences at once, and what became of each: right, or wrong in which way.

Entities are those of `tunekit.tasks.schemes.Tags.spans`, which conlleval and seqeval count, found with arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from tunekit.reports.analysis.kept import Asked, Bools, Ints
from tunekit.tasks.schemes import Style, Tags

OUTCOMES = ("right", "type", "border", "both", "alone")
"""What an entity is beside those of the other side: the same words and type; the same words and another type; some of
the words and the same type; some of the words and another type; no common word."""
RIGHT, TYPE, BORDER, BOTH, ALONE = range(5)
NONE = -1
"""The type of a word outside of every entity."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inventory:
    """What labels mean, by their numbers."""

    types: tuple[str, ...]
    type_of: Ints
    """By label: a place in `types`, or `NONE`."""
    opens: Bools
    """By label: whether its mark says that an entity begins here."""
    closes: Bools
    """By label: whether it says that one ends here."""

    @classmethod
    def of(cls, labels: Sequence[str], style: str) -> Inventory:
        """Of labels that are written in a style (`tunekit.tasks.schemes.Style`).

        Raises:
            ValueError: a label is no tag of this style.
        """
        tags = Tags(cast(Style, style))
        read = [tags.read(label) for label in labels]
        types = tuple(sorted({tag[1] for tag in read if tag is not None}))
        return cls(
            types=types,
            type_of=np.array([NONE if tag is None else types.index(tag[1]) for tag in read], dtype=np.int64),
            opens=np.array([tag is not None and tag[0] in "BS" for tag in read], dtype=bool),
            closes=np.array([tag is not None and tag[0] in "ES" for tag in read], dtype=bool),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Entities:
    """The entities that labels of all words of a language mean."""

    starts: Ints
    """First word of each, [entities]."""
    ends: Ints
    """The word after the last, [entities]."""
    word_types: Ints
    """The type of each word, [words]."""

    @classmethod
    def of(cls, labels: Ints, asked: Asked, inventory: Inventory) -> Entities:
        """Those that `labels`, one for each word of the examples asked, mean."""
        types = inventory.type_of[labels]
        first = np.zeros(len(labels) + 1, dtype=bool)  # one more: after the last word a sentence would begin
        first[asked.starts] = True
        first[-1] = True
        before = np.concatenate([[NONE], types[:-1]])
        closed = np.concatenate([[False], inventory.closes[labels][:-1]])
        begins = (types != NONE) & (first[:-1] | (types != before) | inventory.opens[labels] | closed)
        after = np.concatenate([types[1:], [NONE]])
        begins_after = np.concatenate([begins[1:], [True]])
        ends = (types != NONE) & (first[1:] | (after == NONE) | begins_after)
        return cls(starts=np.flatnonzero(begins), ends=np.flatnonzero(ends) + 1, word_types=types)

    @cached_property
    def types(self) -> Ints:
        """Of each entity, [entities]."""
        return self.word_types[self.starts]

    @cached_property
    def end_of(self) -> Ints:
        """For each word that an entity begins at, where that one ends; else 0."""
        found = np.zeros(len(self.word_types), dtype=np.int64)
        found[self.starts] = self.ends
        return found

    def outcomes(self, other: Entities) -> Ints:
        """What each entity is beside those of `other`, which are of the same words: places in `OUTCOMES`."""
        is_same_span = other.end_of[self.starts] == self.ends
        is_same_type = other.word_types[self.starts] == self.types
        touches = self._any(other.word_types != NONE)
        touches_type = self._any((other.word_types == self.word_types) & (self.word_types != NONE))
        found = np.full(len(self.starts), ALONE, dtype=np.int64)
        found[touches] = BOTH
        found[touches_type] = BORDER
        found[is_same_span] = TYPE
        found[is_same_span & is_same_type] = RIGHT
        return found

    def _any(self, of_words: Bools) -> Bools:
        """Whether it holds of a word, for each entity."""
        total = np.concatenate([[0], np.cumsum(of_words)])
        return total[self.ends] > total[self.starts]
