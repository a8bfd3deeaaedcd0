"""Rows of parallel text, drawn at random while a method trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from tunekit.methods.batch import Feature
from tunekit.tasks import Example, PairExample, ParallelPair

__all__ = ["Alignment"]


class Encode(Protocol):
    """``Method.encode_all``."""

    def __call__(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]: ...


class Alignment:
    """Pairs of texts in the source language and another, without labels; rows are tokenized when first drawn.

    Args:
        pairs: by target language.
        label: any of the task's; it is never read.
    """

    def __init__(self, pairs: Mapping[str, Sequence[ParallelPair]], *, label: str) -> None:
        self.pairs = [(language, pair) for language, found in pairs.items() for pair in found]
        self._label = label
        self._rows: dict[tuple[str | None, tuple[str, str]], Feature] = {}

    def draw(self, count: int, encode: Encode) -> tuple[list[Feature], list[Feature]]:
        """Source rows and target rows of `count` pairs, drawn uniformly with replacement by torch's CPU generator."""
        drawn = [self.pairs[index] for index in torch.randint(len(self.pairs), (count,)).tolist()]
        source = self._encoded([(None, pair.source) for _, pair in drawn], encode)
        return source, self._encoded([(language, pair.target) for language, pair in drawn], encode)

    def _encoded(self, texts: Sequence[tuple[str | None, tuple[str, str]]], encode: Encode) -> list[Feature]:
        missing: dict[str | None, list[tuple[str, str]]] = {}
        for language, text in dict.fromkeys(texts):
            if (language, text) not in self._rows:
                missing.setdefault(language, []).append(text)
        for language, new in missing.items():
            rows = encode([PairExample(a, b, self._label) for a, b in new], language=language)
            self._rows.update({(language, text): row for text, (row,) in zip(new, rows, strict=True)})
        return [self._rows[key] for key in texts]
