"""The two shapes of an example, and where examples come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Kind = Literal["token", "pair"]


@dataclass(frozen=True, slots=True)
class PairExample:
    """Two texts and one label; the texts are kept as they were written."""

    text_a: str
    text_b: str
    label: str


@dataclass(frozen=True, slots=True)
class TokenExample:
    """A sentence of at least one word, with one label for each word."""

    words: tuple[str, ...]
    labels: tuple[str, ...]


Example = PairExample | TokenExample

Reader = Callable[[Split, str], Sequence[Example]]
"""``(split, language) -> examples``: everything there is, in file order, before any sampling."""
Languages = Callable[[Split], Sequence[str] | None]
"""``(split) -> languages`` that have it, without reading their examples; None if only reading tells."""


def labels_of(example: Example) -> tuple[str, ...]:
    """Every label of an example: one for a pair, one for each word of a sentence."""
    return (example.label,) if isinstance(example, PairExample) else example.labels


def contents(example: Example) -> list[object]:
    """The example as a row for JSON: two texts and the label, or words and labels."""
    if isinstance(example, PairExample):
        return [example.text_a, example.text_b, example.label]
    return [example.words, example.labels]
