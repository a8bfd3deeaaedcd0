"""A prefix that only the first layers see: what the other layers are told of its positions is taken away.

A model makes one mask for all of its layers, with a column for each position of the prefix. A layer without a prefix
has no keys there, so its mask, and what BLOOM adds by distance, lose these columns. Positions of the text stay where
they are: they are counted from the prefix on.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import nn

from tunekit.backbone.encoder import Backbone


class _Bodies(Protocol):
    """Where transformers keeps the layers of a body: BERT and its kin, XGLM, BLOOM."""

    encoder: _Encoder
    layers: nn.ModuleList
    h: nn.ModuleList


class _Encoder(Protocol):
    layer: nn.ModuleList


def stack_depth(backbone: Backbone) -> int:
    """Layers of the backbone, or of the deeper stack of an encoder-decoder."""
    encoder = int(backbone.model.config.num_hidden_layers)
    return max(encoder, backbone.num_layers - encoder)


def prompted_layers(backbone: Backbone, first: int) -> tuple[bool, ...]:
    """For each of the backbone's layers whether it is among the first ones, of an encoder-decoder of either stack."""
    if backbone.family != "encoder-decoder":
        return tuple(layer < first for layer in range(backbone.num_layers))
    encoder = int(backbone.model.config.num_hidden_layers)
    return tuple((layer if layer < encoder else layer - encoder) < first for layer in range(backbone.num_layers))


def hide_prefix(backbone: Backbone, prompted: tuple[bool, ...], length: int) -> None:
    """Have the layers that are not `prompted` expect no prefix, by hooks inside of `backbone`.

    Args:
        backbone: changed; a copy that nobody else uses. An encoder-decoder's attention is this room's and needs none.
        prompted: for each layer whether it sees the prefix.
        length: positions of the prefix.
    """
    if backbone.family == "encoder-decoder":
        return
    body = cast(_Bodies, backbone.model)
    names = {"bert": "encoder", "roberta": "encoder", "xlm-roberta": "encoder", "bloom": "h", "xglm": "layers"}
    kind = names[backbone.model.config.model_type]
    layers = body.encoder.layer if kind == "encoder" else body.h if kind == "h" else body.layers

    def hidden(_: nn.Module, args: tuple[object, ...], named: dict[str, object]) -> tuple[object, dict[str, object]]:
        first, *others = args
        kept = {key: value if key == "hidden_states" else _without(value, length) for key, value in named.items()}
        return (first, *(_without(value, length) for value in others)), kept

    for layer, is_prompted in zip(layers, prompted, strict=True):
        if not is_prompted:
            layer.register_forward_pre_hook(hidden, with_kwargs=True)


def _without(value: object, length: int) -> object:
    """A mask or a bias of attention without its first columns; anything else as it is."""
    return value[..., length:] if isinstance(value, torch.Tensor) and value.dim() >= 3 else value
