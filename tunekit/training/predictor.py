"""Rows that are to be predicted, and from their labels to one prediction for each example. Knows no gold labels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tunekit.methods import Feature, Method
from tunekit.tasks import Example
from tunekit.training.loaded import TokenizedSplit
from tunekit.training.predictions import Prediction


@dataclass
class Asked:
    """A split in one language, on its way to predictions."""

    number: int
    """Of who asks."""
    language: str
    tokenized: TokenizedSplit
    labels: dict[int, list[int]] = field(default_factory=dict)
    """By row, the ids of the labels that were predicted for it."""

    @property
    def distinct(self) -> list[int]:
        """The rows to compute: of equal questions, such as repeated words, the first."""
        return sorted(set(self._first_rows))

    def decoded(self, method: Method, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction for each example: a pair's label, or a label for each word of a sentence."""
        rows, first = self.tokenized.rows, self._first_rows
        return [
            method.decode(example, [(rows[row], self.labels[first[row]]) for row in span])
            for example, span in zip(examples, self.tokenized.spans, strict=True)
        ]

    @cached_property
    def _first_rows(self) -> list[int]:
        return _first_rows(self.tokenized.rows)


def _first_rows(rows: Sequence[Feature]) -> list[int]:
    """For each row the first one that asks the same question."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(row.question, index) for index, row in enumerate(rows)]
