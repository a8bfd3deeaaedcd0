"""ToPro: each word of a sentence is asked about in a prompt of its own, and one mask gives its label.

Ma, Nie et al. 2024, *ToPro: Token-Level Prompt Decomposition for Cross-Lingual Sequence Labeling Tasks* (EACL;
arXiv:2401.16589). A sentence X = (x_1 ... x_m) becomes m prompts T(X, x_i), each with one mask. With a verbalizer v,
p(y | X, x_i) = softmax over the labels y of the logit of v(y) at the mask; the loss is the cross-entropy over these
|Y| logits, summed over the words. Backbone and vocabulary head are trained whole; nothing is added to them. The
published setting: learning rate 1e-5, 32 prompts per update, 5 epochs, AdamW without decay, linear fall, no warm-up.

Templates and label words are the paper's for entities and for parts of speech. For other tags the template asks for
the tag, and each label is its own word; where that is not one vocabulary entry the sweep file gives the words. A label
word is looked up in the vocabulary as it is spelled, so that on XLM-R its entry is the word-internal ``place`` where
there is one, although the word is written ``▁place``; `label_lookup: in_text` takes the entry that is written.

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

On mT5 nothing stands at ``{mask}``, so the prompt ends "is a kind of:  .", and the decoder writes the label;
`prompt_end: mask` cuts the prompt at the mask. The paper generates freely; here the labels' strings, ended by the
end-of-text token, are scored: log p(y | X, x_i) is the string's log-likelihood, renormalised over the label set, and
the loss is the cross-entropy of that. So no other string can be answered. The strings are the labels themselves, or
the words of `verbalizer`, of any number of tokens.

Ablations of its parts, on encoders: `decompose: false` has one row for each sentence and no question, and reads each
word at its own state; `read_out: head` has a linear head in place of the label words (both together: fine-tuning);
`untrained` draws all weights anew, by the trial's seed, as before pretraining.

The paper leaves unsaid what the prompt of a word looks like that is longer than the row: it is cut.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import ClassVar, Literal

from torch import Tensor

from tunekit.backbone import Backbone, scoring
from tunekit.backbone.untrained import draw_weights
from tunekit.errors import ConfigError, quoted, require
from tunekit.methods.base import Method, Setting
from tunekit.methods.batch import Batch, Feature
from tunekit.methods.parts.head import Head, averaged, rows_for
from tunekit.methods.parts.label_words import PUBLISHED, chosen_template, chosen_words, template_for, words_for
from tunekit.methods.parts.shared_sentence import SharedBatch, SharedSentenceMethod
from tunekit.methods.parts.templates import MaskForm
from tunekit.methods.parts.verbalizers import Lookup, MultiToken, Verbalizer
from tunekit.tasks import Example


@dataclass(frozen=True, kw_only=True)
class ToProConfig:
    """Options of ToPro."""

    template: str | None = PUBLISHED
    """The prompt, with {sentence}, {word} and {mask}, and | as the border of a text pair; or `published`."""
    verbalizer: Mapping[str, str | int] | str | None = PUBLISHED
    """A word for every label; or `published` (the label itself where the paper has no word, and on mT5), or
    `labels`."""
    label_lookup: Lookup = "published"
    """The vocabulary entry of a label word: the one spelled like it, as published, or the one written inside a text."""
    multi_token: MultiToken = "refuse"
    """A label word of several tokens is an error, or scored by the mean of its tokens' logits."""
    position_marker: str | None = None
    """A sign such as "*" put before and after the asked word in the sentence; None marks nothing, as in the paper."""
    share_sentence: bool = False
    """Encode a sentence once for all of its questions, which it then does not see: a variant, for encoders. A row of
    `batch_size` is then a sentence, not a prompt."""
    prompt_end: Literal["published", "mask"] = "published"
    """On mT5: the whole template with nothing at its mask, or the text up to the mask."""
    decompose: bool = True
    """One question for each word; false: one row for each sentence, no question, each word read at its own state. A row
    of `batch_size` is then a sentence."""
    read_out: Literal["label_words", "head"] = "label_words"
    """What reads a state: the vocabulary head at the label words, or a fresh linear head."""
    head_dropout: float = 0.1
    """Dropout before the linear head, 0 to 1; only read with `read_out: head`."""
    untrained: bool = False
    """Draw all weights of the backbone anew, by the trial's seed, as before pretraining."""

    def __post_init__(self) -> None:
        for name in ("template", "verbalizer"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, PUBLISHED)
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")
        if not self.decompose:
            self._refuse(
                "decompose is false", "there is no question", ("template", "position_marker", "share_sentence")
            )
        if self.read_out == "head":
            self._refuse("read_out is head", "no word is read", ("verbalizer", "multi_token", "label_lookup"))
        marker = self.position_marker
        require(marker is None or bool(marker.strip()), "position_marker", marker, "a sign such as '*', or null")
        if self.share_sentence and marker is not None:
            raise ConfigError(
                f"position_marker is {quoted(marker)}, must be null with share_sentence: all questions share one "
                "sentence, so no word can be marked in it"
            )

    def _refuse(self, where: str, why: str, names: Sequence[str]) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in names and value != field.default:
                raise ConfigError(f"{field.name} is {value!r}, which has no effect where {where}: {why}; leave it out")


