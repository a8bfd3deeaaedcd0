"""Bottleneck adapters (Houlsby et al. 2019, arXiv:1902.00751): small trained perceptrons inside each frozen layer.

What a sub-layer gives, h, becomes h + W2 f(W1 h + b1) + b2 with W1 [m, width] and W2 [width, m], before it is added to
what the sub-layer read. `placement: houlsby` puts one after the attention and one after the feed-forward part of every
layer; `pfeiffer` (Pfeiffer et al. 2021, arXiv:2005.00247) one after the feed-forward part only. W1 starts at N(0,
0.02), W2 and the biases at zero, so training starts from the backbone itself. Only the adapters and a linear head are
trained; the backbone itself stays as it is.

In mT5 every layer of encoder and decoder has them; in the decoder `houlsby` puts one after its attention to the encoder
too.

Deliberate differences: Houlsby et al. start W2 near zero, not at it, and also train the layers' normalisation;
Pfeiffer et al. move a normalisation of BERT's layer. Here the backbone's own are frozen and stay in place. A linear
head reads the last hidden states, as in the other methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunekit.backbone import LayerChange, RowKeys
from tunekit.errors import require
from tunekit.methods.base import Setting
from tunekit.methods.parts.adapter import AdapterMethod
from tunekit.methods.parts.head import INITIAL_STD, dropout

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
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
}


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
    backbone_dropout: float = 0.0
    """Dropout inside the frozen backbone in training, 0 to 1: of hidden states, where the model has one of its own.

    Attention's probabilities are never dropped.
    """

    def __post_init__(self) -> None:
        require(self.bottleneck_size >= 1, "bottleneck_size", self.bottleneck_size, "at least 1")
        require(0 <= self.adapter_dropout < 1, "adapter_dropout", self.adapter_dropout, "from 0 to below 1")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "from 0 to below 1")
        require(0 <= self.backbone_dropout < 1, "backbone_dropout", self.backbone_dropout, "from 0 to below 1")


class Adapter(AdapterMethod[AdapterConfig]):
    """Small perceptrons inside each layer, everything else frozen."""

    Config: ClassVar[type] = AdapterConfig

    def __init__(self, config: AdapterConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        self.dropout = nn.Dropout(config.adapter_dropout)

    def make_parameters(self) -> Mapping[str, nn.Parameter]:
        width, size = self.backbone.hidden_size, self.config.bottleneck_size
        shapes = {"down.weight": (size, width), "down.bias": (size,), "up.weight": (width, size), "up.bias": (width,)}
        made: dict[str, nn.Parameter] = {}
        for name in self._adapted_layers():
            for key, shape in shapes.items():
                start = torch.zeros(shape, device=self.parameter_device)
                made[f"{name}.adapter.{key}"] = nn.Parameter(start)
            nn.init.normal_(made[f"{name}.adapter.down.weight"], std=INITIAL_STD)
        return made

    def changes(self) -> Mapping[str, LayerChange]:
        activation = ACTIVATIONS[self.config.activation]
        return {
            name: Bottleneck(self.parameters_of(f"{name}.adapter"), activation, self.dropout, name)
            for name in self._adapted_layers()
        }

    def _adapted_layers(self) -> list[str]:
        """Names of the linear layers of the body behind which there is a perceptron."""
        shape: Any = self.backbone.model.config
        attention, feed_forward = ATTENTION[shape.model_type], FEED_FORWARD[shape.model_type]
        places = []
        for name, _ in self.backbone.model.named_modules():
            is_attention = name.endswith(attention)
            if is_attention and self.config.placement == "pfeiffer":
                continue
            if is_attention or name.endswith(feed_forward):
                places.append(name)
        return places


@dataclass(frozen=True)
class Bottleneck:
    """h + W2 f(W1 h + b1) + b2, in fp32 whatever the format of h [..., D]."""

    parameters: Mapping[str, Tensor]
    """``down.weight`` W1 [m, D], ``down.bias`` b1, ``up.weight`` W2 [D, m], ``up.bias`` b2."""
    activation: Callable[[Tensor], Tensor]
    """f."""
    dropout: nn.Dropout
    """On what W1 reads."""
    layer: str
    """The name of the layer whose output h is."""

    def __call__(self, read: Tensor, given: Tensor, keys: RowKeys | None) -> Tensor:
        own, linear = self.parameters, nn.functional.linear
        seen = dropout(self.dropout, given.float(), keys, site=f"adapter {self.layer}")
        inner = self.activation(linear(seen, own["down.weight"], own["down.bias"]))
        return given + linear(inner, own["up.weight"], own["up.bias"]).to(given.dtype)
