"""How a tokenizer writes the words of a split: how long examples become, and which words it has no tokens for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from tunekit.segmentation import Granularity
from tunekit.tasks import Example, PairExample, TokenExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tunekit.methods.parts.text_tokenizer import Tokenizer

SAMPLE = 500
"""Examples of a split that are really tokenized, evenly spaced; the longest one comes on top."""
NUM_SHOWN = 5
"""Words that show what a tokenizer cannot spell."""


@dataclass(frozen=True)
class Limit:
    """What a row of an arm holds."""

    max_length: int
    """Tokens, special ones included."""
    text_room: int | None = None
    """Tokens of text, where a template takes a part; None: all but the special ones."""


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """A split in one language as a tokenizer writes it."""

    unit: str
    """What lengths count: ``tokens``, special ones included, or ``words`` where there is no tokenizer."""
    num_measured: int
    """Examples that lengths were taken from."""
    median: int
    p99: int
    """99 of 100 examples are no longer than this."""
    longest: int
    """Of the whole split, as far as its longest text tells."""
    num_spelled: int = 0
    """Words of sentences, or tokens of pairs, whose spelling was looked at."""
    num_unknown: int = 0
    """Those of them that the tokenizer has no tokens for."""
    granularity: Granularity | None = None
    """Of the examples that lengths were taken from; None where there is no tokenizer."""
    unknown: tuple[str, ...] = ()
    """The most frequent of these."""
    beyond: Mapping[Limit, float] = field(default_factory=dict)
    """By what a row holds, the share of the words (of pairs: of the tokens) that one row has no room for."""

    @property
    def unknown_share(self) -> float:
        """Of the words, or tokens, that were looked at."""
        return self.num_unknown / self.num_spelled if self.num_spelled else 0.0


class Speller:
    """Measures splits with one tokenizer; each word is spelled once.

    Args:
        tokenizer: a fast one; None measures words.
        kind: ``token`` or ``pair``.
        limits: what rows hold.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None, kind: str, limits: Sequence[Limit]) -> None:
        self._limits = limits
        self._known: dict[tuple[str, float], tuple[int, bool]] = {}
        self._tokenizer = cast("Tokenizer | None", tokenizer)
        if tokenizer is not None:
            from tunekit.methods.parts.text_tokenizer import TextTokenizer

            self._text = TextTokenizer(self._tokenizer)
            self._unknown_id = tokenizer.unk_token_id
            special = self._text.special_tokens if kind == "token" else self._text.pair_special_tokens
            self._num_special = special.size

    def measure(self, examples: Sequence[Example], split: float = 0.0) -> Spelling:
        """Lengths and unknown words of a split, at least one example.

        Args:
            examples: all of the split.
            split: how likely a piece is split further.
        """
        from tunekit.methods.parts.granularity import granularity

        if self._tokenizer is None:
            counts = sorted(len(words_of(example)) for example in examples)
            median, p99, longest = _lengths(counts)
            return Spelling(unit="words", num_measured=len(counts), median=median, p99=p99, longest=longest)
        step = max(1, len(examples) // SAMPLE)
        sample = examples[::step][:SAMPLE]
        sizes = self._sizes(sample, split)
        median, p99, longest = _lengths(sorted(map(sum, sizes)))
        (largest,) = self._sizes([max(examples, key=_size)], split)
        unknown = self._unknown(sample, split)
        return Spelling(
            unit="tokens",
            num_measured=len(sample),
            median=median + self._num_special,
            p99=p99 + self._num_special,
            longest=max(longest, sum(largest)) + self._num_special,
            num_spelled=sum(map(len, sizes)),
            num_unknown=unknown.total(),
            granularity=granularity(sample, self._tokenizer, split),
            unknown=tuple(word for word, _ in unknown.most_common(NUM_SHOWN)),
            beyond={limit: _beyond(sizes, self.tokens_of(limit) - self._num_special) for limit in self._limits},
        )

    def tokens_of(self, limit: Limit) -> int:
        """The longest text, special tokens included, that a row holds."""
        if limit.text_room is None or self._tokenizer is None:
            return limit.max_length
        return limit.text_room + self._num_special

    def _unknown(self, examples: Sequence[Example], split: float) -> Counter[str]:
        """What has no tokens: words of sentences, pieces of other texts, which may be written without spaces."""
        if isinstance(examples[0], TokenExample):
            sentences = cast("Sequence[TokenExample]", examples)
            return Counter(word for e in sentences for word in e.words if self._known[word, split][1])
        pairs = cast("Sequence[PairExample]", examples)
        texts = [text for pair in pairs for text in (pair.text_a, pair.text_b)]
        found = zip(texts, self._text.tokens(texts), strict=True)
        return Counter(piece for text, ids in found if self._unknown_id in ids for piece in self._text.unknown_in(text))

    def _sizes(self, examples: Sequence[Example], split: float) -> list[list[int]]:
        """Tokens of each word of a sentence; of a pair, ones for each of its tokens."""
        if isinstance(examples[0], PairExample):
            pairs = cast("Sequence[PairExample]", examples)
            tokens = self._text.tokens([text for pair in pairs for text in (pair.text_a, pair.text_b)], split=split)
            return [[1] * (len(a) + len(b)) for a, b in zip(tokens[::2], tokens[1::2], strict=True)]
        self._spell({word for example in examples for word in words_of(example)}, split)
        return [[self._known[word, split][0] for word in words_of(example)] for example in examples]

    def _spell(self, words: set[str], split: float) -> None:
        new = sorted(word for word in words if (word, split) not in self._known)
        if not new:
            return
        space = " " if self._text.needs_space else ""
        for word, tokens in zip(new, self._text.tokens([space + word for word in new], split=split), strict=True):
            self._known[word, split] = (max(1, len(tokens)), not tokens or self._unknown_id in tokens)


def words_of(example: Example) -> Sequence[str]:
    """The words of a sentence, or of both texts of a pair between white space."""
    if isinstance(example, TokenExample):
        return example.words
    return [*example.text_a.split(), *example.text_b.split()]


def _size(example: Example) -> int:
    """Characters."""
    if isinstance(example, TokenExample):
        return sum(map(len, example.words))
    return len(example.text_a) + len(example.text_b)


def _lengths(counts: Sequence[int]) -> tuple[int, int, int]:
    """The median, the 99th percentile and the most of sorted counts."""
    last = len(counts) - 1
    return counts[last // 2], counts[math.ceil(0.99 * last)], counts[-1]


def _beyond(sizes: Sequence[Sequence[int]], room: int) -> float:
    """The share of parts that do not fit into the first `room` tokens of their example."""
    beyond = number = 0
    for parts in sizes:
        number += len(parts)
        if sum(parts) <= room:
            continue
        end = 0
        for size in parts:
            end += size
            beyond += end > room
    return beyond / number if number else 0.0
