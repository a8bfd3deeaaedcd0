"""mT5 at work: an encoder and a decoder whose self-attention sees a prefix.

transformers' T5 encoder takes keys and values of earlier positions and ignores them without a word, so attention is
computed here, over the model's own modules. Without a prefix everything equals transformers' forward pass.

Relative positions are counted within the text. A prefix has none: its positions get a relative bias of zero at every
distance, since a prefix stands nowhere, and learns its own weight through its keys. Attention scores are not scaled.

Shapes: B texts, L their pieces, R rows of the decoder a text, T their pieces, P prefix positions, D width, H heads, Dh
width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

States = tuple[Tensor, Tensor]
"""Keys and values, each [B, H, ., Dh]."""


@dataclass(frozen=True)
class Memory:
    """An encoded text as the decoder sees it."""

    layers: tuple[States, ...]
    """Keys and values of each decoder layer's attention to the text."""
    allowed: Tensor
    """[B, 1, 1, L], whether a piece may be attended to."""


def encode(model: Any, embedded: Tensor, mask: Tensor, prefix: Sequence[States] | None = None) -> Memory:
    """Read texts in both directions.

    Args:
        model: ``MT5Model``.
        embedded: [B, L, D].
        mask: [B, L], 1 for text and 0 for padding.
        prefix: keys and values of P positions for each encoder layer.
    """
    stack, allowed = model.encoder, mask[:, None, None].bool()
    bias = _bias(stack, embedded.shape[1], allowed, prefix)
    hidden = stack.dropout(embedded)
    for index, block in enumerate(stack.block):
        hidden = _self_attention(block.layer[0], hidden, bias, None if prefix is None else prefix[index])
        hidden = block.layer[-1](hidden)
    hidden = stack.dropout(stack.final_layer_norm(hidden))
    crossings = (block.layer[1].EncDecAttention for block in model.decoder.block)
    return Memory(tuple((heads(c, c.k(hidden)), heads(c, c.v(hidden))) for c in crossings), allowed)


def decode(model: Any, embedded: Tensor, memory: Memory, prefix: Sequence[States] | None = None) -> Tensor:
    """Last hidden states [B, R, T, D] of rows that read from left to right and attend to their text.

    Args:
        model: ``MT5Model``.
        embedded: [B, R, T, D]; the first position of a row is to be the start of decoding.
        memory: the texts.
        prefix: keys and values of P positions for each decoder layer.
    """
    num_texts, num_rows, length = embedded.shape[:3]
    stack = model.decoder
    earlier = torch.ones(length, length, dtype=torch.bool, device=embedded.device).tril()[None, None]
    bias = _bias(stack, length, earlier, prefix)
    hidden = stack.dropout(embedded.flatten(0, 1))
    for index, (block, text) in enumerate(zip(stack.block, memory.layers, strict=True)):
        before = None
        if prefix is not None:
            before = tuple(states.repeat_interleave(num_rows, dim=0) for states in prefix[index])
        hidden = _self_attention(block.layer[0], hidden, bias, before)
        # Attention to the text knows no positions, so all rows of a text are one row of queries.
        hidden = cross_attention(block.layer[1], hidden.reshape(num_texts, num_rows * length, -1), text, memory)
        hidden = block.layer[-1](hidden.view(num_texts * num_rows, length, -1))
    last: Tensor = stack.dropout(stack.final_layer_norm(hidden))
    return last.view(num_texts, num_rows, length, -1)


def read_twice(model: Any, embedded: Tensor, mask: Tensor, prefix: Sequence[States] | None = None) -> Tensor:
    """Last hidden states [B, L, D] of the decoder over the text that the encoder has read, one position to the right.

    So do transformers' classifiers of this family. The prefix has the encoder's layers first, then the decoder's.
    """
    middle = len(model.encoder.block)
    memory = encode(model, embedded, mask, prefix and prefix[:middle])
    moved = torch.cat([start_of(model, len(embedded)), embedded[:, :-1]], dim=1)
    return decode(model, moved[:, None], memory, prefix and prefix[middle:])[:, 0]


def start_of(model: Any, num_texts: int) -> Tensor:
    """Embeddings [B, 1, D] of the piece that decoding starts with."""
    config = model.config
    start = config.pad_token_id if config.decoder_start_token_id is None else config.decoder_start_token_id
    embedded: Tensor = model.shared(torch.full((num_texts, 1), start, device=model.shared.weight.device))
    return embedded


def _bias(stack: Any, length: int, allowed: Tensor, prefix: Sequence[States] | None) -> Tensor:
    """What is added to the attention scores of every layer: [1 or B, H, L, P + L]."""
    first = stack.block[0].layer[0].SelfAttention
    bias = first.compute_bias(length, length, device=allowed.device)
    bias = bias.masked_fill(~allowed, torch.finfo(bias.dtype).min)
    return nn.functional.pad(bias, (0 if prefix is None else prefix[0][0].shape[-2], 0))


def _self_attention(layer: Any, hidden: Tensor, bias: Tensor, before: Any) -> Tensor:
    attention, normed = layer.SelfAttention, layer.layer_norm(hidden)
    keys, values = (heads(attention, project(normed)) for project in (attention.k, attention.v))
    if before is not None:
        keys, values = torch.cat([before[0], keys], dim=-2), torch.cat([before[1], values], dim=-2)
    queries = heads(attention, attention.q(normed))
    attended: Tensor = layer.dropout(attend(attention, queries, (keys, values), bias.to(queries.dtype)))
    return hidden + attended


def cross_attention(layer: Any, hidden: Tensor, text: States, memory: Memory) -> Tensor:
    """A decoder layer's attention to the text, with all that surrounds it."""
    attention = layer.EncDecAttention
    queries = heads(attention, attention.q(layer.layer_norm(hidden)))
    attended: Tensor = layer.dropout(attend(attention, queries, text, memory.allowed))
    return hidden + attended


def attend(attention: Any, queries: Tensor, seen: States, bias: Tensor) -> Tensor:
    """What the queries make of keys and values they see, given what is added to the scores (or allowed at all)."""
    dropout = attention.dropout if attention.training else 0.0
    mixed = nn.functional.scaled_dot_product_attention(queries, *seen, bias, dropout, scale=1.0)
    output: Tensor = attention.o(mixed.transpose(1, 2).flatten(2))
    return output


def heads(attention: Any, states: Tensor) -> Tensor:
    """[B, L, H x Dh] as [B, H, L, Dh]."""
    return states.view(*states.shape[:2], attention.n_heads, attention.key_value_proj_dim).transpose(1, 2)
