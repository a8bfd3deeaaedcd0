"""How long a method's rows are where its tokenizer is not on this machine: from words, by rules of thumb."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from tunekit.tasks import Example, PairExample, TokenExample

if TYPE_CHECKING:
    from tunekit.methods import Method

PIECES_A_WORD = 1.4
"""XLM-R's tokenizer needs 1.2 in English and up to 2 elsewhere."""
CHARACTERS_A_PIECE = 4
"""Where no spaces stand between words."""
SPECIAL_PIECES = 3
"""Around a text or between two."""
TAGGED = 3
"""A sentence in which each word is followed by its label takes this many times as many pieces as the sentence."""


def pieces_of(example: Example) -> int:
    """Pieces of an example's text, special ones included."""
    if not isinstance(example, PairExample):
        return _pieces(len(example.words)) + SPECIAL_PIECES
    text = f"{example.text_a} {example.text_b}"
    words = max(len(text.split()), len(text) / CHARACTERS_A_PIECE / PIECES_A_WORD)
    return _pieces(words) + SPECIAL_PIECES


def row_lengths(example: Example, method: Method) -> list[int]:
    """Pieces of each row that `method` makes of an example, none longer than the method allows.

    A method that asks about each word makes a row a word, or one row of the sentence and all of its questions.
    """
    from tunekit.methods.icl import InContextLearning
    from tunekit.methods.parts.cloze import ClozeMethod

    whole = pieces_of(example)
    if isinstance(method, ClozeMethod):
        question = _pieces_of_template(method.template.text) + method.soft_prompt_length
        if isinstance(example, PairExample):
            return [min(whole + question, method.max_length)]
        return _questions(example, whole, question, method)
    if isinstance(method, InContextLearning):
        shown = 0 if method.backbone.is_causal else method.config.num_demonstrations  # read once, or with each sentence
        return [TAGGED * whole * (1 + shown)]
    if isinstance(example, PairExample):
        return [min(whole, method.max_length)]
    windows = math.ceil(whole / method.max_length)
    return [math.ceil(whole / windows)] * windows


def _questions(example: TokenExample, whole: int, question: int, method: Method) -> list[int]:
    shares_sentence = getattr(method, "shares_sentence", False) or getattr(method.config, "share_sentence", False)
    asked = question + math.ceil(PIECES_A_WORD)
    if shares_sentence:
        return [whole + len(example.words) * asked]
    return [min(whole + asked, method.max_length)] * len(example.words)


def _pieces(words: float) -> int:
    return math.ceil(words * PIECES_A_WORD)


def _pieces_of_template(template: str) -> int:
    """Of its own words, and the mask."""
    return _pieces(len(re.sub(r"\{\w+\}|\|", " ", template).split())) + 1
