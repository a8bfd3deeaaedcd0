"""From labels to words of the vocabulary, and from the words' scores back to the labels'."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from tunekit.backbone.moving import Held
from tunekit.errors import ConfigError, nearest, quoted
from tunekit.methods.parts.text_tokenizer import TextTokenizer, Tokenizer

__all__ = ["Lookup", "MultiToken", "Verbalizer", "label_strings"]

Lookup = Literal["published", "in_text"]
"""Which vocabulary entry a label word is: the one spelled like it, if there is one; or the one that the tokenizer
writes inside a text."""
MultiToken = Literal["refuse", "mean"]
"""What becomes of a label word that is not one vocabulary entry: an error, or the mean over its tokens' logits."""
_MAX_NAMED = 6
"""Failing words that a message names in full."""


class Verbalizer:
    """One word for each label. The score of a label is the logit of its word's vocabulary entry.

    Instead of a word a label may have the number of an entry; it means something for one vocabulary only.

    A word is written as the tokenizer writes it inside of a text: XLM-R's ``▁location``, BLOOM's ``Ġlocation``, BERT's
    ``location``. With `lookup` "published" an entry that is spelled like the word comes first: XLM-R's ``place``,
    which it writes inside of words only, before ``▁place``; words without such an entry are written. White space that
    is a token of its own is dropped, so that a Chinese word counts as one entry where the tokenizer cuts off the "▁"
    before it.

    Args:
        words: a word for every label, or the number of its entry.
        labels: the inventory; its order is that of the scores.
        tokenizer: fast; None (on the meta device) checks the labels only, and there are no tokens.
        multi_token: what becomes of a word of several tokens.
        lookup: which entry a word is.

    Raises:
        ConfigError: a label without a word or a word without a label, two labels with one word, a word that is not
            one vocabulary entry (all of them are named), or a number that no entry has.
    """

    def __init__(
        self,
        words: Mapping[str, str | int],
        labels: Sequence[str],
        tokenizer: Tokenizer | None,
        multi_token: MultiToken = "refuse",
        *,
        lookup: Lookup = "in_text",
    ) -> None:
        self.words = _stripped(words, labels)
        _check_labels(self.words, words, labels)
        _refuse_equal({label: word for label, word in self.words.items() if isinstance(word, str)})
        self._tokens: tuple[tuple[int, ...], ...] = ()
        if tokenizer is not None:
            _check_numbers(self.words, tokenizer)
            spell = _spelled if lookup == "published" else _within_text
            tokens = {
                label: (word,) if isinstance(word, int) else spell(word, tokenizer)
                for label, word in self.words.items()
            }
            _check_tokens(tokens, self.words, tokenizer, multi_token)
            self._tokens = tuple(tokens.values())
        self.token_ids: tuple[int, ...] = tuple(dict.fromkeys(token for tokens in self._tokens for token in tokens))
        """The rows of the vocabulary that are needed, K of them, none twice."""
        self.entries = Held(torch.tensor(self.token_ids, dtype=torch.long))
        """`token_ids` as a tensor."""
        self._is_plain = all(len(tokens) == 1 for tokens in self._tokens)
        share = [[tokens.count(i) / len(tokens) for tokens in self._tokens] for i in self.token_ids]
        self._share = Held(torch.tensor(share))
        """[K, labels]"""

    def logits(self, vocabulary_logits: Tensor) -> Tensor:
        """Scores of the labels [M, labels] from the logits of `token_ids` [M, K]."""
        if self._is_plain:  # then token_ids are in the order of the labels
            return vocabulary_logits
        return vocabulary_logits @ self._share.on(vocabulary_logits.device).to(vocabulary_logits.dtype)


def label_strings(
    words: Mapping[str, str | int], labels: Sequence[str], tokenizer: Tokenizer | None
) -> tuple[tuple[int, ...], ...]:
    """The tokens of every label's word as a decoder writes them, however many, ended by its end-of-text token.

    The end makes strings comparable of which one begins another. Nothing is tokenized where `tokenizer` is None.

    Raises:
        ConfigError: as `Verbalizer` does, but for the number of tokens.
    """
    found = _stripped(words, labels)
    _check_labels(found, words, labels)
    known = {label: word for label, word in found.items() if isinstance(word, str)}
    for label, number in found.items():
        if label not in known:
            raise ConfigError(f"verbalizer: {label} has the number {number}; a decoder writes words, so give it one")
    _refuse_equal(known)
    if tokenizer is None:
        return ()
    end = () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)
    text = TextTokenizer(tokenizer)
    strings = {label: (*text.tokens([word])[0], *end) for label, word in known.items()}
    _refuse_equal({label: tokenizer.convert_ids_to_tokens(list(tokens)) for label, tokens in strings.items()})
    return tuple(strings.values())


