"""How a tokenizer writes texts, words within a text, and the special tokens around one text or two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

from tunekit.methods.parts.segmentation import BLANK, PieceSplitter

__all__ = ["Pieces", "SpecialTokens", "TextTokenizer", "Tokenizer"]

_ANCHOR = "a"
"""Stands before a text that goes on from something."""


class Tokenized(Protocol):
    """What a tokenizer gives."""

    def __getitem__(self, key: str, /) -> object:
        """``input_ids``, ``token_type_ids`` or ``offset_mapping``, of one text or of each."""

    def sequence_ids(self, index: int, /) -> list[int | None]:
        """For each token of a row the text that it belongs to; None for a special one."""


class PreTokenizer(Protocol):
    """What splits a text into words."""

    def pre_tokenize_str(self, text: str, /) -> list[tuple[str, tuple[int, int]]]:
        """Its words, with marks for white space, and where they stand."""


class BackendTokenizer(Protocol):
    """The tokenizer behind a fast one."""

    @property
    def model(self) -> object:
        """What makes pieces of words."""

    @property
    def pre_tokenizer(self) -> PreTokenizer | None:
        """What splits a text into words, if anything does."""


class Tokenizer(Protocol):
    """What is used of a fast tokenizer of transformers."""

    unk_token_id: int | None
    eos_token_id: int | None
    mask_token_id: int | None
    all_special_ids: list[int]
    backend_tokenizer: BackendTokenizer

    @property
    def added_tokens_decoder(self) -> Mapping[int, object]:
        """The tokens that were added to the vocabulary, by their numbers."""

    def __call__(self, *texts: str | list[str], **settings: bool) -> Tokenized:
        """The tokens of one text, of a pair, or of each of a list."""

    def convert_tokens_to_ids(self, token: str, /) -> int | None:
        """The entry that is spelled so; that of the unknown, or None, if there is none."""

    def convert_ids_to_tokens(self, ids: list[int], /) -> list[str]:
        """The tokens as text."""

    def decode(self, ids: list[int], /) -> str:
        """The text of tokens."""

    def get_vocab(self) -> dict[str, int]:
        """All tokens."""


@dataclass(frozen=True)
class Pieces:
    """The tokens of one text."""

    kept: tuple[tuple[int, ...], ...]
    """For each piece that the tokenizer gave what stands for it: itself, or the two that it is split into."""
    num_drawn: int = 0
    """Pieces that were drawn to be split."""

    @property
    def num_split(self) -> int:
        """Pieces that were split."""
        return sum(len(piece) > 1 for piece in self.kept)

    @property
    def num_whole(self) -> int:
        """Pieces that were drawn and could not be split."""
        return self.num_drawn - self.num_split


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens around one text or two, and the segments of everything."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    before_types: tuple[int, ...]
    between_types: tuple[int, ...]
    after_types: tuple[int, ...]
    text_types: tuple[int, int]

    @property
    def size(self) -> int:
        """Special tokens in a row."""
        return len(self.before) + len(self.between) + len(self.after)


class TextTokenizer:
    """One fast tokenizer, asked for tokens of texts without special ones, and for the special ones alone.

    Args:
        tokenizer: it may be None as long as nothing is asked.
    """

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = cast(Tokenizer, tokenizer)

    def tokens(self, texts: Sequence[str], *, split: float = 0.0) -> list[list[int]]:
        """The tokens of each text, no special ones.

        Args:
            texts: what to write.
            split: how likely a piece is split further (:mod:`tunekit.methods.parts.segmentation`).
        """
        settings = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
        found = cast("list[list[int]]", self._tokenizer(list(texts), verbose=False, **settings)["input_ids"])
        return [self._split(*each, split) for each in zip(texts, found, strict=True)] if split else found

    def pieces(self, texts: Sequence[str], *, split: float) -> list[Pieces]:
        """`tokens`, with what was split and what could not be."""
        found = zip(texts, self.tokens(texts), strict=True)
        if not split:
            return [Pieces(tuple((token,) for token in ids)) for _, ids in found]
        splitter = self._splitter
        return [
            Pieces(
                tuple(splitter.split(text, ids, split)),
                sum(place is not None for place in splitter.drawn(text, len(ids), split)),
            )
            for text, ids in found
        ]

    def _split(self, text: str, tokens: Sequence[int], split: float) -> list[int]:
        return [each for piece in self._splitter.split(text, tokens, split) for each in piece]

    @cached_property
    def _splitter(self) -> PieceSplitter:
        return PieceSplitter(self._tokenizer)

    def inside(self, text: str) -> tuple[int, ...]:
        """The tokens of `text` as it stands inside of another, going on from a word before it.

        Without white space at its start it is written as going on directly, as a full stop is, unless the tokenizer
        would join the two.
        """
        found = self._tokenizer(_ANCHOR + text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids, spans = cast("list[int]", found["input_ids"]), cast("list[tuple[int, int]]", found["offset_mapping"])
        kept = [i for i, (start, end) in zip(ids, spans, strict=True) if end > 1]
        borders = [span for span in spans if span[0] < len(_ANCHOR) < span[1]]
        return tuple(self.tokens([text.strip()])[0] if borders else kept)

    def going_on(self, texts: Sequence[str], after: str, *, split: float = 0.0) -> list[tuple[int, ...]]:
        """The tokens of each text as it stands right after the sign `after`, without white space between.

        Where the tokenizer would join the two, as the text stands alone. `split` is as in `tokens`.
        """
        settings = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
        found = self._tokenizer([after + text for text in texts], **settings)
        rows = cast("list[list[int]]", found["input_ids"])
        spans = cast("list[list[tuple[int, int]]]", found["offset_mapping"])
        cut = len(after)
        kept = [
            self.tokens([text])[0]
            if any(start < cut < end for start, end in places)
            else [i for i, (_, end) in zip(ids, places, strict=True) if end > cut]
            for text, ids, places in zip(texts, rows, spans, strict=True)
        ]
        if split:
            kept = [self._split(*each, split) for each in zip(texts, kept, strict=True)]
        return [tuple(ids) for ids in kept]

    def unknown_in(self, text: str) -> list[str]:
        """The pieces of `text` that the tokenizer writes as unknown, in their order."""
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids, spans = cast("list[int]", found["input_ids"]), cast("list[tuple[int, int]]", found["offset_mapping"])
        unknown = self._tokenizer.unk_token_id
        return [text[start:end].strip() for i, (start, end) in zip(ids, spans, strict=True) if i == unknown]

    def blanks(self, tokens: Sequence[int]) -> list[bool]:
        """Whether each token stands for white space alone."""
        return [not token.strip(BLANK) for token in self._tokenizer.convert_ids_to_tokens(list(tokens))]

    @cached_property
    def special_tokens(self) -> SpecialTokens:
        """The special tokens around one text."""
        return self._probe("a")

    @cached_property
    def pair_special_tokens(self) -> SpecialTokens:
        """The special tokens around two texts; a border between them even where the tokenizer has none."""
        special = self._probe("a", "a")
        if special.between:
            return special
        end = self._tokenizer.eos_token_id
        between = tuple(self.tokens(["\n"])[0]) if end is None else (end,)
        types = (special.text_types[0],) * len(between)
        return dataclasses.replace(special, between=between, between_types=types)

    @cached_property
    def needs_space(self) -> bool:
        """Whether a word inside a text carries a mark that the same word at its start does not."""
        splitter = self._tokenizer.backend_tokenizer.pre_tokenizer
        if splitter is None:
            return False
        parts = [text for text, _ in splitter.pre_tokenize_str("a a")]
        return len(parts[-1]) > len(parts[0])

    @property
    def unknown(self) -> int:
        """Stands for a word or a row that the tokenizer maps to nothing."""
        for name in ("unk_token_id", "eos_token_id", "pad_token_id"):
            if getattr(self._tokenizer, name, None) is not None:
                return int(getattr(self._tokenizer, name))
        return 0

    def _probe(self, *texts: str) -> SpecialTokens:
        """Read the special tokens off the tokenizer's own output."""
        found = self._tokenizer(*texts, return_token_type_ids=True)
        ids, types = cast("list[int]", found["input_ids"]), cast("list[int]", found["token_type_ids"])
        owners = found.sequence_ids(0)
        places = [i for i, owner in enumerate(owners) if owner is not None]
        first, last = places[0], places[-1]
        cuts = [i for i, owner in enumerate(owners) if owner is None and first < i < last]
        return SpecialTokens(
            before=tuple(ids[:first]),
            between=tuple(ids[i] for i in cuts),
            after=tuple(ids[last + 1 :]),
            before_types=tuple(types[:first]),
            between_types=tuple(types[i] for i in cuts),
            after_types=tuple(types[last + 1 :]),
            text_types=(types[first], types[last]),
        )
