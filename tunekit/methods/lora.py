"""LoRA (Hu et al. 2022, arXiv:2106.09685): a trained low-rank term beside frozen linear layers of the backbone.

A chosen layer W x becomes W x + s B A x with A [rank, in] and B [out, rank]; s is alpha / rank, or alpha / sqrt(rank)
with `rank_stabilised` (Kalajdzievski 2023, arXiv:2312.03732). A starts as a linear layer's weights do (uniform), B at
zero, so training starts from the backbone itself. Only A, B and a linear head are trained; the backbone itself stays as
it is. Layers, names and numbers are peft's, which a test holds against it.

The paper adapts the attention's query and value matrices; so does `targets: query_value`. BLOOM keeps query, key and
value in one matrix, which is then adapted as a whole. In mT5 the attention of encoder and decoder is adapted, and
that of the decoder to the encoder as well, as peft does by default.

Deliberate differences: a linear head reads the last hidden states, as in the other methods. The paper leaves the
backbone's dropout unsaid; see `backbone_dropout`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunekit.backbone import LayerChange, RowKeys
from tunekit.errors import require
from tunekit.methods.base import Setting
from tunekit.methods.parts.adapter import AdapterMethod
from tunekit.methods.parts.head import dropout

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
_TABLES = {"query_value": QUERY_VALUE, "attention": ATTENTION}
"""By `LoRAConfig.targets`; all linear layers need none."""
DOWN, UP = "lora_A.default.weight", "lora_B.default.weight"
"""How peft calls A and B of a layer."""


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
    backbone_dropout: float = 0.0
    """Dropout inside the frozen backbone in training, 0 to 1: of hidden states, where the model has one of its own.

    Attention's probabilities are never dropped.
    """

    def __post_init__(self) -> None:
        require(self.rank >= 1, "rank", self.rank, "at least 1")
        require(self.lora_alpha > 0, "lora_alpha", self.lora_alpha, "greater than 0")
        require(0 <= self.lora_dropout < 1, "lora_dropout", self.lora_dropout, "from 0 to below 1")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")
        require(0 <= self.backbone_dropout < 1, "backbone_dropout", self.backbone_dropout, "from 0 to below 1")


@dataclass(frozen=True)
class LowRankTerm:
    """Adds s B A x to what a linear layer makes of x, in fp32."""

    down: Tensor
    """A [rank, in]."""
    up: Tensor
    """B [out, rank]."""
    scale: float
    """s."""
    dropout: nn.Dropout
    """On what A reads."""
    layer: str
    """The layer's name."""

    def __call__(self, read: Tensor, given: Tensor, keys: RowKeys | None) -> Tensor:
        read = dropout(self.dropout, read.to(self.down.dtype), keys, site=f"lora {self.layer}")
        term = nn.functional.linear(nn.functional.linear(read, self.down), self.up)
        return (given + self.scale * term).to(given.dtype)


class LoRA(AdapterMethod[LoRAConfig]):
    """A low-rank term beside frozen linear layers."""

    Config: ClassVar[type] = LoRAConfig

    def __init__(self, config: LoRAConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        self.dropout = nn.Dropout(config.lora_dropout)

    def make_parameters(self) -> Mapping[str, nn.Parameter]:
        made = {}
        for name, layer in self._adapted_layers():
            down = torch.empty(self.config.rank, layer.in_features, device=self.parameter_device)
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))
            up = torch.zeros(layer.out_features, self.config.rank, device=self.parameter_device)
            made[f"{name}.{DOWN}"], made[f"{name}.{UP}"] = nn.Parameter(down), nn.Parameter(up)
        return made

    def changes(self) -> Mapping[str, LayerChange]:
        config, found = self.config, {}
        scale = config.lora_alpha / (math.sqrt(config.rank) if config.rank_stabilised else config.rank)
        for name, _ in self._adapted_layers():
            own = self.parameters_of(name)
            found[name] = LowRankTerm(own[DOWN], own[UP], scale, self.dropout, name)
        return found

    def _adapted_layers(self) -> list[tuple[str, nn.Linear]]:
        """The linear layers of the body that are adapted, by name."""
        table = _TABLES.get(self.config.targets)
        endings = None if table is None else tuple(f".{ending}" for ending in table[self._model_type])
        modules = self.backbone.model.named_modules()
        linear = [(name, module) for name, module in modules if isinstance(module, nn.Linear)]
        return [(name, module) for name, module in linear if endings is None or f".{name}".endswith(endings)]

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

    table = _TABLES.get(config.targets)
    return LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=config.rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # any number will do, whatever peft declares
        lora_dropout=config.lora_dropout,
        use_rslora=config.rank_stabilised,
        target_modules="all-linear" if table is None else list(table[model_type]),
    )
