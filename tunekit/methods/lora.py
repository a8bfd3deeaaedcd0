"""LoRA (Hu et al. 2022, arXiv:2106.09685): a trained low-rank term beside frozen linear layers of the backbone.

A chosen layer W x becomes W x + s B A x with A [rank, in] and B [out, rank]; s is alpha / rank, or alpha / sqrt(rank)
with `rank_stabilised` (Kalajdzievski 2023, arXiv:2312.03732). A starts as a linear layer's weights do (uniform), B at
zero, so training starts from the backbone itself. Only A, B and a linear head are trained. The layers are peft's, in a
copy of the backbone that shares its weights (`tunekit.methods.parts.adapter`); the backbone itself stays as it is.

The paper adapts the attention's query and value matrices; so does `targets: query_value`. BLOOM keeps query, key and
value in one matrix, which is then adapted as a whole. In mT5 the attention of encoder and decoder is adapted, and
that of the decoder to the encoder as well, as peft does by default.

Deliberate differences: a linear head reads the last hidden states, as in the other methods. The paper leaves the
backbone's dropout unsaid; it is kept while training, here as in the other methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunekit.errors import require
from tunekit.methods.parts.adapter import AdapterMethod

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig

QUERY_VALUE = {
    "bert": ("query", "value"),
    "roberta": ("query", "value"),
    "xlm-roberta": ("query", "value"),
    "xglm": ("q_proj", "v_proj"),
    "bloom": ("query_key_value",),
    "mt5": ("q", "v"),
}
"""By transformers' ``model_type``: how a family calls these layers, at the end of their names."""
ATTENTION = {
    "bert": ("query", "key", "value", "attention.output.dense"),
    "roberta": ("query", "key", "value", "attention.output.dense"),
    "xlm-roberta": ("query", "key", "value", "attention.output.dense"),
    "xglm": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "bloom": ("query_key_value", "self_attention.dense"),
    "mt5": ("q", "k", "v", "o"),
}
"""The same for all linear layers of the attention."""


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Options of LoRA."""

    rank: int = 8
    """Rows of A and columns of B, >= 1."""
    lora_alpha: float = 16.0
    """Numerator of the scale s, > 0."""
    rank_stabilised: bool = False
    """Divide by the square root of `rank` instead of `rank`."""
    targets: Literal["query_value", "attention", "linear"] = "query_value"
    """Layers adapted: the attention's query and value, all of the attention, or every linear layer."""
    lora_dropout: float = 0.0
    """Dropout on what A reads, 0 to 1."""
    head_dropout: float = 0.1
    """Dropout before the head, 0 to 1."""

    def __post_init__(self) -> None:
        require(self.rank >= 1, "rank", self.rank, "at least 1")
        require(self.lora_alpha > 0, "lora_alpha", self.lora_alpha, "greater than 0")
        require(0 <= self.lora_dropout < 1, "lora_dropout", self.lora_dropout, "from 0 to below 1")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")


class LoRA(AdapterMethod[LoRAConfig]):
    """A low-rank term beside frozen linear layers."""

    Config: ClassVar[type] = LoRAConfig

    def add_parameters(self, model: nn.Module) -> Mapping[str, nn.Parameter]:
        from peft import inject_adapter_in_model

        inject_adapter_in_model(peft_config(self.config, self._model_type), model)
        added = {name: p for name, p in model.named_parameters() if p.requires_grad}
        for parameter in added.values():
            parameter.data = parameter.data.to(torch.float32)  # peft takes over the frozen layer's format
        return added

    def peft_adapter(self) -> tuple[PeftConfig, dict[str, Tensor]]:
        config = peft_config(self.config, self._model_type)
        config.inference_mode = True
        named = self.adapter.named_parameters()
        return config, {f"base_model.model.{name.replace('.default.', '.')}": p.detach() for name, p in named}

    @property
    def _model_type(self) -> str:
        shape: Any = self.backbone.model.config
        return str(shape.model_type)


def peft_config(config: LoRAConfig, model_type: str) -> LoraConfig:
    """The configuration of peft that says the same as `config` of a model of transformers' `model_type`."""
    from peft import LoraConfig, TaskType

    table = {"query_value": QUERY_VALUE, "attention": ATTENTION}.get(config.targets)
    return LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=config.rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # any number will do, whatever peft declares
        lora_dropout=config.lora_dropout,
        use_rslora=config.rank_stabilised,
        target_modules="all-linear" if table is None else list(table[model_type]),
    )
