"""PCT, prompt-learning from cross-lingual templates (Qi et al. 2022).

``premise. question: hypothesis? answer: <mask>`` asks about a pair; a template of another language has the two cue
words of that language around the same, untranslated pair. With P the distribution over the answer words at the mask,

    L = CE(P_src) + CE(P_other) + consistency * (KL(P_src || P_other) + KL(P_other || P_src)) / 2

where P_src comes from the source language's template and P_other from that of a language drawn anew for each row and
step, uniformly. Everything is trained. The paper's loss has `consistency` 1. Its released few-shot script takes input
ids for labels and cannot learn them; this is the paper, not that script.

What the paper leaves unsaid and we chose: the translated cue words (``CUE_WORDS``); gradients flow to both sides of
both divergences; the languages drawn are the task's target languages, or where it has none all that cue words are
known for; text of a target language is asked in its own template (`inference_template`), with the source's answer
words unless `verbalizers` has others; each template cuts a pair that is too long to fit its own row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from tunekit.errors import ConfigError, nearest, require
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch, Feature
from tunekit.methods.parts.cue_words import CUE_WORDS
from tunekit.methods.parts.multilingual import (
    LanguageBatch,
    LanguageFeature,
    MultilingualCloze,
    MultilingualConfig,
    extended,
    kl_divergence,
)
from tunekit.methods.parts.templates import Template
from tunekit.tasks import Example, PairExample

TEMPLATE = "{premise}. {question}: {hypothesis}? {answer}: {mask}"
CUES = ("question", "answer")


@dataclass(frozen=True, kw_only=True)
class PCTConfig(MultilingualConfig):
    """Options of PCT. `template` has {question} and {answer} where the cue words stand."""

    consistency: float = 1.0
    """Weight of the divergences, >= 0; 0 leaves the two cross-entropies."""
    template_languages: tuple[str, ...] = ()
    """Languages whose templates are drawn; empty is the task's target languages, or all known ones if it has none."""
    cue_words: Mapping[str, tuple[str, ...]] | None = None
    """Further or other cue words: language -> [question, answer]."""
    inference_template: Literal["own", "source"] = "own"
    """Text of a target language is asked in that language's template (own) or in the source language's."""

    def __post_init__(self) -> None:
        require(self.consistency >= 0, "consistency", self.consistency, "0 or more")
        for language, words in (self.cue_words or {}).items():
            is_two = len(words) == len(CUES) and all(words)
            require(is_two, f"cue_words: {language}", list(words), "two words, [question, answer]")


@dataclass(frozen=True, slots=True)
class PairFeature(LanguageFeature):
    """A row that can be asked again in another template."""

    example: PairExample | None = None


@dataclass
class PairBatch(LanguageBatch):
    """Rows with the pairs that they ask about."""

    examples: tuple[PairExample, ...]


class PCT(MultilingualCloze[PCTConfig]):
    """Cloze questions whose answer may not depend on the language of the template."""

    Config: ClassVar[type] = PCTConfig

    def __init__(self, config: PCTConfig, setting: Setting) -> None:
        task = setting.task.config
        source, targets = task.source_language, task.target_languages
        self._text = str(config.template or TEMPLATE)
        self._cues = {**CUE_WORDS, **(config.cue_words or {})}
        own = dataclasses.replace(config, template=self._template(source))
        super().__init__(own, setting)
        known = tuple(language for language in self._cues if language != source)
        self.drawn_languages: tuple[str, ...] = config.template_languages or targets or known
        asked = (*self.drawn_languages, *(targets if config.inference_template == "own" else ()))
        writers = {name: self.make_writer(Template(self._template(name))) for name in asked}
        self.writers = {**writers, source: self.writer}
        for writer in self.writers.values():
            self.check_room(writer)

    @property
    def num_computed_rows(self) -> int:
        return 2

    def encoding_key(self) -> Hashable:
        templates = tuple((name, writer.template) for name, writer in self.writers.items())
        return ("pct", templates, self.config.inference_template, super().encoding_key())

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        place, pairs = self.place(language), cast("Sequence[PairExample]", examples)
        asked_in = self.languages[place if self.config.inference_template == "own" else 0]
        rows = self.encode_pairs(pairs, self.writers[asked_in])
        asked = zip(pairs, rows, strict=True)
        return [(extended(row, PairFeature, language=place, example=pair),) for pair, (row,) in asked]

    def collate(self, features: Sequence[Feature]) -> PairBatch:
        pairs = tuple(cast(PairExample, cast(PairFeature, feature).example) for feature in features)
        return extended(super().collate(features), PairBatch, examples=pairs)

    def loss(self, batch: Batch) -> Tensor:
        first = self.logits(batch)
        second = self.logits(self.asked_again(cast(PairBatch, batch)).to(first.device))
        cross_entropy = sum(
            nn.functional.cross_entropy(logits, batch.label_ids, reduction="sum") for logits in (first, second)
        )
        divergence = (kl_divergence(first, second) + kl_divergence(second, first)).sum() / 2
        loss: Tensor = cross_entropy + self.config.consistency * divergence
        return loss

    def asked_again(self, batch: PairBatch) -> LanguageBatch:
        """The same pairs on the CPU, each in the template of a language drawn by torch's global generator."""
        drawn = torch.randint(len(self.drawn_languages), (len(batch.examples),)).tolist()
        rows = []
        for pair, place, index in zip(batch.examples, batch.languages, drawn, strict=True):
            ((row,),) = self.encode_pairs([pair], self.writers[self.drawn_languages[index]])
            rows.append(extended(row, LanguageFeature, language=place))
        return super().collate(rows)

    def _template(self, language: str) -> str:
        """The template with the cue words of `language`."""
        if language not in self._cues:
            raise ConfigError(
                f"no words for 'question' and 'answer' are known in {language!r}; give cue_words: "
                f"{{{language}: [..., ...]}}; {nearest(language, self._cues)}"
            )
        if not any(f"{{{cue}}}" in self._text for cue in CUES):
            raise ConfigError(
                f"template {self._text!r} has neither {{question}} nor {{answer}}: it is the same in every language"
            )
        text = self._text
        for cue, word in zip(CUES, self._cues[language], strict=True):
            text = text.replace(f"{{{cue}}}", word)
        return text
