"""ToPro without training: a language model is asked about each word, and the likeliest label string answers.

Ma, Nie et al. 2024, *ToPro: Token-Level Prompt Decomposition for Cross-Lingual Sequence Labeling Tasks* (EACL;
arXiv:2401.16589), its study of large language models. Each word x_i of a sentence X is asked about in a text T(X, x_i)
of its own, which ends where the answer begins; the label is argmax over y of log p(s(y) | T(X, x_i)), s(y) being the
tokens of the label's word (`score: mean` divides by their number). Nothing is trained, and no seed changes anything.

On a causal model a sentence is read once for all of its questions, and so is the question up to the asked word: the
logits are those of one row per word, and the tokens computed fall from n (S + p) to S + n p for n questions of p tokens
about S. That takes a template in which ``{sentence}`` comes before ``{word}``; another one costs one row per word. An
encoder-decoder reads each question with its sentence in the encoder, in both directions, and writes the label. Equal
questions are computed once.

Deliberate differences from the paper: it lets the model generate and looks for label words in what comes out; here
only the task's labels can be answered, exactly one for each word. The metric is the task's: the paper's own counts O.

The paper leaves unsaid which template and words its language models got. Ours are those of ToPro, up to the mask and as
one running text (a causal model takes the border of a text pair for the end of a document). On a causal model a label's
string has no end, so with `score: sum` no label may begin another's; the decoder of an encoder-decoder ends each with
its end-of-text token.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tunekit.backbone import scoring
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch
from tunekit.methods.parts.answers import Score, answer_tokens
from tunekit.methods.parts.label_words import template_for, words_for
from tunekit.methods.parts.shared_sentence import SharedBatch, SharedSentenceMethod

_HERE = -1
"""Stands for the asked word where only its place is wanted."""


@dataclass(frozen=True, kw_only=True)
class ToProZeroShotConfig:
    """Options of zero-shot ToPro."""

    template: str | None = None
    """The question, with {sentence} and {word}, up to {mask}, where the label is scored; None is ToPro's."""
    verbalizer: Mapping[str, str] | None = None
    """A word for every label, of any number of tokens; None is ToPro's, or the label itself where it has none."""
    score: Score = "sum"
    """Log-likelihood of a label's string, or that divided by its number of tokens."""


class ToProZeroShot(SharedSentenceMethod[ToProZeroShotConfig]):
    """Each word is asked about in a text of its own, and the labels' strings are scored."""

    Config: ClassVar[type] = ToProZeroShotConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"token"})
    families: ClassVar[frozenset[str]] = frozenset({"causal", "encoder-decoder"})
    is_trained: ClassVar[bool] = False
    trains_backbone: ClassVar[bool] = False

    def __init__(self, config: ToProZeroShotConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        slots, backbone = self.template.slots, self.backbone
        self.shares_sentence = backbone.is_causal and slots.index("sentence") < slots.index("word")
        if backbone.is_causal:
            words = self.default_words() if config.verbalizer is None else config.verbalizer
            self.strings = answer_tokens(
                {y: words[y] for y in self.labels}, self.template, backbone.tokenizer, config.score
            )

    def default_template(self) -> str:
        return template_for(self.labels).replace(" | ", " ").partition("{mask}")[0] + "{mask}"

    def default_words(self) -> Mapping[str, str]:
        return words_for(self.labels)

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
