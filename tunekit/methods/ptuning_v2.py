"""P-tuning v2 (Liu et al. 2022, arXiv:2110.07602): trained keys and values before the text at every layer.

Layer l attends to [K_l; text keys] and [V_l; text values], where (K_l, V_l) are P trained positions. They come from a
table E [P, 2 x layers x width], or with `projection` from W2 tanh(W1 E' + b1) + b2 of a table E' [P, width]. Only they
and a linear head are trained; the backbone stays as it is, bit for bit. Numbers are laid out as in PEFT's prefix
tuning, with which the outputs agree. With `layers` only the first ones have such positions; the others see the text
alone, which stands where it would stand behind a prompt.

Deliberate differences from the authors' code: the table starts at N(0, `initial_std`) instead of N(0, 1); the head
normalises what it reads; words are read at `word_piece`, or in a causal model at the last token.
The frozen backbone drops by `backbone_dropout` and never attention's probabilities; theirs keeps the model's dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from tunekit.backbone import Backbone, Prefix, RowKeys
from tunekit.backbone.prefix_layers import prompted_layers, stack_sizes
from tunekit.errors import ConfigError, require
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch
from tunekit.methods.parts.head import INITIAL_STD, BeforeText, HeadMethod, dropout

if TYPE_CHECKING:
    from peft import PeftConfig


@dataclass(frozen=True, kw_only=True)
class PTuningV2Config:
    """Options of P-tuning v2."""

    prompt_length: int = 16
    """Trained positions before the text at every layer, >= 1; with the text they must fit the backbone's positions."""
    layers: int | None = None
    """Layers that are prompted, counted from the input, >= 1; None: all. Of mT5 so many of either stack."""
    projection: bool = False
    """Compute keys and values by a two-layer perceptron from a smaller table instead of training them directly."""
    projection_size: int = 512
    """Width of the perceptron's hidden layer, >= 1; only read with `projection`."""
    initial_std: float = 0.02
    """Spread of the table at the start, > 0."""
    prefix_dropout: float = 0.0
    """Dropout on the keys and values, drawn for each row, 0 to 1."""
    head_dropout: float = 0.1
    """Dropout before the head, 0 to 1."""
    backbone_dropout: float = 0.0
    """Dropout inside the frozen backbone in training, 0 to 1: of hidden states, where the model has one of its own.

    Attention's probabilities are never dropped.
    """

    def __post_init__(self) -> None:
        require(self.prompt_length >= 1, "prompt_length", self.prompt_length, "at least 1")
        require(self.layers is None or self.layers >= 1, "layers", self.layers, "at least 1, or null for all")
        require(self.projection_size >= 1, "projection_size", self.projection_size, "at least 1")
        require(self.initial_std > 0, "initial_std", self.initial_std, "greater than 0")
        require(0 <= self.prefix_dropout < 1, "prefix_dropout", self.prefix_dropout, "from 0 to below 1")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")
        require(0 <= self.backbone_dropout < 1, "backbone_dropout", self.backbone_dropout, "from 0 to below 1")


class DeepPrompt(nn.Module):
    """The trained keys and values.

    Args:
        config: length, projection and start.
        backbone: its layers and heads give the shape.
        device: where the parameters are made.
    """

    def __init__(self, config: PTuningV2Config, backbone: Backbone, device: torch.device | str) -> None:
        super().__init__()
        prompted = prompted_layers(backbone.model, config.layers or backbone.num_layers)
        self.prompted = None if all(prompted) else prompted
        num_layers = sum(prompted)
        self._shape = (config.prompt_length, num_layers, 2, backbone.num_heads, backbone.head_size)
        total = 2 * num_layers * backbone.num_heads * backbone.head_size
        width = backbone.hidden_size if config.projection else total
        self.table = nn.Parameter(torch.empty(config.prompt_length, width, device=device))
        nn.init.normal_(self.table, std=config.initial_std)
        self.project: nn.Module = nn.Identity()
        if config.projection:
            hidden = nn.Linear(width, config.projection_size, device=device)
            out = nn.Linear(config.projection_size, total, device=device)
            for layer in (hidden, out):
                nn.init.normal_(layer.weight, std=INITIAL_STD)
                nn.init.zeros_(layer.bias)
            self.project = nn.Sequential(hidden, nn.Tanh(), out)

    def forward(self) -> Prefix:
        """Keys and values, each [prompted layers, P, H, Dh]."""
        keys, values = self.states().view(self._shape).permute(2, 1, 0, 3, 4)
        return Prefix(keys, values, self.prompted)

    def states(self) -> Tensor:
        """The same as one table [P, 2 x layers x width], as in peft."""
        table: Tensor = self.project(self.table)
        return table


class PTuningV2(HeadMethod[PTuningV2Config]):
    """Trained keys and values at every layer, backbone frozen."""

    Config: ClassVar[type] = PTuningV2Config

    def __init__(self, config: PTuningV2Config, setting: Setting) -> None:
        super().__init__(config, setting)
        depth = max(stack_sizes(self.backbone.model))
        is_there = config.layers is None or config.layers <= depth
        require(is_there, "layers", config.layers, f"at most {depth}, the layers of {self.backbone.name!r}")
        self.prompt = DeepPrompt(config, self.backbone, self.parameter_device)
        self.prefix_dropout = nn.Dropout(config.prefix_dropout)

    @classmethod
    def pack_options(cls, config: PTuningV2Config) -> Mapping[str, object]:
        return {"layers": config.layers}

    @property
    def prompt_length(self) -> int:
        return self.config.prompt_length

    def before_text(self, batch: Batch) -> BeforeText:
        return {"prefix": self.prefix(len(batch.row_sizes), batch.keys)}

    def peft_adapter(self) -> tuple[PeftConfig, dict[str, Tensor]]:
        from peft import PrefixTuningConfig

        if self.prompt.prompted is not None:
            raise ConfigError(f"peft prompts every layer, so it has nothing like layers: {self.config.layers}")
        return self.prompt_in_peft(PrefixTuningConfig), {"prompt_embeddings": self.prompt.states().detach()}

    def prefix(self, batch_size: int, keys: RowKeys | None = None) -> Prefix:
        """The trained prefix; while training with `prefix_dropout` a different part of it for each row."""
        whole: Prefix = self.prompt()
        if not self.training or self.config.prefix_dropout == 0:
            return whole
        rows = (batch_size, keys)
        dropped = (self._dropped(whole.keys, "keys", rows), self._dropped(whole.values, "values", rows))
        return Prefix(*dropped, whole.prompted)

    def _dropped(self, states: Tensor, name: str, rows: tuple[int, RowKeys | None]) -> Tensor:
        """Keys or values [layers, P, H, Dh] as each row has them: [layers, B, P, H, Dh]."""
        num_rows, keys = rows
        flat = states.flatten(2).flatten(0, 1).expand(num_rows, -1, -1)  # [B, layers x P, width]
        found = dropout(self.prefix_dropout, flat, keys, site=f"prefix {name}")
        return found.view(num_rows, *states.shape).transpose(0, 1)
