"""Hidden states of an encoder at a few positions: its last layer is computed only where it is read.

Every position's keys and values are needed, but queries, the output and the two large linear layers after it, most of
the layer's work, only at the positions that are read. The numbers are those of the whole model.

Shapes: B rows, L tokens, S what attention sees, M positions read, R the most of them in one row, D width, H heads, Dh
width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.masking_utils import create_bidirectional_mask

from tunekit.backbone.attention import IMPLEMENTATION, attend
from tunekit.backbone.inputs import EmbeddedRows, Places

Layer = Callable[[Tensor], Tensor]


class _SelfAttention(Protocol):
    """transformers' attention of BERT and its kin."""

    query: Layer
    key: Layer
    value: Layer
    dropout: nn.Dropout
    training: bool
    scaling: float
    layer_idx: int
    attention_head_size: int


class _Attention(Protocol):
    self: _SelfAttention
    output: Callable[[Tensor, Tensor], Tensor]


class _EncoderLayer(Protocol):
    attention: _Attention
    intermediate: Layer
    output: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, hidden: Tensor, mask: object, *, past_key_values: object) -> Tensor: ...


class _Stack(Protocol):
    layer: Sequence[_EncoderLayer]


class _EncoderModel(Protocol):
    """transformers' BERT, RoBERTa or XLM-R."""

    config: PreTrainedConfig
    encoder: _Stack

    def embeddings(self, *, inputs_embeds: Tensor, position_ids: object, token_type_ids: object) -> Tensor: ...


def states_at(encoder: nn.Module, inputs: EmbeddedRows, arguments: dict[str, object], where: Places) -> Tensor:
    """Last hidden states [M, D] of an encoder; none at all still leaves keys and values in ``inputs.past``.

    Args:
        encoder: the body of a BERT, RoBERTa or XLM-R.
        inputs: rows for the model.
        arguments: what the whole model is called with for these rows (`Backbone.arguments_of`).
        where: the positions that are read.
    """
    model = cast(_EncoderModel, encoder)
    hidden = model.embeddings(
        inputs_embeds=inputs.embedded,
        position_ids=arguments["position_ids"],
        token_type_ids=arguments["token_type_ids"],
    )
    mask = _mask(model.config, hidden, inputs)
    *layers, last = model.encoder.layer
    for layer in layers:
        hidden = layer(hidden, mask, past_key_values=inputs.past)
    return _last_layer(last, hidden, inputs, where)


def _mask(config: PreTrainedConfig, hidden: Tensor, inputs: EmbeddedRows) -> object:
    """transformers' mask of what may be seen; None is all. It asks the device for what is known here."""
    if inputs.has_padding is False and config._attn_implementation == IMPLEMENTATION:
        return None
    return create_bidirectional_mask(
        config=config,
        inputs_embeds=hidden,
        attention_mask=inputs.mask,
        allow_is_bidirectional_skip=inputs.has_padding is None,
    )


def _last_layer(layer: _EncoderLayer, hidden: Tensor, inputs: EmbeddedRows, where: Places) -> Tensor:
    attention, read = layer.attention.self, hidden[where.rows, where.columns]
    keys, values = (_heads(attention, project(hidden)) for project in (attention.key, attention.value))
    if inputs.past is not None:
        keys, values = inputs.past.update(keys, values, attention.layer_idx)
    if not len(read):
        return read
    mask = inputs.mask[:, inputs.mask.shape[1] - keys.shape[-2] :]  # the layer may lack a prefix that others have
    attended = _attend(attention, attention.query(read), (keys, values), (mask, where))
    attended = layer.attention.output(attended, read)
    return layer.output(layer.intermediate(attended), attended)


def _attend(
    attention: _SelfAttention, queries: Tensor, seen: tuple[Tensor, Tensor], there: tuple[Tensor, Places]
) -> Tensor:
    """Attention [M, D] of queries [M, D] to keys and values [B, H, S, Dh] of their row; `there` is mask and places."""
    mask, where = there
    rows, slots = where.rows, order_in_row(where.rows)
    size = int(slots.max()) + 1 if where.most_in_row is None else where.most_in_row
    grid = queries.new_zeros(len(mask), size, queries.shape[-1]).index_put((rows, slots), queries)
    dropout = attention.dropout.p if attention.training else 0.0
    allowed = mask[:, None, None].bool()
    attended = attend(_heads(attention, grid), seen, allowed, dropout=dropout, scale=attention.scaling)
    return attended.transpose(1, 2).flatten(2)[rows, slots]


def _heads(attention: _SelfAttention, states: Tensor) -> Tensor:
    """[B, L, D] as [B, H, L, Dh]."""
    size = attention.attention_head_size
    return states.view(*states.shape[:2], states.shape[-1] // size, size).transpose(1, 2)


def order_in_row(rows: Tensor) -> Tensor:
    """[M]: which of the positions read in its row each is, from 0, in the order given."""
    order = rows.argsort(stable=True)
    ordered = rows[order]
    places = torch.arange(len(rows), device=rows.device) - torch.searchsorted(ordered, ordered)
    return torch.empty_like(places).index_put((order,), places)
