"""PCT, prompt-learning from cross-lingual templates (Qi et al. 2022), as its code for the full data has it.

A pair is two texts: the premise, and ``question:HYPOTHESIS? Answer:<mask>``. A template of another language has the two
cue words of that language around the same, untranslated hypothesis. With p the distribution over the whole vocabulary
at the mask in the source language's template and q that in the other's,

    L = CE(p) + CE(q) + consistency * (KL(p || q) + KL(q || p)),    each the mean over rows

The other language of a row is drawn once for a trial, uniformly over the other languages that have a published
template. Text of every language is asked in the source language's template. Everything is trained; `consistency` is 1.
Published settings: rate 2e-5, 50 epochs, batches of 32, length 128, warm-up over 10 % of the updates and a linear fall
to 10 % of the rate (few shots). Its released few-shot script takes input ids for labels and cannot learn them; this is
the loss of its script for the full data.

Label words are vocabulary entries of XLM-R, published by number (`XLM_R_WORDS`), and the default on that vocabulary; on
others the default is soft_prompt's words, our choice. PAWS-X, labels 0 and 1, has a published template of its own in
each of its seven languages, ``Question:HYPOTHESIS paraphrase or not? Answer:<mask>`` in English, and two of those
entries (its script: RMSprop at 5e-5, 8 epochs).

Deliberate differences: AdamW; a pair that is too long is cut in its own two texts, so that mask and cue words always
stay (the published code cuts the template away and puts its end back); rows are padded to their batch; probabilities
are not clipped (there at 1e-7, in all three terms).

Our options: the language drawn anew each time a row is seen (`template_language: each_time`), from languages of one's
choice (`template_languages`); both losses over the label words alone (`distribution: label_words`); half the sum of the
divergences (`divergence: half`); target text in its own template (`inference_template: own`), with words of its own
(`verbalizers`); another `template`, such as "{premise}. {question}: {hypothesis}? {answer}: {mask}".
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from tunekit.backbone.moving import moved
from tunekit.errors import ConfigError, nearest, require
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch, Feature
from tunekit.methods.parts.cue_words import CUE_WORDS, LAYOUTS, PARAPHRASE, PUBLISHED, TEMPLATE
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

CUES = ("question", "answer")
XLM_R_WORDS = ({"entailment": 63736, "neutral": 11354, "contradiction": 157}, {"1": 63736, "0": 157})
"""The published label words of XNLI and of PAWS-X, as entries of XLM-R's vocabulary."""
XLM_R_SIZE, XLM_R_MASK = 250_002, 250_001
"""Entries of that vocabulary, and which one is its mask: how it is recognised."""


