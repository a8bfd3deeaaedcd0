"""How finely text is written in tokens: what a trial asks for by language, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunekit.errors import ConfigError, nearest, require
from tunekit.schema import FrozenMapping

__all__ = ["Granularity", "PieceSplit", "Segmentation", "frozen", "require_languages", "split_of"]


@dataclass(frozen=True, kw_only=True)
class PieceSplit:
    """How the text of one language is cut finer than its tokenizer does."""

    split: float
    """How likely each piece is split in two, above 0 and at most 1."""

    def __post_init__(self) -> None:
        right = "a probability above 0 and at most 1; leave the language out to read it as its tokenizer writes it"
        require(0 < self.split <= 1, "split", self.split, right)
        object.__setattr__(self, "split", float(self.split))  # so that 1 and 1.0 are one name


Segmentation = Mapping[str, PieceSplit]
"""By language how its text is cut finer; others are read as the tokenizer writes them."""


def frozen(segmentation: Segmentation | None) -> Segmentation | None:
    """The same, unchangeable.

    Raises:
        ConfigError: it names no language, and so would have no effect.
    """
    if segmentation is None:
        return None
    require(bool(segmentation), "segmentation", {}, "{language: {split: p}}, or left out")
    return FrozenMapping(segmentation)


def split_of(segmentation: Segmentation | None, language: str) -> float:
    """How likely a piece of text in `language` is split further."""
    found = (segmentation or {}).get(language)
    return 0.0 if found is None else found.split


def require_languages(segmentation: Segmentation | None, languages: Sequence[str]) -> None:
    """Refuse a language that is none of a task's `languages`, since nothing of it is read.

    Raises:
        ConfigError: names the language and the nearest one of the task.
    """
    for language in segmentation or ():
        if language not in languages:
            raise ConfigError(f"segmentation: {language!r} is no language of the task; {nearest(language, languages)}")


@dataclass(frozen=True, kw_only=True)
class Granularity:
    """How finely the texts of a split are written in tokens: sums over all of them, before any is cut."""

    num_tokens: int
    """Special tokens and those of a method's own words, such as a template, are not counted."""
    num_words: int
    """Labelled words of sentences; of pairs, words between white space."""
    num_characters: int
    """Without white space."""
    are_words_given: bool
    """Whether the data say what a word is, as those of tagging do."""
    num_split: int = 0
    """Pieces that were split further."""
    num_whole: int = 0
    """Pieces that were drawn to be split and stayed whole, since the vocabulary lacks such parts."""

    @property
    def per_word(self) -> float:
        """Tokens a word; 0 where there is no word."""
        return self.num_tokens / self.num_words if self.num_words else 0.0

    @property
    def per_character(self) -> float:
        """Tokens a character; 0 where there is none."""
        return self.num_tokens / self.num_characters if self.num_characters else 0.0
