"""Fine-tuning: every weight of the backbone and a linear head are trained.

The baseline of all three papers (*Vanilla*, *FT*). Differences from the usual scripts, all deliberate: the head reads
the last hidden states, normalised, without BERT's pretrained pooler, so that every backbone gets the same head; a word
is read at its first token that carries text (`word_piece`), not at a lone "▁".

With bf16 the weights are kept in fp32 and the arithmetic runs under autocast (see ``Backbone``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tunekit.errors import require
from tunekit.methods.parts.head import HeadMethod


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Options of fine-tuning."""

    head_dropout: float = 0.1
    """Dropout before the head, 0 to 1."""

    def __post_init__(self) -> None:
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")


class Finetune(HeadMethod[FinetuneConfig]):
    """All weights trained."""

    Config: ClassVar[type] = FinetuneConfig
    trains_backbone: ClassVar[bool] = True