def _stripped(words: Mapping[str, str | int], labels: Sequence[str]) -> dict[str, str | int]:
    """The words in the order of the labels, without white space around them."""
    found = {label: words[label] for label in labels if label in words}
    return {label: word.strip() if isinstance(word, str) else word for label, word in found.items()}


def _check_numbers(words: Mapping[str, str | int], tokenizer: Tokenizer) -> None:
    numbers = {label: word for label, word in words.items() if isinstance(word, int)}
    last = max(tokenizer.get_vocab().values()) if numbers else 0
    for label, number in numbers.items():
        if not 0 <= number <= last:
            raise ConfigError(
                f"verbalizer: {number} for {label} is no entry of the backbone's vocabulary, whose entries are 0 to "
                f"{last}; a number means something for one vocabulary only, so give a word, or the number it has here"
            )


def _check_labels(known: Mapping[str, str | int], words: Mapping[str, str | int], labels: Sequence[str]) -> None:
    missing = [label for label in labels if label not in words]
    if missing:
        raise ConfigError(f"verbalizer: no word for {', '.join(missing)}; each of the task's {len(labels)} needs one")
    for label in words:
        if label not in labels:
            raise ConfigError(f"verbalizer: {quoted(label)} is not a label of the task; {nearest(label, labels)}")
    for label, word in known.items():
        if word == "":
            raise ConfigError(f"verbalizer: the word for {label} is empty")


def _refuse_equal(spelled: Mapping[str, str | Sequence[str]]) -> None:
    """Raise a ConfigError where two labels would score the same."""
    seen: dict[str | tuple[str, ...], str] = {}
    for label, word in spelled.items():
        key = word if isinstance(word, str) else tuple(word)
        if key in seen:
            shown = repr(word) if isinstance(word, str) else " ".join(word)
            raise ConfigError(f"verbalizer: {seen[key]} and {label} are both {shown}; give each a word of its own")
        seen[key] = label


def _within_text(word: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    text = TextTokenizer(tokenizer)
    tokens = text.inside(f" {word}")
    return tuple(token for token, blank in zip(tokens, text.blanks(tokens), strict=True) if not blank) or tokens


def _spelled(word: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The one entry that is spelled like `word`, else the word's tokens within a text."""
    entry = tokenizer.convert_tokens_to_ids(word)
    is_known = entry is not None and tokenizer.convert_ids_to_tokens([entry]) == [word]
    return (int(entry),) if is_known and entry is not None else _within_text(word, tokenizer)


def _check_tokens(
    token_ids: Mapping[str, tuple[int, ...]],
    words: Mapping[str, str | int],
    tokenizer: Tokenizer,
    multi_token: MultiToken,
) -> None:
    tokens = {label: tokenizer.convert_ids_to_tokens(list(ids)) for label, ids in token_ids.items()}
    unknown = {label for label, ids in token_ids.items() if not ids or tokenizer.unk_token_id in ids}
    failing = [label for label in words if label in unknown or (multi_token == "refuse" and len(token_ids[label]) > 1)]
    if failing:
        problems = [_problem(label, str(words[label]), tokens[label], tokenizer) for label in failing[:_MAX_NAMED]]
        if len(failing) > _MAX_NAMED:
            problems.append(f"and those for {', '.join(failing[_MAX_NAMED:])}")
        way = "" if unknown else ", or set multi_token: mean, which scores a word over its tokens"
        right = f"give these labels words that are one vocabulary entry each, as `verbalizer: {{label: word}}`{way}"
        raise ConfigError(f"verbalizer: not one vocabulary entry: {'; '.join(problems)}; {right}")
    _refuse_equal(tokens)


def _problem(label: str, word: str, tokens: Sequence[str], tokenizer: Tokenizer) -> str:
    near = _nearby(word, tokens, tokenizer)
    others = f", near it {', '.join(map(repr, near))}" if near else ""
    return f"{quoted(word)} for {label} ({' '.join(tokens) or 'nothing'}{others})"


def _nearby(word: str, tokens: Sequence[str], tokenizer: Tokenizer) -> list[str]:
    """Words of one entry each that are spelled much like `word`."""
    unknown = [] if tokenizer.unk_token_id is None else [tokenizer.unk_token_id]
    sample = tokenizer.convert_ids_to_tokens(list(_within_text(word, tokenizer)) or unknown)
    mark = sample[0][:1] if sample and sample[0][:1] in "▁Ġ" else ""
    start = f"{mark}{word[:2]}".lower()
    alike = [token[len(mark) :] for token in tokenizer.get_vocab() if token.lower().startswith(start)]
    return difflib.get_close_matches(word, [token for token in alike if token.isalpha()], n=3, cutoff=0.6)
