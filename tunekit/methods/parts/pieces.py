"""How a tokenizer writes texts, words within a text, and the special pieces around one text or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = ["Frame", "TextPieces"]

_BLANK = "▁ĠĊĉ \t\n\r\u00a0\u3000"
"""Signs that tokenizers write for white space."""
_ANCHOR = "a"
"""Stands before a text that goes on from something."""


@dataclass(frozen=True)
class Frame:
    """The special pieces around one text or two, and the segments of everything."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    before_types: tuple[int, ...]
    between_types: tuple[int, ...]
    after_types: tuple[int, ...]
    text_types: tuple[int, int]

    @property
    def size(self) -> int:
        """Special pieces in a row."""
        return len(self.before) + len(self.between) + len(self.after)


class TextPieces:
    """One fast tokenizer, asked for pieces of texts without special ones, and for the special ones alone.

    Args:
        tokenizer: it may be None as long as nothing is asked.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """The pieces of each text, no special ones."""
        settings = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
        found: list[list[int]] = self._tokenizer(list(texts), verbose=False, **settings)["input_ids"]
        return found

    def inside(self, text: str) -> tuple[int, ...]:
        """The pieces of `text` as it stands inside of another, going on from a word before it.

        Without white space at its start it is written as going on directly, as a full stop is, unless the tokenizer
        would join the two.
        """
        found = self._tokenizer(_ANCHOR + text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        kept = [i for i, (start, end) in zip(found["input_ids"], found["offset_mapping"], strict=True) if end > 1]
        borders = [span for span in found["offset_mapping"] if span[0] < len(_ANCHOR) < span[1]]
        return tuple(self.pieces([text.strip()])[0] if borders else kept)

    def blanks(self, pieces: Sequence[int]) -> list[bool]:
        """Whether each piece stands for white space alone."""
        return [not token.strip(_BLANK) for token in self._tokenizer.convert_ids_to_tokens(list(pieces))]

    @cached_property
    def frame(self) -> Frame:
        """The special pieces around one text."""
        return self._probe("a")

    @cached_property
    def pair_frame(self) -> Frame:
        """The special pieces around two texts; a border between them even where the tokenizer has none."""
        frame = self._probe("a", "a")
        if frame.between:
            return frame
        end = self._tokenizer.eos_token_id
        between = tuple(self.pieces(["\n"])[0]) if end is None else (end,)
        types = (frame.text_types[0],) * len(between)
        return Frame(frame.before, between, frame.after, frame.before_types, types, frame.after_types, frame.text_types)

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

    def _probe(self, *texts: str) -> Frame:
        """Read the special pieces off the tokenizer's own output."""
        found = self._tokenizer(*texts, return_token_type_ids=True)
        ids, types, owners = found["input_ids"], found["token_type_ids"], found.sequence_ids(0)
        places = [i for i, owner in enumerate(owners) if owner is not None]
        first, last = places[0], places[-1]
        cuts = [i for i, owner in enumerate(owners) if owner is None and first < i < last]
        return Frame(
            before=tuple(ids[:first]),
            between=tuple(ids[i] for i in cuts),
            after=tuple(ids[last + 1 :]),
            before_types=tuple(types[:first]),
            between_types=tuple(types[i] for i in cuts),
            after_types=tuple(types[last + 1 :]),
            text_types=(types[first], types[last]),
        )
