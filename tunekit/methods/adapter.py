"""Bottleneck adapters (Houlsby et al. 2019, arXiv:1902.00751): small trained perceptrons inside each frozen layer.

What a sub-layer gives, h, becomes h + W2 f(W1 h + b1) + b2 with W1 [m, width] and W2 [width, m], before it is added to
what the sub-layer read. `placement: houlsby` puts one after the attention and one after the feed-forward part of every
layer; `pfeiffer` (Pfeiffer et al. 2021, arXiv:2005.00247) one after the feed-forward part only. W1 starts at N(0,
0.02), W2 and the biases at zero, so training starts from the backbone itself. Only the adapters and a linear head are
trained. They stand in a copy of the backbone that shares its weights (`tunekit.methods.parts.adapter`); the backbone
itself stays as it is.

In mT5 every layer of encoder and decoder has them; in the decoder `houlsby` puts one after its attention to the encoder
too.

Deliberate differences: Houlsby et al. start W2 near zero, not at it, and also train the layers' normalisation;
Pfeiffer et al. move a normalisation of BERT's layer. Here the backbone's own are frozen and stay in place. A linear
head reads the last hidden states, as in the other methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunekit.errors import require
from tunekit.methods.parts.adapter import AdapterMethod
from tunekit.methods.parts.head import INITIAL_STD

ATTENTION = {
    "bert": ("attention.output.dense",),
    "roberta": ("attention.output.dense",),
    "xlm-roberta": ("attention.output.dense",),
    "xglm": ("self_attn.out_proj",),
    "bloom": ("self_attention.dense",),
    "mt5": ("SelfAttention.o", "EncDecAttention.o"),
}
"""By transformers' ``model_type``: how the names of the attention's last linear layers end."""
FEED_FORWARD = {
    "bert": ("output.dense",),
    "roberta": ("output.dense",),
    "xlm-roberta": ("output.dense",),
    "xglm": ("fc2",),
    "bloom": ("mlp.dense_4h_to_h",),
    "mt5": ("DenseReluDense.wo",),
}
"""The same of the feed-forward part's last linear layers."""
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Options of bottleneck adapters."""

    bottleneck_size: int = 64
    """Width m of the perceptrons' hidden layer, >= 1."""
    placement: Literal["houlsby", "pfeiffer"] = "houlsby"
    """After the attention and the feed-forward part of every layer, or after the latter only."""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    """The perceptrons' nonlinearity f."""
    adapter_dropout: float = 0.0
    """Dropout on what the perceptrons read, 0 to 1."""
    head_dropout: float = 0.1
    """Dropout before the head, 0 to 1."""

    def __post_init__(self) -> None:
        require(self.bottleneck_size >= 1, "bottleneck_size", self.bottleneck_size, "at least 1")
        require(0 <= self.adapter_dropout < 1, "adapter_dropout", self.adapter_dropout, "from 0 to below 1")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")


class Adapter(AdapterMethod[AdapterConfig]):
    """Small perceptrons inside each layer, everything else frozen."""

    Config: ClassVar[type] = AdapterConfig

    def add_parameters(self, model: nn.Module) -> Mapping[str, nn.Parameter]:
        shape: Any = model.config
        feed_forward, attention = FEED_FORWARD[shape.model_type], ATTENTION[shape.model_type]
        added: dict[str, nn.Parameter] = {}
        for name, layer in list(model.named_modules()):
            is_attention = name.endswith(attention)
            if is_attention and self.config.placement == "pfeiffer":
                continue
            if is_attention or name.endswith(feed_forward):
                bottleneck = Bottleneck(self.backbone.hidden_size, self.config, self.parameter_device)
                layer.add_module("adapter", bottleneck)
                layer.register_forward_hook(_adapted)
                added |= {f"{name}.adapter.{key}": p for key, p in bottleneck.named_parameters()}
        return added


class Bottleneck(nn.Module):
    """h + W2 f(W1 h + b1) + b2, in fp32 whatever the format of h [..., D].

    Args:
        width: D.
        config: size, nonlinearity and dropout.
        device: where the parameters are made.
    """

    def __init__(self, width: int, config: AdapterConfig, device: torch.device | str) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.adapter_dropout)
        self.down = nn.Linear(width, config.bottleneck_size, device=device, dtype=torch.float32)
        self.activation = ACTIVATIONS[config.activation]()
        self.up = nn.Linear(config.bottleneck_size, width, device=device, dtype=torch.float32)
        nn.init.normal_(self.down.weight, std=INITIAL_STD)
        for parameter in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor) -> Tensor:
        """What the layer gives, adapted."""
        read = self.dropout(hidden.float())
        adapted: Tensor = hidden + self.up(self.activation(self.down(read))).to(hidden.dtype)
        return adapted


def _adapted(layer: nn.Module, _: object, hidden: Tensor) -> Tensor:
    """A forward hook: what `layer` gives, as its adapter changes it."""
    adapted: Tensor = layer.get_submodule("adapter")(hidden)
    return adapted
