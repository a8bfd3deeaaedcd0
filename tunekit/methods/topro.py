"""ToPro: each word of a sentence is asked about in a prompt of its own, and one mask gives its label.

Ma, Nie et al. 2024, *ToPro: Token-Level Prompt Decomposition for Cross-Lingual Sequence Labeling Tasks* (EACL;
arXiv:2401.16589). A sentence X = (x_1 ... x_m) becomes m prompts T(X, x_i), each with one mask. With a verbalizer v,
p(y | X, x_i) = softmax over the labels y of the logit of v(y) at the mask; the loss is the cross-entropy over these
|Y| logits, summed over the words. Backbone and vocabulary head are trained whole; nothing is added to them. The
published setting: learning rate 1e-5, 32 prompts per update, 5 epochs, AdamW without decay, linear fall, no warm-up.

Templates and label words are the paper's for entities and for parts of speech. For other tags the template asks for
the tag, and each label is its own word; where that is not one vocabulary entry the sweep file gives the words.

Deliberate differences from the published code:

- Equal prompts (repeated words of a sentence) are computed once when predicting, the vocabulary head runs at the mask
  and the label words only, and rows are padded to their batch. None of it changes a prediction.
- A long sentence is shown as the window around the asked word. There its end is cut, for late words too.
- The metric is the task's, never the method's.

Options beyond the paper:

- `position_marker` marks the asked word at its place, so that two equal words of a sentence can get two labels.
- `multi_token: mean` scores a label word of several tokens by the mean of their logits at the mask.
- `share_sentence`, a variant: one row holds a sentence once and all of its questions. The sentence sees itself, a
  question sees the sentence and itself, and its positions go on from the sentence's end as if it stood there alone.
  The sentence does not see the question, which is what makes it another model; it is trained and used that way. The
  tokens computed fall from n (S + p) to S + n p for n questions of p tokens. Equal questions are computed once, in
  training too; each counts as often as it is asked.

On mT5 the prompt ends at ``{mask}`` (a colon is its last sign) and the decoder writes the label. The paper generates
freely; here the labels' strings, ended by the end-of-text token, are scored: log p(y | X, x_i) is the string's
log-likelihood, renormalised over the label set, and the loss is the cross-entropy of that. So no other string can be
answered. The strings are the labels themselves, or the words of `verbalizer`, of any number of tokens.

The paper leaves unsaid what the prompt of a word looks like that is longer than the row: it is cut.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import ClassVar

from torch import Tensor

from tunekit.backbone import scoring
from tunekit.errors import ConfigError, quoted, require
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch
from tunekit.methods.parts.label_words import template_for, words_for
from tunekit.methods.parts.shared_sentence import SharedBatch, SharedSentenceMethod
from tunekit.methods.parts.verbalizers import MultiToken


@dataclass(frozen=True, kw_only=True)
class ToProConfig:
    """Options of ToPro."""

    template: str | None = None
    """The prompt, with {sentence}, {word} and {mask}, and | as the border of a text pair; None is the paper's."""
    verbalizer: Mapping[str, str] | None = None
    """A word for every label; None is the paper's, or the label itself where the paper has none."""
    multi_token: MultiToken = "refuse"
    """A label word of several tokens is an error, or scored by the mean of its tokens' logits."""
    position_marker: str | None = None
    """A sign such as "*" put before and after the asked word in the sentence; None marks nothing, as in the paper."""
    share_sentence: bool = False
    """Encode a sentence once for all of its questions, which it then does not see: a variant, for encoders. A row of
    `batch_size` is then a sentence, not a prompt."""

    def __post_init__(self) -> None:
        marker = self.position_marker
        require(marker is None or bool(marker.strip()), "position_marker", marker, "a sign such as '*', or null")
        if self.share_sentence and marker is not None:
            raise ConfigError(
                f"position_marker is {quoted(marker)}, must be null with share_sentence: all questions share one "
                "sentence, so no word can be marked in it"
            )


class ToPro(SharedSentenceMethod[ToProConfig]):
    """A cloze question for each word."""

    Config: ClassVar[type] = ToProConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"token"})
    families: ClassVar[frozenset[str]] = frozenset({"encoder", "encoder-decoder"})

    def __init__(self, config: ToProConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        self.shares_sentence = config.share_sentence
        backbone = self.backbone
        if backbone.family != "encoder":
            where = f"left out on {backbone.name!r}, an encoder-decoder"
            require(not config.share_sentence, "share_sentence", True, f"{where}: only an encoder shares a sentence")
            require(config.multi_token == "refuse", "multi_token", "mean", f"{where}: it scores whole strings anyway")
        if config.share_sentence and self.template.slots[0] != "sentence":
            raise ConfigError(
                f"template {self.template.text!r}: {{sentence}} must come first with share_sentence, which encodes the "
                "text up to its end once"
            )

    @cached_property
    def _marker(self) -> tuple[int, ...]:
        """The tokens before and after the asked word."""
        marker = self.config.position_marker
        return () if marker is None else self.writer.words([marker.strip()])[0]

    @property
    def multi_token(self) -> MultiToken:
        return self.config.multi_token

    @property
    def marker_size(self) -> int:
        return 2 * len(self._marker)

    def default_template(self) -> str:
        return template_for(self.labels)

    def default_words(self) -> Mapping[str, str]:
        if self.backbone.family == "encoder-decoder":
            return {label: label for label in self.labels}
        return words_for(self.labels)

    def states(self, batch: Batch) -> Tensor:
        if not isinstance(batch, SharedBatch):
            return super().states(batch)
        reads = (batch.read_rows, batch.read_columns)
        return scoring.encode_shared(self.backbone, batch.inputs, batch.questions, batch.owners, reads=reads)

    def encoding_key(self) -> Hashable:
        return super().encoding_key(), self.config.position_marker, self.config.share_sentence

    def sentence_tokens(self, texts: Sequence[tuple[int, ...]], place: int) -> tuple[int, ...]:
        marked = (*texts[:place], self._marker, texts[place], self._marker, *texts[place + 1 :])
        return tuple(chain.from_iterable(marked))
