"""The strings that a language model may answer with: one for each label, of any number of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tunekit.errors import ConfigError, quoted
from tunekit.methods.parts.templates import Slot, Template
from tunekit.methods.parts.text_tokenizer import TextTokenizer, Tokenizer

Score = Literal["first", "sum", "mean"]
"""A label's score: that of its string's first token alone, or the log-likelihood of the whole string, or that divided
by its number of tokens. Only the first does not depend on how many tokens a string has."""
Tokens = tuple[int, ...]


def answer_tokens(
    words: Mapping[str, str], template: Template, tokenizer: Tokenizer | None, score: Score
) -> tuple[Tokens, ...]:
    """The tokens of every label's word where `template` has its mask, as a text that goes on; no end is written.

    Args:
        words: a word for every label, in the labels' order.
        template: whether white space stands before the mask decides how a word begins.
        tokenizer: fast; None gives no tokens.
        score: how strings are compared.

    Raises:
        ConfigError: a word without tokens or with an unknown one, two labels of the same tokens, or, where likelihoods
            are summed, a label whose tokens begin another's: the longer one could never win.
    """
    if tokenizer is None:
        return ()
    text, space = TextTokenizer(tokenizer), " " * _is_spaced(template)
    strings = {label: text.inside(space + word.strip()) for label, word in words.items()}
    for label, tokens in strings.items():
        if not tokens or tokenizer.unk_token_id in tokens:
            shown = " ".join(tokenizer.convert_ids_to_tokens(list(tokens))) or "nothing"
            raise ConfigError(f"verbalizer: the tokenizer cannot write {quoted(words[label])} for {label} ({shown})")
    for label, tokens in strings.items():
        for other, longer in strings.items():
            if label != other and longer[: len(tokens)] == tokens:
                _refuse((label, words[label]), (other, words[other]), score, is_equal=longer == tokens)
    return tuple(strings.values())


def scored_tokens(words: Mapping[str, str], strings: Sequence[Tokens], score: Score) -> tuple[Tokens, ...]:
    """What is scored of each label's string: all of it, or its first token alone.

    Args:
        words: a word for every label, in the labels' order.
        strings: the words' tokens; there may be none.
        score: how strings are compared.

    Raises:
        ConfigError: two labels' strings begin alike, where that alone is scored.
    """
    if score != "first":
        return tuple(strings)
    seen: dict[Tokens, str] = {}
    for (label, word), string in zip(words.items(), strings, strict=False):
        other = seen.setdefault(string[:1], label)
        if other != label:
            raise ConfigError(
                f"verbalizer: {words[other]!r} for {other} and {word!r} for {label} begin with one token, which alone "
                "is scored; give one of them another word, or set score: mean"
            )
    return tuple(seen)


def _refuse(short: tuple[str, str], long: tuple[str, str], score: Score, *, is_equal: bool) -> None:
    (label, word), (other, longer) = short, long
    if is_equal:
        raise ConfigError(
            f"verbalizer: {quoted(word)} for {label} and {quoted(longer)} for {other} are the same tokens"
        )
    if score == "sum":
        raise ConfigError(
            f"verbalizer: {quoted(word)} for {label} begins {quoted(longer)} for {other}, which could never be "
            "likelier; give one of them another word, or set score: mean"
        )


def _is_spaced(template: Template) -> bool:
    return any(
        part.is_spaced for parts in template.texts for part in parts if isinstance(part, Slot) and part.name == "mask"
    )
