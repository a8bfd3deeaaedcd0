"""ToPro without training: a language model is asked about each word, and the likeliest label word answers.

Ma, Nie et al. 2024, *ToPro: Token-Level Prompt Decomposition for Cross-Lingual Sequence Labeling Tasks* (EACL;
arXiv:2401.16589), its study of large language models. Each word x_i of a sentence X is asked about in a text T(X, x_i)
of its own, which ends where the answer begins; the label is argmax over y of the logit of the first token of the
label's word, written as a new word. Nothing is trained, and no seed changes anything.

Templates and words are those of the published code's last version: bloomz's for causal models, mt0's for
encoder-decoders. `earlier` is the version before it, `no_tag_set` the last one without its line of tags (which of its
numbered patterns made the paper's table is unknown), `topro` what encoders are asked with, as one running text.

On a causal model a sentence is read once for all of its questions, and so is the question up to the asked word: the
logits are those of one row per word, and the tokens computed fall from n (S + p) to S + n p for n questions of p tokens
about S. That takes a template in which ``{sentence}`` comes before ``{word}``; another one costs one row per word. An
encoder-decoder reads each question with its sentence in the encoder, in both directions, and writes the label. Equal
questions are computed once.

Deliberate differences from the published code:

- Its newest scripts let the model generate and look for label words in what comes out. Here, as in its other scripts,
  only the task's labels can be answered, exactly one for each word. The metric is the task's: the paper's own counts O.
- It cuts prompts at 128 tokens, so that the question itself is lost where a sentence is long; here a long sentence is
  shown as the window around the asked word, and `max_length` counts the whole prompt.
- Words are tokenized each on its own, after a space, also the first of a prompt. mt0's decoder begins with its own
  first token, not with an added `<s>`.

`score: sum` and `score: mean` compare the likelihoods of whole strings. On a causal model a label's string has no end,
so with `sum` no label may begin another's; an encoder-decoder ends each with its end-of-text token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tunekit.backbone import scoring
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch
from tunekit.methods.parts.answers import Score, answer_tokens, scored_tokens
from tunekit.methods.parts.label_words import PUBLISHED, chosen_template, chosen_words
from tunekit.methods.parts.language_model_words import templates_for, words_by_name
from tunekit.methods.parts.shared_sentence import SharedBatch, SharedSentenceMethod

_HERE = -1
"""Stands for the asked word where only its place is wanted."""


@dataclass(frozen=True, kw_only=True)
class ToProZeroShotConfig:
    """Options of zero-shot ToPro."""

    template: str | None = PUBLISHED
    """The question, with {sentence} and {word}, up to {mask}, where the label is scored; or a name: `published`,
    `no_tag_set`, `earlier` or `topro`."""
    verbalizer: Mapping[str, str] | str | None = PUBLISHED
    """A word for every label, of any number of tokens; or a name: `published`, `earlier`, `topro` or `labels`."""
    score: Score = "first"
    """The first token of a label's word alone, as published; or the log-likelihood of the whole word; or that divided
    by its number of tokens."""

    def __post_init__(self) -> None:
        for name in ("template", "verbalizer"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, PUBLISHED)


class ToProZeroShot(SharedSentenceMethod[ToProZeroShotConfig]):
    """Each word is asked about in a text of its own, and the labels' strings are scored."""

    Config: ClassVar[type] = ToProZeroShotConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"token"})
    families: ClassVar[frozenset[str]] = frozenset({"causal", "encoder-decoder"})
    is_trained: ClassVar[bool] = False
    trains_backbone: ClassVar[bool] = False

    def __init__(self, config: ToProZeroShotConfig, setting: Setting) -> None:
        labels, is_causal = setting.task.labels, setting.backbone.is_causal
        words = chosen_words(config.verbalizer, labels, words_by_name(labels, is_causal=is_causal))
        template = chosen_template(config.template, templates_for(labels, is_causal=is_causal))
        super().__init__(dataclasses.replace(config, template=template, verbalizer=words), setting)
        slots, backbone = self.template.slots, self.backbone
        self.shares_sentence = is_causal and slots.index("sentence") < slots.index("word")
        ordered = {label: words[label] for label in labels}
        if is_causal:
            self.strings = answer_tokens(ordered, self.template, backbone.tokenizer, config.score)
        self.strings = scored_tokens(ordered, self.strings, config.score)

    def logits(self, batch: Batch) -> Tensor:
        normalise = self.config.score == "mean"
        if not isinstance(batch, SharedBatch):
            return scoring.continuation_scores(self.backbone, batch.inputs, self.strings, normalise=normalise)
        scores = scoring.continuation_scores_shared(
            self.backbone,
            batch.inputs,
            batch.questions,
            owners=batch.owners,
            candidates=self.strings,
            normalise=normalise,
        )
        return scores[batch.read_rows]

    def encoding_key(self) -> Hashable:
        return super().encoding_key(), self.shares_sentence

    def shared_end(self, texts: Sequence[tuple[int, ...]]) -> int:
        return self.write_question(texts, 0, (_HERE,)).input_ids.index(_HERE)
