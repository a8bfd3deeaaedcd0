"""Pieces of a text split further into smaller ones of the same vocabulary, so that a text is read in more tokens.

A piece is drawn with a given probability and cut in two at a place where both parts are entries of the vocabulary that
carry text; all such places are equally likely. What is drawn is a hash of the text and of the piece's place in it: a
text always becomes the same tokens, in every split, trial and process, and what a lower probability splits a higher one
splits too, at the same place. A piece that has no such place (one character, or parts that the vocabulary lacks) stays
whole, as special tokens and unknown ones do. Decoding gives the text that it gave without.

In tagging the text is the word, so a word is split alike wherever it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

__all__ = ["PieceSplitter"]

BLANK = "▁ĠĊĉ \t\n\r\u00a0\u3000"
"""Signs that tokenizers write for white space."""
_BROKEN = "\ufffd"
"""Stands for bytes that are no whole character."""
_HALF = 8
"""Bytes of a hash that decide whether a piece is split; as many more decide where."""


class Backend(Protocol):
    """The tokenizer behind a fast one."""

    @property
    def model(self) -> object:
        """What makes pieces of words."""


class Vocabulary(Protocol):
    """What is used of a fast tokenizer of transformers."""

    unk_token_id: int | None
    all_special_ids: list[int]

    @property
    def added_tokens_decoder(self) -> Mapping[int, object]:
        """The tokens that were added to the vocabulary, by their numbers."""

    @property
    def backend_tokenizer(self) -> Backend:
        """The tokenizer behind it."""

    def convert_tokens_to_ids(self, token: str, /) -> int | None:
        """The entry that is spelled so; that of the unknown, or None, if there is none."""

    def convert_ids_to_tokens(self, ids: list[int], /) -> list[str]:
        """The tokens as text."""

    def decode(self, ids: list[int], /) -> str:
        """The text of tokens."""


class PieceSplitter:
    """Splits pieces of one tokenizer.

    Args:
        tokenizer: fast.
    """

    def __init__(self, tokenizer: Vocabulary) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, tuple[tuple[int, int], ...]] = {}

    def split(self, text: str, tokens: Sequence[int], probability: float) -> list[tuple[int, ...]]:
        """For each of the `tokens` of `text` the pieces that stand for it: itself, or the two that it is split into."""
        drawn = self.drawn(text, len(tokens), probability)
        return [
            (token,) if place is None or not (cuts := self.cuts(token)) else cuts[place % len(cuts)]
            for token, place in zip(tokens, drawn, strict=True)
        ]

    def drawn(self, text: str, count: int, probability: float) -> list[int | None]:
        """For each of the first `count` pieces of `text` a number that says where to split it; None: not drawn."""
        limit = int(probability * 2 ** (8 * _HALF))
        start = hashlib.blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=2 * _HALF)
        found: list[int | None] = []
        for place in range(count):
            state = start.copy()
            state.update(place.to_bytes(8, "big"))
            number = state.digest()
            is_drawn = int.from_bytes(number[:_HALF], "big") < limit
            found.append(int.from_bytes(number[_HALF:], "big") if is_drawn else None)
        return found

    def cuts(self, token: int) -> tuple[tuple[int, int], ...]:
        """All pairs of entries that `token` can be split into; none of a piece that must stay whole."""
        if token not in self._known:
            self._known[token] = () if token in self._untouched else tuple(self._cuts(token))
        return self._known[token]

    def _cuts(self, token: int) -> list[tuple[int, int]]:
        """Both parts are spelled as parts of a word are, and together decode to what the piece decodes to."""
        (piece,) = self._tokenizer.convert_ids_to_tokens([token])
        inner = self._inner
        start = len(inner) if inner and piece.startswith(inner) else 0
        found = []
        for place in range(start + 1, len(piece)):
            left, right = piece[:place], piece[place:]
            if not left[start:].strip(BLANK) or not right.strip(BLANK):
                continue
            parts = (self._entry(left), self._entry(inner + right))
            if parts[0] is not None and parts[1] is not None and self._is_same(token, parts[0], parts[1]):
                found.append((parts[0], parts[1]))
        return found

    def _is_same(self, token: int, left: int, right: int) -> bool:
        """Whether the parts are whole characters that decode to the piece's text."""
        decode = self._tokenizer.decode
        if _BROKEN in decode([left]) or _BROKEN in decode([right]):
            return False
        return decode([left, right]) == decode([token])

    def _entry(self, piece: str) -> int | None:
        """The entry spelled so; None if there is none, or if it is more than a part of a text."""
        found = self._tokenizer.convert_tokens_to_ids(piece)
        return None if found is None or found in self._untouched else found

    @cached_property
    def _untouched(self) -> frozenset[int]:
        """Special and added tokens, the unknown one among them."""
        unknown = self._tokenizer.unk_token_id
        special = (*self._tokenizer.all_special_ids, *self._tokenizer.added_tokens_decoder)
        return frozenset(special if unknown is None else (*special, unknown))

    @cached_property
    def _inner(self) -> str:
        """How a piece begins that goes on with a word, such as ``##``; empty where nothing marks it."""
        return getattr(self._tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None) or ""
