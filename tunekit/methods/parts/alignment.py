"""Rows of parallel text: some drawn at random while a method trains, others held out to see what it has learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

import torch

from tunekit.errors import ConfigError, DataError
from tunekit.methods.batch import Feature, groups_of
from tunekit.tasks import Example, PairExample, ParallelPair, TokenExample
from tunekit.tasks.sampling import by_size

__all__ = ["Alignment", "Rows", "Sides", "divided", "groups"]

Rows = tuple[Feature, ...]
"""What is asked about one text: one row for a pair of texts, some words of a sentence."""
Sides = tuple[list[Rows], list[Rows]]
"""The same texts in the source language and in another."""
HELDOUT_SHARE = 10
"""Where nothing else is said at most a 10th of a corpus is held out ..."""
MOST_HELDOUT = 32
"""... and at most 32 pairs of each language."""


LEAST_WORDS = 4
"""A language separates its words if it has at least a 4th as many as the source language."""


class Encode(Protocol):
    """``Method.encode_all``."""

    def __call__(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]: ...


class Alignment:
    """Texts in the source language and another, without labels; rows are made when they are first asked for.

    In a task of pairs both texts of a parallel pair are asked about together. In tagging each of them is a sentence of
    its own, whose words are what white space separates.

    Args:
        pairs: by target language; those that are drawn.
        kind: of the task.
        label: any of the task's; it is never read.
        num_words: words of a sentence that are asked about, evenly spread over it.
        heldout: by target language; those that are not drawn.

    Raises:
        ConfigError: tagging, and a language does not separate its words.
    """

    def __init__(
        self,
        pairs: Mapping[str, Sequence[ParallelPair]],
        *,
        kind: str,
        label: str,
        num_words: int,
        heldout: Mapping[str, Sequence[ParallelPair]],
    ) -> None:
        self._kind, self._label, self._num_words = kind, label, num_words
        self._pairs = pairs
        self.heldout = {language: self._texts(found) for language, found in heldout.items() if found}
        self._rows: dict[tuple[str | None, Example], Rows] = {}
        if kind == "token":
            for language in pairs:
                _require_spaces(language, [texts for name, texts in self.drawn if name == language])

    @cached_property
    def drawn(self) -> list[tuple[str, tuple[Example, Example]]]:
        """(language, (source, target)) of each text that may be drawn; made when first asked for, as it takes long."""
        return [(language, both) for language, found in self._pairs.items() for both in self._texts(found)]

    def draw(self, count: int, encode: Encode) -> Sides:
        """`count` texts, drawn uniformly with replacement by torch's CPU generator."""
        drawn = [self.drawn[index] for index in torch.randint(len(self.drawn), (count,)).tolist()]
        source = self._encoded([(None, mine) for _, (mine, _) in drawn], encode)
        return source, self._encoded([(language, theirs) for language, (_, theirs) in drawn], encode)

    def heldout_sides(self, language: str, encode: Encode) -> Sides:
        """The texts that are held out in `language`, in their order."""
        texts = self.heldout[language]
        source = self._encoded([(None, mine) for mine, _ in texts], encode)
        return source, self._encoded([(language, theirs) for _, theirs in texts], encode)

    @property
    def rows_per_text(self) -> int:
        """Rows that a text has, at most."""
        return 1 if self._kind == "pair" else self._num_words

    @property
    def num_heldout_rows(self) -> int:
        """Rows of all texts that are held out, at most, those of the source counted once."""
        sources = {mine for texts in self.heldout.values() for mine, _ in texts}
        return self.rows_per_text * (len(sources) + sum(map(len, self.heldout.values())))

    def _texts(self, pairs: Sequence[ParallelPair]) -> list[tuple[Example, Example]]:
        if self._kind == "pair":
            return [(PairExample(*p.source, self._label), PairExample(*p.target, self._label)) for p in pairs]
        both = [texts for pair in pairs for texts in zip(pair.source, pair.target, strict=True)]
        return [(self._sentence(mine), self._sentence(theirs)) for mine, theirs in both]

    def _sentence(self, text: str) -> TokenExample:
        words = tuple(text.split())
        return TokenExample(words, (self._label,) * len(words))

    def _encoded(self, texts: Sequence[tuple[str | None, Example]], encode: Encode) -> list[Rows]:
        missing: dict[str | None, list[Example]] = {}
        for language, text in dict.fromkeys(texts):
            if (language, text) not in self._rows:
                missing.setdefault(language, []).append(text)
        for language, new in missing.items():
            found = zip(new, encode(new, language=language), strict=True)
            self._rows.update({(language, text): _spread(rows, self.rows_per_text) for text, rows in found})
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
        seed: the task's `learning_seed`.

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


def groups(sides: Sides, *, max_tokens: int) -> Iterator[Sides]:
    """The texts in their order, cut so that both sides together have at most `max_tokens` when padded.

    A text that alone exceeds them is a group of its own.
    """
    source, target = sides
    both = [(*mine, *theirs) for mine, theirs in zip(source, target, strict=True)]
    for chosen in groups_of(both, max_tokens=max_tokens):
        yield [source[text] for text in chosen], [target[text] for text in chosen]


def _usual_heldout(num_pairs: int, size: int | None) -> int:
    left = num_pairs if size is None else max(0, num_pairs - size)
    return min(MOST_HELDOUT, num_pairs // HELDOUT_SHARE, left)


def _require_spaces(language: str, texts: Sequence[tuple[Example, Example]]) -> None:
    """Raise a ConfigError where white space does not separate the words of a language."""
    mine, theirs = (sum(_num_words(both[side]) for both in texts) for side in (0, 1))
    if theirs * LEAST_WORDS < mine:
        raise ConfigError(
            f"alignment_languages: the parallel text in {language!r} has {theirs} words between white space for {mine} "
            "in the source language, so its words cannot be asked about; name the languages that separate words"
        )


def _num_words(example: Example) -> int:
    return len(example.words) if isinstance(example, TokenExample) else 0


def _spread(rows: Rows, number: int) -> Rows:
    """At most `number` of the rows, evenly spread, the first among them."""
    return rows if len(rows) <= number else tuple(rows[len(rows) * place // number] for place in range(number))
