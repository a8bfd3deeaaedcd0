"""Cloze questions that know the language of their text: words for each language, and soft prompts inside the text.

What soft_prompt, pct and mpt share. Shapes: B rows, L tokens, P prompt positions, D width, N labels to predict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from tunekit.backbone.moving import moved
from tunekit.errors import ConfigError, nearest
from tunekit.methods.base import Method, Setting
from tunekit.methods.batch import Batch, Feature
from tunekit.methods.parts.cloze import ClozeFeature, ClozeMethod
from tunekit.methods.parts.verbalizers import MultiToken, Verbalizer
from tunekit.tasks import Example

__all__ = [
    "PAIR_WORDS",
    "LanguageBatch",
    "LanguageFeature",
    "MultilingualCloze",
    "MultilingualConfig",
    "extended",
    "kl_divergence",
]

T = TypeVar("T", bound=Feature | Batch)

PAIR_WORDS: tuple[Mapping[str, str], ...] = (
    {"contradiction": "wrong", "entailment": "right", "neutral": "maybe"},
    {"0": "wrong", "1": "right"},
)
"""Answer words by label: of XNLI (Zhao & Schuetze 2021), and of PAWS-X (our choice)."""


@dataclass(frozen=True, kw_only=True)
class MultilingualConfig:
    """Options of every method here."""

    template: str | None = None
    """The question, with a slot for each text and for the mask; null is the method's own."""
    verbalizer: Mapping[str, str | int] | None = None
    """A word for every label, or the number of its entry in the backbone's vocabulary; null is the method's own."""
    verbalizers: Mapping[str, Mapping[str, str | int]] | None = None
    """Words for text of some languages: language -> label -> word. Other languages are read by `verbalizer`."""
    multi_token: MultiToken = "refuse"
    """A word that is not one vocabulary entry is an error (refuse) or scored over its tokens (mean)."""


@dataclass(frozen=True, slots=True)
class LanguageFeature(ClozeFeature):
    """A row with a mask in a text of some language."""

    language: int = 0
    """Place among `MultilingualCloze.languages`; 0 is the source language."""

    @property
    def question(self) -> Hashable:
        return self.input_ids, self.token_type_ids, self.reads, self.prompt, self.language


@dataclass
class LanguageBatch(Batch):
    """Rows of which each has the same number of prompt positions."""

    prompt_columns: Tensor
    """[B, P]"""
    languages: tuple[int, ...]
    """Of each row, as `LanguageFeature.language`."""


C = TypeVar("C", bound=MultilingualConfig, default=MultilingualConfig)


class MultilingualCloze(ClozeMethod[C]):
    """A cloze method whose rows carry their language. Its Config derives from :class:`MultilingualConfig`."""

    kinds: ClassVar[frozenset[str]] = frozenset({"pair"})

    def __init__(self, config: C, setting: Setting) -> None:
        task = setting.task.config
        self.languages = (task.source_language, *task.target_languages)
        super().__init__(config, setting)
        for language in config.verbalizers or {}:
            if language not in self.languages:
                raise ConfigError(
                    f"verbalizers: {language!r} is no language of the task; {nearest(language, self.languages)}"
                )
        self._verbalizers = tuple(self._verbalizer_of(language) for language in self.languages)

    @property
    def multi_token(self) -> MultiToken:
        return self.config.multi_token

    def default_words(self) -> Mapping[str, str | int]:
        for words in PAIR_WORDS:
            if set(words) == set(self.labels):
                return words
        labels = ", ".join(self.labels)
        raise ConfigError(f"verbalizer: no words are known for the labels {labels}; give each one, as {{label: word}}")

    def answers(self, states: Tensor, languages: Sequence[int]) -> Tensor:
        """Scores of the labels [N, labels] for the states at the masks [N, D], by the words of each row's language."""
        verbalizers = [self._verbalizers[language] for language in languages]
        if all(verbalizer is verbalizers[0] for verbalizer in verbalizers):
            return self.label_logits(states, verbalizers[0])
        logits, different = states.new_empty(len(states), len(self.labels)), list(dict.fromkeys(verbalizers))
        rows_of = [torch.tensor([row for row, own in enumerate(verbalizers) if own is each]) for each in different]
        for verbalizer, rows in zip(different, moved(rows_of, states.device), strict=True):
            logits = logits.index_copy(0, rows, self.label_logits(states[rows], verbalizer))
        return logits

    def entries(self, language: int) -> tuple[int, ...]:
        """The vocabulary entry of each label's word in a language; with `multi_token: mean` there may be none."""
        return self._verbalizers[language].token_ids

    logits = Method.logits  # its families fill in, none of them writes

    def logits_of(self, states: Tensor, batch: Batch) -> Tensor:
        return self.answers(states, cast(LanguageBatch, batch).languages)

    def encoding_key(self) -> Hashable:
        return ("multilingual", self.languages, super().encoding_key())

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        place = self.place(language)
        rows = super().encode_all(examples, language=language)
        return [tuple(extended(row, LanguageFeature, language=place) for row in found) for found in rows]

    def place(self, language: str | None) -> int:
        """Where `language` stands among `languages`; None is the source language.

        Raises:
            ConfigError: the task does not name it.
        """
        if language is None:
            return 0
        if language not in self.languages:
            raise ConfigError(f"{language!r} is no language of the task; {nearest(language, self.languages)}")
        return self.languages.index(language)

    def collate(self, features: Sequence[Feature]) -> LanguageBatch:
        rows = [cast(LanguageFeature, feature) for feature in features]
        return extended(
            super().collate(features),
            LanguageBatch,
            prompt_columns=torch.tensor([row.prompt for row in rows], dtype=torch.long),
            languages=tuple(row.language for row in rows),
        )

    def _verbalizer_of(self, language: str) -> Verbalizer:
        words = (self.config.verbalizers or {}).get(language)
        if words is None:
            return self.verbalizer
        try:
            return self.make_verbalizer(words)
        except ConfigError as error:
            raise ConfigError(f"verbalizers: {language}: {error}") from None


def extended(narrow: Feature | Batch, wide: type[T], **more: object) -> T:
    """`narrow` as an instance of its subclass `wide`, whose further fields are `more`."""
    values: dict[str, Any] = {f.name: getattr(narrow, f.name) for f in dataclasses.fields(narrow)}
    return wide(**values | more)


def kl_divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(first || second) of each row [N], from scores [N, labels] before the softmax."""
    return nn.functional.kl_div(second.log_softmax(-1), first.log_softmax(-1), reduction="none", log_target=True).sum(
        -1
    )
