"""Rows of parallel text: some drawn at random while a method trains, others held out to see what it has learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch

from tunekit.errors import DataError
from tunekit.methods.batch import Feature
from tunekit.tasks import Example, PairExample, ParallelPair
from tunekit.tasks.sampling import by_size

__all__ = ["Alignment", "Sides", "divided", "groups"]

Sides = tuple[list[Feature], list[Feature]]
"""Source rows and target rows of the same pairs."""
HELDOUT_SHARE = 10
"""Where nothing else is said at most a 10th of a corpus is held out ..."""
MOST_HELDOUT = 32
"""... and at most 32 pairs of each language."""


class Encode(Protocol):
    """``Method.encode_all``."""

    def __call__(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]: ...


class Alignment:
    """Pairs of texts in the source language and another, without labels; rows are tokenized when first asked for.

    Args:
        pairs: by target language; those that are drawn.
        heldout: by target language; those that are not.
        label: any of the task's; it is never read.
    """

    def __init__(
        self,
        pairs: Mapping[str, Sequence[ParallelPair]],
        *,
        label: str,
        heldout: Mapping[str, Sequence[ParallelPair]] | None = None,
    ) -> None:
        self.pairs = [(language, pair) for language, found in pairs.items() for pair in found]
        self.heldout = {language: tuple(found) for language, found in (heldout or {}).items() if found}
        self._label = label
        self._rows: dict[tuple[str | None, tuple[str, str]], Feature] = {}

    def draw(self, count: int, encode: Encode) -> Sides:
        """Source rows and target rows of `count` pairs, drawn uniformly with replacement by torch's CPU generator."""
        drawn = [self.pairs[index] for index in torch.randint(len(self.pairs), (count,)).tolist()]
        source = self._encoded([(None, pair.source) for _, pair in drawn], encode)
        return source, self._encoded([(language, pair.target) for language, pair in drawn], encode)

    def heldout_rows(self, language: str, encode: Encode) -> Sides:
        """Source rows and target rows of the pairs that are held out in `language`, in their order."""
        pairs = self.heldout[language]
        source = self._encoded([(None, pair.source) for pair in pairs], encode)
        return source, self._encoded([(language, pair.target) for pair in pairs], encode)

    def _encoded(self, texts: Sequence[tuple[str | None, tuple[str, str]]], encode: Encode) -> list[Feature]:
        missing: dict[str | None, list[tuple[str, str]]] = {}
        for language, text in dict.fromkeys(texts):
            if (language, text) not in self._rows:
                missing.setdefault(language, []).append(text)
        for language, new in missing.items():
            rows = encode([PairExample(a, b, self._label) for a, b in new], language=language)
            self._rows.update({(language, text): row for text, (row,) in zip(new, rows, strict=True)})
        return [self._rows[key] for key in texts]


def divided(
    corpora: Mapping[str, Sequence[ParallelPair]], *, size: int | None, heldout: int | None, seed: int
) -> tuple[dict[str, tuple[ParallelPair, ...]], dict[str, tuple[ParallelPair, ...]]]:
    """What is drawn from and what is held out, by language. No text of the source is in both.

    Args:
        corpora: all pairs of each language.
        size: pairs of each language that are drawn from, a sample by `seed`; a smaller one is part of a larger one,
            and equally long corpora give the same rows in every language. None takes all that are not held out.
        heldout: pairs of each language that are held out, likewise; None is a 10th of the corpus, at most 32, and at
            most as many as `size` leaves.
        seed: the task's `sample_seed`.

    Raises:
        DataError: a corpus has fewer pairs than that.
    """
    kept = {
        language: by_size(
            pairs,
            _usual_heldout(len(pairs), size) if heldout is None else heldout,
            seed=seed,
            split="parallel/heldout",
        )
        for language, pairs in corpora.items()
    }
    sources = {pair.source for pairs in kept.values() for pair in pairs}
    drawn: dict[str, tuple[ParallelPair, ...]] = {}
    for language, pairs in corpora.items():
        left = [pair for pair in pairs if pair.source not in sources]
        wanted = max(1, len(left)) if size is None else size
        if wanted > len(left) or len(kept[language]) < (heldout or 0):
            raise DataError(
                f"the parallel text in {language!r} has {len(pairs)} pairs; {len(kept[language])} are held out "
                f"(alignment_heldout), which leaves {len(left)}, but {wanted} are wanted (alignment_size)"
            )
        drawn[language] = by_size(left, wanted, seed=seed, split="parallel")
    return drawn, kept


def _usual_heldout(num_pairs: int, size: int | None) -> int:
    left = num_pairs if size is None else max(0, num_pairs - size)
    return min(MOST_HELDOUT, num_pairs // HELDOUT_SHARE, left)


def groups(sides: Sides, *, max_tokens: int) -> Iterator[Sides]:
    """The pairs in their order, cut so that both sides together have at most `max_tokens` when padded.

    A pair that alone exceeds them is a group of its own.
    """
    source, target = sides
    start, width = 0, 0
    for index in range(len(source)):
        wider = max(width, source[index].length, target[index].length)
        if index > start and 2 * wider * (index + 1 - start) > max_tokens:
            yield source[start:index], target[start:index]
            start, wider = index, max(source[index].length, target[index].length)
        width = wider
    if source:
        yield source[start:], target[start:]
