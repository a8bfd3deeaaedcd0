"""Prompt tuning (Lester et al. 2021, arXiv:2104.08691): trained embeddings before the text, at the input only.

The P trained vectors take the first P positions and the text, its start piece included, follows: ``p1 .. pP <s> text``,
for encoders as for causal models, which is PEFT's order. Only they and a linear head are trained; the backbone stays as
it is, bit for bit. This is the "input only" ablation of P-tuning v2.

Deliberate difference from the paper: a linear head instead of generated label words, as in the other methods.
The frozen backbone keeps its own dropout while training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunekit.backbone import Backbone
from tunekit.errors import require
from tunekit.methods.parts.head import INITIAL_STD, HeadMethod
from tunekit.tasks import Task
from tunekit.trial import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of prompt tuning."""

    prompt_length: int = 16
    """Trained vectors before the text, >= 1; with the text they must fit the backbone's positions."""
    start: Literal["vocabulary", "normal"] = "vocabulary"
    """Where the vectors start: at the embeddings of randomly drawn pieces, or at N(0, 0.02)."""
    head_dropout: float = 0.1
    """Dropout before the head, 0 to 1."""

    def __post_init__(self) -> None:
        require(self.prompt_length >= 1, "prompt_length", self.prompt_length, "at least 1")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")


class PromptTuning(HeadMethod):
    """Trained vectors at the input, backbone frozen."""

    Config: ClassVar[type] = Config

    def __init__(
        self, config: Any, *, backbone: Backbone, task: Task, training: TrainingConfig, word_piece: str
    ) -> None:
        super().__init__(config, backbone=backbone, task=task, training=training, word_piece=word_piece)
        self.prompt = nn.Parameter(self._start(config))

    @property
    def prompt_length(self) -> int:
        return int(self.config.prompt_length)

    def steering(self, num_rows: int) -> Mapping[str, Any]:
        return {"prompt": self.prompt}

    def peft_adapter(self) -> tuple[Any, dict[str, Tensor]]:
        from peft import PromptTuningConfig

        return self.prompt_in_peft(PromptTuningConfig), {"prompt_embeddings": self.prompt.detach()}

    def _start(self, config: Any) -> Tensor:
        """The vectors' first values [P, D]."""
        backbone, size = self.backbone, config.prompt_length
        if config.start == "normal" or self.birthplace.type == "meta":
            return torch.empty(size, backbone.hidden_size, device=self.birthplace).normal_(std=INITIAL_STD)
        special = set(backbone.tokenizer.all_special_ids)
        drawn = torch.randperm(len(backbone.tokenizer))
        chosen = [i for i in drawn[: size + len(special)].tolist() if i not in special][:size]
        ids = torch.tensor(chosen)[torch.arange(size) % len(chosen)]  # a tiny vocabulary is gone through again
        with torch.no_grad():
            return backbone.embed(ids.to(backbone.device)).float().cpu()
