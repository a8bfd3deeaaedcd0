"""The strings that a language model may answer with: one a label, of any number of pieces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tunekit.errors import ConfigError
from tunekit.methods.parts.pieces import TextPieces
from tunekit.methods.parts.templates import Slot, Template

Score = Literal["sum", "mean"]
"""A label's score: the log-likelihood of its string, or that divided by its number of pieces."""
Pieces = tuple[int, ...]


def following(words: Mapping[str, str], template: Template, tokenizer: Any, score: Score) -> tuple[Pieces, ...]:
    """The pieces of every label's word where `template` has its mask, as a text that goes on; no end is written.

    Args:
        words: a word for every label, in the labels' order.
        template: whether white space stands before the mask decides how a word begins.
        tokenizer: fast; None gives no pieces.
        score: how strings are compared.

    Raises:
        ConfigError: a word without pieces or with an unknown one, two labels of the same pieces, or, where likelihoods
            are summed, a label whose pieces begin another's: the longer one could never win.
    """
    if tokenizer is None:
        return ()
    text, space = TextPieces(tokenizer), " " * _is_spaced(template)
    strings = {label: text.inside(space + word.strip()) for label, word in words.items()}
    for label, pieces in strings.items():
        if not pieces or tokenizer.unk_token_id in pieces:
            shown = " ".join(tokenizer.convert_ids_to_tokens(list(pieces))) or "nothing"
            raise ConfigError(f"verbalizer: the tokenizer cannot write {words[label]!r} for {label} ({shown})")
    for label, pieces in strings.items():
        for other, longer in strings.items():
            if label != other and longer[: len(pieces)] == pieces:
                _refuse((label, words[label]), (other, words[other]), score, is_equal=longer == pieces)
    return tuple(strings.values())


def _refuse(short: tuple[str, str], long: tuple[str, str], score: Score, *, is_equal: bool) -> None:
    (label, word), (other, longer) = short, long
    if is_equal:
        raise ConfigError(f"verbalizer: {word!r} for {label} and {longer!r} for {other} are the same pieces")
    if score == "sum":
        raise ConfigError(
            f"verbalizer: {word!r} for {label} begins {longer!r} for {other}, which could never be likelier; "
            "give one of them another word, or set score: mean"
        )


def _is_spaced(template: Template) -> bool:
    return any(
        part.is_spaced for parts in template.texts for part in parts if isinstance(part, Slot) and part.name == "mask"
    )
