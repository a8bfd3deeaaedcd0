"""How many tokens texts have where no tokenizer is at hand: from their words, by rules of thumb."""

from __future__ import annotations

import math
import re

from tunekit.tasks import Example, PairExample

TOKENS_PER_WORD = 1.4
"""XLM-R's tokenizer needs 1.2 in English and up to 2 elsewhere."""
CHARACTERS_PER_TOKEN = 4
"""Where no spaces stand between words."""
SPECIAL_TOKENS = 3
"""Around a text or between two."""


def estimate_tokens(example: Example) -> int:
    """Tokens of an example's text, special ones included."""
    if not isinstance(example, PairExample):
        return estimate_words(len(example.words)) + SPECIAL_TOKENS
    text = f"{example.text_a} {example.text_b}"
    words = max(len(text.split()), len(text) / CHARACTERS_PER_TOKEN / TOKENS_PER_WORD)
    return estimate_words(words) + SPECIAL_TOKENS


def estimate_words(num_words: float) -> int:
    """Tokens of so many words."""
    return math.ceil(num_words * TOKENS_PER_WORD)


def estimate_template(template: str) -> int:
    """Tokens that a template adds to what fills it: its own words, and the mask.

    >>> estimate_template("{sentence} | {word} is a {mask} .")
    6
    """
    return estimate_words(len(re.sub(r"\{\w+\}|\|", " ", template).split())) + 1
