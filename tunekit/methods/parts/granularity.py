"""How finely the texts of a split are written in tokens: tokens a word, tokens a character."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tunekit.methods.parts.text_tokenizer import TextTokenizer, Tokenizer
from tunekit.segmentation import Granularity
from tunekit.tasks import Example, PairExample, TokenExample

__all__ = ["granularity"]

CHUNK = 10_000
"""Texts that are tokenized together."""


def granularity(examples: Sequence[Example], tokenizer: Tokenizer, split: float = 0.0) -> Granularity:
    """Tokens, words and characters of all `examples`, each text counted as often as it stands there.

    Words are tokenized each on its own as all methods do, and the texts of a pair as they stand alone.

    Args:
        examples: of one split in one language.
        tokenizer: fast.
        split: how likely a piece is split further.
    """
    text = TextTokenizer(tokenizer)
    counts = Counter(_texts(examples))
    are_words = any(isinstance(example, TokenExample) for example in examples)
    space = " " if are_words and text.needs_space else ""
    texts, sums = list(counts), Counter[str]()
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        for each, pieces in zip(chunk, text.pieces([space + one for one in chunk], split=split), strict=True):
            times = counts[each]
            sums["tokens"] += times * max(1, sum(map(len, pieces.kept)))
            sums["split"] += times * pieces.num_split
            sums["whole"] += times * pieces.num_whole
            sums["words"] += times * (1 if are_words else len(each.split()))
            sums["characters"] += times * sum(map(len, each.split()))
    return Granularity(
        num_tokens=sums["tokens"],
        num_words=sums["words"],
        num_characters=sums["characters"],
        are_words_given=are_words,
        num_split=sums["split"],
        num_whole=sums["whole"],
    )


def _texts(examples: Sequence[Example]) -> Iterable[str]:
    """The words of sentences, both texts of pairs."""
    for example in examples:
        if isinstance(example, PairExample):
            yield from (example.text_a, example.text_b)
        else:
            yield from example.words