class ToPro(SharedSentenceMethod[ToProConfig]):
    """A cloze question for each word."""

    Config: ClassVar[type] = ToProConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"token"})
    families: ClassVar[frozenset[str]] = frozenset({"encoder", "encoder-decoder"})

    def __init__(self, config: ToProConfig, setting: Setting) -> None:
        labels, is_encoder = setting.task.labels, setting.backbone.family == "encoder"
        itself = {label: label for label in labels}
        words = {PUBLISHED: words_for(labels) if is_encoder else itself, "labels": itself}
        template = chosen_template(config.template, {PUBLISHED: template_for(labels)})
        named = copy.copy(config)  # its checks are for what was asked, so names are filled in afterwards
        object.__setattr__(named, "template", template)
        object.__setattr__(named, "verbalizer", chosen_words(config.verbalizer, labels, words))
        super().__init__(named, setting)
        self.shares_sentence = config.share_sentence
        _refuse_without_effect(config, self.backbone)
        if config.share_sentence and self.template.slots[0] != "sentence":
            raise ConfigError(
                f"template {self.template.text!r}: {{sentence}} must come first with share_sentence, which encodes the "
                "text up to its end once"
            )
        if config.untrained:
            draw_weights(self.backbone)
        self.head: Head | None = None
        if config.read_out == "head":
            self.backbone.train_vocabulary_head(False)
            device = self.parameter_device
            self.head = Head(self.backbone.hidden_size, len(labels), dropout=config.head_dropout, device=device)
        self._rows = None if config.decompose else rows_for(self, setting)

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

    @property
    def mask_form(self) -> MaskForm:
        return "empty" if self.config.prompt_end == "published" else "end"

    def make_verbalizer(self, words: Mapping[str, str | int]) -> Verbalizer:
        tokenizer = self.backbone.tokenizer if self.config.read_out == "label_words" else None
        return Verbalizer(words, self.labels, tokenizer, self.multi_token, lookup=self.config.label_lookup)

    def logits(self, batch: Batch) -> Tensor:
        if self.head is None:
            return super().logits(batch)
        logits: Tensor = self.head(self.states(batch))
        return logits

    def states(self, batch: Batch) -> Tensor:
        if not isinstance(batch, SharedBatch):
            return averaged(super().states(batch), batch)
        reads = (batch.read_rows, batch.read_columns)
        return scoring.encode_shared(self.backbone, batch.inputs, batch.questions, batch.owners, reads=reads)

    def estimate_rows(self, example: Example) -> list[int]:
        return super().estimate_rows(example) if self._rows is None else Method.estimate_rows(self, example)

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        if self._rows is None:
            return super().encode_all(examples, language=language)
        return self._rows.encode_all(examples, split=self.split_of(language))

    def encoding_key(self) -> Hashable:
        if self._rows is not None:
            return self._rows.key
        return super().encoding_key(), self.config.position_marker, self.config.share_sentence, self.mask_form

    def sentence_tokens(self, texts: Sequence[tuple[int, ...]], place: int) -> tuple[int, ...]:
        marked = (*texts[:place], self._marker, texts[place], self._marker, *texts[place + 1 :])
        return tuple(chain.from_iterable(marked))


def _refuse_without_effect(config: ToProConfig, backbone: Backbone) -> None:
    """Raise a ConfigError for an option that means nothing on this family of backbones."""
    if backbone.family == "encoder":
        where = f"left out on {backbone.name!r}, an encoder: it has a mask, which the answer is read at"
        require(config.prompt_end == "published", "prompt_end", config.prompt_end, where)
        return
    where = f"left out on {backbone.name!r}, an encoder-decoder"
    require(not config.share_sentence, "share_sentence", True, f"{where}: only an encoder shares a sentence")
    require(config.multi_token == "refuse", "multi_token", "mean", f"{where}: it scores whole strings anyway")
    require(config.label_lookup == "published", "label_lookup", "in_text", f"{where}: it scores whole strings anyway")
    require(config.decompose, "decompose", False, f"{where}: only an encoder reads a word at its own state")
    require(config.read_out == "label_words", "read_out", "head", f"{where}: only an encoder has a state at the mask")
