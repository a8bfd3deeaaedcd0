"""From examples to tokenized rows: whole words, windows for long sentences, pairs cut to fit.

Words are tokenized each on its own, as ``is_split_into_words`` does, so a word has the same tokens wherever it stands.
A byte-level tokenizer (BLOOM's) sees every word with a space before it, also the first.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import cast

from tunekit.methods.batch import Feature, LabelIds
from tunekit.methods.parts.text_tokenizer import TextTokenizer, Tokenizer
from tunekit.tasks import Example, PairExample, TokenExample

OVERLAP = 4
"""Neighbouring windows share up to a 4th of their tokens, so a word has at least an 8th on either side."""


class RowEncoder:
    """Tokenizes examples of one kind for a head that reads certain tokens.

    Encoders read the first token of a pair's row, and of each word the token that `word_piece` says:
    ``first_text`` (the first that carries text, not a lone "▁"; the first if none does), ``first``, ``last`` or
    ``mean``. A causal model reads the last real token of a pair and the last token of each word, since it has seen
    nothing of what follows. The decoder of an encoder-decoder passes a token one position later, so there a word is
    read one position after its token, and a pair at its last, where transformers' classifiers read it.

    A pair takes the form that the tokenizer gives to pairs: ``<s> a </s></s> b </s>`` for XLM-R,
    ``[CLS] a [SEP] b [SEP]`` for BERT, ``</s> a </s></s> b`` for XGLM. A tokenizer without one (BLOOM's) gets
    ``a </s> b``, or a line feed where there is no end-of-text token.

    Args:
        tokenizer: fast; it may be None as long as nothing is encoded.
        kind: ``pair`` or ``token``.
        labels: the inventory; an id is a position in it.
        max_length: tokens per row, special ones included.
        word_piece: see above.
        is_causal: whether the backbone is.
        has_segments: whether the backbone takes ``token_type_ids`` other than zero.
        is_shifted: whether states stand one position after the token that led to them.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        *,
        kind: str,
        labels: Sequence[str],
        max_length: int,
        word_piece: str,
        is_causal: bool,
        has_segments: bool,
        is_shifted: bool = False,
    ) -> None:
        self._text = TextTokenizer(tokenizer)
        self._kind = kind
        self._label_ids = LabelIds(labels)
        self._max_length = max_length
        self._reading = "last" if is_causal else (word_piece if kind == "token" else "first")
        self._is_causal = is_causal
        self._has_segments = has_segments
        self._shift = int(is_shifted)
        self._words: dict[tuple[str, float], tuple[tuple[int, ...], tuple[int, ...]]] = {}

    @property
    def key(self) -> Hashable:
        """What a row depends on beside its example and the tokenizer."""
        reading = (self._reading, self._is_causal, self._has_segments, self._shift)
        return ("rows", self._kind, tuple(self._label_ids), self._max_length, *reading)

    def encode_all(self, examples: Sequence[Example], *, split: float = 0.0) -> list[tuple[Feature, ...]]:
        """The rows of each example.

        Args:
            examples: of one language.
            split: how likely a piece of their text is split further.
        """
        if self._kind == "pair":
            return self._pairs(cast("Sequence[PairExample]", examples), split)
        sentences = cast("Sequence[TokenExample]", examples)
        self._tokenize_words({word for sentence in sentences for word in sentence.words}, split)
        return [self._sentence(sentence, split) for sentence in sentences]

    # Pairs

    def _pairs(self, examples: Sequence[PairExample], split: float) -> list[tuple[Feature, ...]]:
        if not examples:
            return []
        texts = self._text.tokens([text for e in examples for text in (e.text_a, e.text_b)], split=split)
        return [(self._pair(e, a, b),) for e, a, b in zip(examples, texts[::2], texts[1::2], strict=True)]

    def _pair(self, example: PairExample, a: Sequence[int], b: Sequence[int]) -> Feature:
        special = self._text.pair_special_tokens
        num_a, num_b = fit_pair(len(a), len(b), max(self._max_length - special.size, 0))
        ids = (*special.before, *a[:num_a], *special.between, *b[:num_b], *special.after) or (self._text.unknown,)
        type_a, type_b = special.text_types
        types = (
            *special.before_types,
            *[type_a] * num_a,
            *special.between_types,
            *[type_b] * num_b,
            *special.after_types,
        )
        return Feature(
            input_ids=ids,
            token_type_ids=types if self._has_segments and any(types) else None,
            label_ids=(self._label_ids[example.label],),
            reads=((len(ids) - 1 if self._is_causal or self._shift else 0,),),
            words=(),
            truncated=num_a < len(a) or num_b < len(b),
        )

    # Sentences

    def _sentence(self, example: TokenExample, split: float) -> tuple[Feature, ...]:
        words = [self._words[word, split] for word in example.words]
        labels = [self._label_ids[label] for label in example.labels]
        sizes = [len(tokens) for tokens, _ in words]
        return tuple(
            self._window(words[start:end], [w - start for w in owned], labels, start)
            for start, end, owned in windows(sizes, self._capacity, is_causal=self._is_causal)
        )

    def _window(
        self,
        words: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
        owned: Sequence[int],
        labels: Sequence[int],
        start: int,
    ) -> Feature:
        special = self._text.special_tokens
        ids, first_tokens = list(special.before), []
        for tokens, _ in words:
            first_tokens.append(len(ids))
            ids.extend(tokens)
        ids.extend(special.after)
        last = len(ids) - 1
        starts = [place + self._shift for place in first_tokens]
        return Feature(
            input_ids=tuple(ids),
            token_type_ids=None,
            label_ids=tuple(labels[start + w] for w in owned),
            reads=tuple(tuple(min(starts[w] + offset, last) for offset in words[w][1]) for w in owned),
            words=tuple(start + w for w in owned),
        )

    def _tokenize_words(self, words: set[str], split: float) -> None:
        """Tokenize the words not yet met: their tokens, cut to a row, and which of them the head reads."""
        new = sorted(word for word in words if (word, split) not in self._words)
        if not new:
            return
        space = " " if self._text.needs_space else ""
        found = self._text.tokens([space + word for word in new], split=split)
        for word, tokens in zip(new, found, strict=True):
            kept = tuple(tokens[: self._capacity]) or (self._text.unknown,)
            self._words[word, split] = (kept, self._read(kept))

    def _read(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        if self._reading == "mean":
            return tuple(range(len(tokens)))
        if self._reading == "last":
            return (len(tokens) - 1,)
        if self._reading == "first" or len(tokens) == 1:
            return (0,)
        blanks = self._text.blanks(tokens)
        return (blanks.index(False) if False in blanks else 0,)

    @cached_property
    def _capacity(self) -> int:
        """Tokens of text in a row of words."""
        return self._max_length - self._text.special_tokens.size


def fit_pair(num_a: int, num_b: int, capacity: int) -> tuple[int, int]:
    """How many tokens of two texts fit, cutting the longer first.

    >>> fit_pair(10, 3, 9), fit_pair(10, 10, 9)
    ((6, 3), (5, 4))
    """
    if num_a + num_b <= capacity:
        return num_a, num_b
    half = capacity // 2
    if num_b <= half:
        return capacity - num_b, num_b
    if num_a <= capacity - half:
        return num_a, capacity - num_a
    return capacity - half, half


def windows(sizes: Sequence[int], capacity: int, *, is_causal: bool) -> list[tuple[int, int, list[int]]]:
    """Cut a sentence into overlapping windows: (first word, end, words owned) of each.

    Every word is owned by exactly one window, the one that shows it most context: the lesser of the tokens on its two
    sides, or for a causal model those on its left. The sentence's own ends count as enough.

    Args:
        sizes: tokens of each word, each from 1 to `capacity`.
        capacity: tokens of text in a row.
        is_causal: only the left side counts.
    """
    before = [0]
    for size in sizes:
        before.append(before[-1] + size)
    num_words = len(sizes)
    spans: list[tuple[int, int]] = []
    start, end = 0, 0
    while end < num_words:
        while end < num_words and before[end + 1] - before[start] <= capacity:
            end += 1
        spans.append((start, end))
        if end < num_words:
            start = end
            room = min(capacity // OVERLAP, capacity - sizes[end])
            while before[end] - before[start - 1] <= room:
                start -= 1
    owner: list[tuple[float, int]] = [(-1.0, 0)] * num_words
    for index, (start, end) in enumerate(spans):
        for word in range(start, end):
            left = before[word] - before[start] if start else math.inf
            right = before[end] - before[word + 1] if end < num_words and not is_causal else math.inf
            owner[word] = max(owner[word], (min(left, right), -index))
    owned: list[list[int]] = [[] for _ in spans]
    for word, (_, index) in enumerate(owner):
        owned[-index].append(word)
    return [(start, end, words) for (start, end), words in zip(spans, owned, strict=True) if words]
