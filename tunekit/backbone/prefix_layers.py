"""A prefix that only the first layers see: what the other layers are told of its positions is taken away.

A model makes one mask for all of its layers, with a column for each position of the prefix. A layer without a prefix
has no keys there, so its mask, and what BLOOM adds by distance, lose these columns. Positions of the text stay where
they are: they are counted from the prefix on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from tunekit.backbone.inputs import Prefix


class _Bodies(Protocol):
    """Where transformers keeps the layers of a body: BERT and its kin, XGLM, BLOOM."""

    encoder: _Encoder
    layers: nn.ModuleList
    h: nn.ModuleList


class _Encoder(Protocol):
    layer: nn.ModuleList


_LAYERS = {"bert": "encoder", "roberta": "encoder", "xlm-roberta": "encoder", "bloom": "h", "xglm": "layers"}
"""By transformers' ``model_type``: where a body keeps its layers."""


def stack_sizes(model: PreTrainedModel) -> tuple[int, ...]:
    """Layers of a body's stack, or of an encoder-decoder's two."""
    config = model.config
    decoder = int(config.num_decoder_layers) if config.is_encoder_decoder else 0
    return (int(config.num_hidden_layers), decoder) if decoder else (int(config.num_hidden_layers),)


def prompted_layers(model: PreTrainedModel, first: int) -> tuple[bool, ...]:
    """For each layer of a body whether it is among the first ones of its stack."""
    return tuple(layer < first for size in stack_sizes(model) for layer in range(size))


@contextmanager
def prefix_hidden(model: PreTrainedModel, prefix: Prefix | None) -> Iterator[None]:
    """While inside, the layers that do not see `prefix` expect none.

    Args:
        model: a backbone's body; as it was before on leaving. An encoder-decoder's attention is this room's and needs
            nothing.
        prefix: says which layers do; None hides nothing.
    """
    prompted = None if prefix is None else prefix.prompted
    with ExitStack() as hooks:
        if prompted is not None and model.config.model_type in _LAYERS:
            for layer, is_prompted in zip(_layers(model), prompted, strict=True):
                if not is_prompted:
                    hooks.callback(layer.register_forward_pre_hook(_hidden, with_kwargs=True).remove)
        yield


def _layers(model: PreTrainedModel) -> nn.ModuleList:
    body, kind = cast(_Bodies, model), _LAYERS[model.config.model_type]
    return body.encoder.layer if kind == "encoder" else body.h if kind == "h" else body.layers


def _hidden(
    _: nn.Module, args: tuple[torch.Tensor, ...], named: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """A forward pre-hook: the arguments of a layer without what they say of the prefix."""
    first, *others = args
    length = first.shape[1]
    kept = {key: value if key == "hidden_states" else _text_only(value, length) for key, value in named.items()}
    return (first, *(_text_only(value, length) for value in others)), kept


def _text_only(value: object, length: int) -> object:
    """A mask or a bias of attention with its last `length` columns alone; anything else as it is."""
    return value[..., -length:] if isinstance(value, torch.Tensor) and value.dim() >= 3 else value
