"""Soft prompting for cloze questions (Zhao & Schuetze 2021, "Discrete and Soft Prompting for Multilingual Models").

``premise . hypothesis ? [p1] .. [pK] <mask> .``: K trained vectors stand inside the text, in place of the word
embeddings at those positions, and get the model's own positions and segments like any token. They are the states of a
prompt encoder over K pseudo-tokens (``PromptEncoder``). p(y | x) = softmax over the labels of the logit of v(y) at the
mask, with v: contradiction -> wrong, entailment -> right, neutral -> maybe; the loss is its cross-entropy. Everything
is trained (`freeze_backbone: true` trains the prompt alone). Text of every language is asked in the same way.

Trailing ASCII punctuation is taken off both texts first (`strip_punctuation`). The published setting: Adam at 1e-5 on
everything, a constant rate (the default here), 50 epochs, length 256, the best English dev epoch, seeds 1 to 5.

Deliberate difference: AdamW instead of plain Adam, alike without decay. What the paper leaves unsaid and we
chose: words for other labels than XNLI's. Tagging is our extension: one row per word, with ToPro's template and words,
and the soft prompt before the mask.
"""

from __future__ import annotations

import string
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import torch
from torch import Tensor
from typing_extensions import TypeVar

from tunekit.backbone import Reading
from tunekit.backbone.reading import NO_VECTOR
from tunekit.errors import ConfigError, require
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch
from tunekit.methods.parts.label_words import template_for, words_for
from tunekit.methods.parts.multilingual import LanguageBatch, MultilingualCloze, MultilingualConfig
from tunekit.methods.parts.prompt_encoder import EncoderKind, PromptEncoder

TEMPLATE = "{premise} . {hypothesis} ? {prompt} {mask} ."


@dataclass(frozen=True, kw_only=True)
class SoftPromptConfig(MultilingualConfig):
    """Options of soft prompting."""

    prompt_length: int = 4
    """Trained positions inside the text, where the template has {prompt}, >= 1; they count against `max_length`."""
    prompt_encoder: EncoderKind = "lstm"
    """Where the prompt comes from: a bidirectional LSTM and a perceptron (lstm), or trained directly (embedding)."""

    prompt_learning_rate: float | None = None
    """Peak rate of the prompt's encoder and its pseudo-tokens, > 0; null is `learning_rate`."""
    strip_punctuation: bool = True
    """Take ASCII punctuation off the end of both texts of a pair, as published; a text of nothing else stays."""
    freeze_backbone: bool = False
    """Leave the backbone and its vocabulary head as they are."""
    backbone_dropout: float = 0.0
    """Dropout inside a frozen backbone in training, 0 to 1: of hidden states, where the model has one of its own.

    Only with `freeze_backbone`. Attention's probabilities are never dropped.
    """

    def __post_init__(self) -> None:
        require(0 <= self.backbone_dropout < 1, "backbone_dropout", self.backbone_dropout, "from 0 to below 1")
        if self.backbone_dropout and not self.freeze_backbone:
            raise ConfigError(
                f"backbone_dropout is {self.backbone_dropout}, but has no effect without freeze_backbone: a trained "
                "backbone keeps the dropout of its model; drop one of them"
            )
        require(self.prompt_length >= 1, "prompt_length", self.prompt_length, "at least 1")
        rate = self.prompt_learning_rate
        require(rate is None or rate > 0, "prompt_learning_rate", rate, "greater than 0")


S = TypeVar("S", bound=SoftPromptConfig, default=SoftPromptConfig)


class SoftPrompt(MultilingualCloze[S]):
    """Trained vectors inside a cloze question."""

    Config: ClassVar[type] = SoftPromptConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"pair", "token"})

    @classmethod
    def trains(cls, config: S) -> bool:
        return not config.freeze_backbone

    def __init__(self, config: S, setting: Setting) -> None:
        super().__init__(config, setting)
        self.prompt = PromptEncoder(
            config.prompt_encoder, config.prompt_length, self.backbone.hidden_size, self.parameter_device
        )

    def default_template(self) -> str:
        if self.kind == "pair":
            return TEMPLATE
        return template_for(self.labels).replace("{mask}", "{prompt} {mask}")

    @classmethod
    def training_defaults(cls) -> dict[str, object]:
        return {"schedule": "constant"}

    @property
    def learning_rates(self) -> Mapping[str, float]:
        rate = self.config.prompt_learning_rate
        return {} if rate is None else {"prompt.": rate}

    def shown(self, text: str) -> str:
        return without_final_punctuation(text) if self.config.strip_punctuation else text

    def default_words(self) -> Mapping[str, str | int]:
        return super().default_words() if self.kind == "pair" else words_for(self.labels)

    @property
    def soft_prompt_length(self) -> int:
        return self.config.prompt_length

    def encoding_key(self) -> Hashable:
        return ("soft", self.config.strip_punctuation, super().encoding_key())

    def reading(self, batch: Batch) -> Reading:
        rows = cast(LanguageBatch, batch)
        prompts, columns = self.prompts(rows), rows.prompt_columns
        numbers = torch.arange(columns.shape[1], device=columns.device).expand_as(columns)
        if prompts.dim() == 3:
            numbers = numbers + columns.shape[1] * torch.arange(len(columns), device=columns.device)[:, None]
        return replace(
            super().reading(batch),
            vectors=prompts.reshape(-1, prompts.shape[-1]),
            slots=torch.full_like(rows.inputs.input_ids, NO_VECTOR).scatter(1, columns, numbers),
            keys=batch.keys,
            dropout=self.config.backbone_dropout if self.training else 0.0,
        )

    def prompts(self, batch: LanguageBatch) -> Tensor:
        """The prompt of each row: [B, P, D], or [P, D] where all have the same."""
        found: Tensor = self.prompt()
        return found


def without_final_punctuation(text: str) -> str:
    """`text` without the ASCII punctuation and white space at its end; as it is where nothing else would be left.

    >>> without_final_punctuation("Is it so?!"), without_final_punctuation("...")
    ('Is it so', '...')
    """
    return text.rstrip().rstrip(string.punctuation).rstrip() or text