@dataclass(frozen=True, kw_only=True)
class PCTConfig(MultilingualConfig):
    """Options of PCT. `template` has {question} and {answer} where the cue words stand."""

    consistency: float = 1.0
    """Weight of the divergences, >= 0; 0 leaves the two cross-entropies."""
    distribution: Literal["vocabulary", "label_words"] = "vocabulary"
    """What both losses are taken over: the whole vocabulary, as published, or the label words."""
    divergence: Literal["sum", "half"] = "sum"
    """Both divergences added, as published, or half of that, their mean."""
    template_language: Literal["once", "each_time"] = "once"
    """The language of a row's second template: drawn once for the trial, as published, or each time it is seen."""
    template_languages: tuple[str, ...] = ()
    """Languages whose templates are drawn; empty is all published ones and those of `cue_words` but the source."""
    cue_words: Mapping[str, tuple[str, ...]] | None = None
    """Further or other cue words: language -> [question, answer]."""
    inference_template: Literal["own", "source"] = "source"
    """Text of a target language is asked in the source language's template, as published, or in its own."""

    def __post_init__(self) -> None:
        require(self.consistency >= 0, "consistency", self.consistency, "0 or more")
        for language, words in (self.cue_words or {}).items():
            is_two = len(words) == len(CUES) and all(words)
            require(is_two, f"cue_words: {language}", list(words), "two words, [question, answer]")
        if self.distribution == "vocabulary":
            why = "'refuse' with distribution: vocabulary, where a label is one entry"
            require(self.multi_token == "refuse", "multi_token", self.multi_token, why)


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
        self._layout = None if config.template is None else str(config.template)
        own_cues = config.cue_words or {}
        self._cues = {**CUE_WORDS, **own_cues}
        asks_paraphrase = self._layout is None and set(setting.task.labels) == set(XLM_R_WORDS[1])
        self._whole = {name: text for name, text in PARAPHRASE.items() if asks_paraphrase and name not in own_cues}
        own = dataclasses.replace(config, template=self._template(source))
        super().__init__(own, setting)
        known = dict.fromkeys((*(PARAPHRASE if asks_paraphrase else PUBLISHED), *own_cues))
        self.drawn_languages = config.template_languages or tuple(name for name in known if name != source)
        asked = (*self.drawn_languages, *(targets if config.inference_template == "own" else ()))
        writers = {name: self.make_writer(Template(self._template(name))) for name in asked}
        self.writers = {**writers, source: self.writer}
        for writer in self.writers.values():
            self.check_room(writer)
        self._draw = int(torch.randint(2**31, (1,)))  # so that the trial's seed decides which language a row gets

    @classmethod
    def training_defaults(cls) -> dict[str, object]:
        return {"warmup_fraction": 0.1, "final_rate_fraction": 0.1}

    @property
    def num_computed_rows(self) -> int:
        return 2

    def default_words(self) -> Mapping[str, str | int]:
        tokenizer = self.backbone.tokenizer
        published = next((words for words in XLM_R_WORDS if set(words) == set(self.labels)), None)
        if published is None or tokenizer is None or tokenizer.mask_token_id != XLM_R_MASK:
            return super().default_words()
        return published if len(tokenizer.get_vocab()) == XLM_R_SIZE else super().default_words()

    def encoding_key(self) -> Hashable:
        templates = tuple((name, writer.template) for name, writer in self.writers.items())
        return ("pct", templates, self.config.inference_template, super().encoding_key())

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        place, pairs = self.place(language), cast("Sequence[PairExample]", examples)
        asked_in = self.languages[place if self.config.inference_template == "own" else 0]
        rows = self.encode_pairs(pairs, self.writers[asked_in], self.split_of(language))
        asked = zip(pairs, rows, strict=True)
        return [(extended(row, PairFeature, language=place, example=pair),) for pair, (row,) in asked]

    def collate(self, features: Sequence[Feature]) -> PairBatch:
        pairs = tuple(cast(PairExample, cast(PairFeature, feature).example) for feature in features)
        return extended(super().collate(features), PairBatch, examples=pairs)

    def loss(self, batch: Batch) -> Tensor:
        rows = cast(PairBatch, batch)
        other = self.asked_again(rows).to(rows.label_ids.device)
        (first, gold), (second, _) = self._scores(rows), self._scores(other)
        cross_entropy = sum(nn.functional.cross_entropy(scores, gold, reduction="sum") for scores in (first, second))
        divergence = (kl_divergence(first, second) + kl_divergence(second, first)).sum()
        weight = self.config.consistency * (0.5 if self.config.divergence == "half" else 1.0)
        loss: Tensor = cross_entropy + weight * divergence
        return loss

    def _scores(self, batch: LanguageBatch) -> tuple[Tensor, Tensor]:
        """What both losses are taken over [N, labels] or [N, vocabulary], and the right one of each row [N]."""
        states = self.states(batch)
        if self.config.distribution == "label_words":
            return self.answers(states, batch.languages), batch.label_ids
        entries = [self.entries(language) for language in batch.languages]
        (table,) = moved([torch.tensor(entries, dtype=torch.long)], states.device)
        return self.backbone.vocabulary_logits(states), table.gather(1, batch.label_ids[:, None])[:, 0]

    def asked_again(self, batch: PairBatch) -> LanguageBatch:
        """The same pairs on the CPU, each in the template of the language that was drawn for it."""
        rows = []
        for pair, place, index in zip(batch.examples, batch.languages, self._drawn(batch.examples), strict=True):
            split = self.split_of(self.languages[place])
            ((row,),) = self.encode_pairs([pair], self.writers[self.drawn_languages[index]], split)
            rows.append(extended(row, LanguageFeature, language=place))
        return super().collate(rows)

    def _drawn(self, pairs: Sequence[PairExample]) -> list[int]:
        """Which of `drawn_languages` each pair gets; equal pairs get one, unless it is drawn each time."""
        size = len(self.drawn_languages)
        if self.config.template_language == "each_time":
            found: list[int] = torch.randint(size, (len(pairs),)).tolist()
            return found
        keys = (f"{self._draw}\n{pair.text_a}\n{pair.text_b}\n{pair.label}" for pair in pairs)
        return [int(random.Random(key).random() * size) for key in keys]

    def _template(self, language: str) -> str:
        """The template of `language`, with its cue words."""
        if language in self._whole:
            return self._whole[language]
        if language not in self._cues:
            raise ConfigError(
                f"no words for 'question' and 'answer' are known in {language!r}; give cue_words: "
                f"{{{language}: [..., ...]}}; {nearest(language, self._cues)}"
            )
        text = LAYOUTS.get(language, TEMPLATE) if self._layout is None else self._layout
        if not any(f"{{{cue}}}" in text for cue in CUES):
            raise ConfigError(
                f"template {text!r} has neither {{question}} nor {{answer}}: it is the same in every language"
            )
        for cue, word in zip(CUES, self._cues[language], strict=True):
            text = text.replace(f"{{{cue}}}", word)
        return text
