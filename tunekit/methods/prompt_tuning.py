"""Prompt tuning (Lester et al. 2021, arXiv:2104.08691): trained embeddings before the text, at the input only.

The P trained vectors take the first P positions and the text, its start token included, follows: ``p1 .. pP <s> text``,
for encoders as for causal models, which is PEFT's order. Only they and a linear head are trained; the backbone stays as
it is, bit for bit. This is the "input only" ablation of P-tuning v2.

Deliberate difference from the paper: a linear head instead of generated label words, as in the other methods.
The frozen backbone drops by `backbone_dropout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunekit.errors import require
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch
from tunekit.methods.parts.head import INITIAL_STD, BeforeText, HeadMethod

if TYPE_CHECKING:
    from peft import PeftConfig


@dataclass(frozen=True, kw_only=True)
class PromptTuningConfig:
    """Options of prompt tuning."""

    prompt_length: int = 16
    """Trained vectors before the text, >= 1; with the text they must fit the backbone's positions."""
    start: Literal["vocabulary", "normal"] = "vocabulary"
    """Where the vectors start: at the embeddings of randomly drawn tokens, or at N(0, 0.02)."""
    head_dropout: float = 0.1
    """Dropout before the head, 0 to 1."""
    backbone_dropout: float = 0.0
    """Dropout inside the frozen backbone in training, 0 to 1: of hidden states, where the model has one of its own.

    Attention's probabilities are never dropped.
    """

    def __post_init__(self) -> None:
        require(self.prompt_length >= 1, "prompt_length", self.prompt_length, "at least 1")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")
        require(0 <= self.backbone_dropout < 1, "backbone_dropout", self.backbone_dropout, "from 0 to below 1")


class PromptTuning(HeadMethod[PromptTuningConfig]):
    """Trained vectors at the input, backbone frozen."""

    Config: ClassVar[type] = PromptTuningConfig

    def __init__(self, config: PromptTuningConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        self.prompt = nn.Parameter(self._start())

    @property
    def prompt_length(self) -> int:
        return self.config.prompt_length

    @classmethod
    def input_positions(cls, config: PromptTuningConfig) -> int:
        return config.prompt_length

    def before_text(self, batch: Batch) -> BeforeText:
        return {"prompt": self.prompt}

    def peft_adapter(self) -> tuple[PeftConfig, dict[str, Tensor]]:
        from peft import PromptTuningConfig

        return self.prompt_in_peft(PromptTuningConfig), {"prompt_embeddings": self.prompt.detach()}

    def _start(self) -> Tensor:
        """The vectors' first values [P, D]."""
        backbone, size = self.backbone, self.config.prompt_length
        if self.config.start == "normal" or self.parameter_device.type == "meta":
            return torch.empty(size, backbone.hidden_size, device=self.parameter_device).normal_(std=INITIAL_STD)
        special = set(backbone.tokenizer.all_special_ids)
        drawn = torch.randperm(len(backbone.tokenizer))
        chosen = [i for i in drawn[: size + len(special)].tolist() if i not in special][:size]
        ids = torch.tensor(chosen)[torch.arange(size) % len(chosen)]  # a tiny vocabulary is gone through again
        with torch.no_grad():
            return backbone.embed(ids.to(backbone.device)).float().cpu()
