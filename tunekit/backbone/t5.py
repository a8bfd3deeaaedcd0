"""mT5 at work: an encoder and a decoder whose self-attention sees a prefix.

transformers' T5 encoder takes keys and values of earlier positions and ignores them without a word, so attention is
computed here, over the model's own modules. Without a prefix everything equals transformers' forward pass.

Relative positions are counted within the text. A prefix has none: its positions get a relative bias of zero at every
distance, since a prefix stands nowhere, and learns its own weight through its keys. Attention scores are not scaled.

Shapes: B texts, L their tokens, R rows of the decoder for each text, T their tokens, P prefix positions, D width, H
heads, Dh width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast, overload

import torch
from torch import Tensor, nn
from transformers import MT5Config

from tunekit.backbone import attention as kernel

States = tuple[Tensor, Tensor]
"""Keys and values, each [B, H, ., Dh]."""
Layer = Callable[[Tensor], Tensor]


class Attention(Protocol):
    """transformers' attention of T5; any of its three kinds."""

    q: Layer
    k: Layer
    v: Layer
    o: Layer
    n_heads: int
    key_value_proj_dim: int
    dropout: float
    training: bool

    def compute_bias(self, query_length: int, key_length: int, device: torch.device) -> Tensor:
        """[1, H, query_length, key_length], what distances add to the scores."""


class SelfAttentionLayer(Protocol):
    """A layer's attention to its own text, with what surrounds it."""

    SelfAttention: Attention
    layer_norm: Layer
    dropout: Layer


class CrossAttentionLayer(Protocol):
    """A decoder layer's attention to the encoded text, with what surrounds it."""

    EncDecAttention: Attention
    layer_norm: Layer
    dropout: Layer


class _Parts(Protocol):
    """What a block runs in turn; an encoder's lacks the second."""

    @overload
    def __getitem__(self, index: Literal[0]) -> SelfAttentionLayer: ...
    @overload
    def __getitem__(self, index: Literal[1]) -> CrossAttentionLayer: ...
    @overload
    def __getitem__(self, index: Literal[-1]) -> Layer: ...


class Block(Protocol):
    """One layer of a stack."""

    layer: _Parts


class Stack(Protocol):
    """The encoder or the decoder."""

    block: Sequence[Block]
    dropout: Layer
    final_layer_norm: Layer


class T5Model(Protocol):
    """The part of transformers' ``MT5Model`` that is used here."""

    config: MT5Config
    shared: nn.Embedding
    encoder: Stack
    decoder: Stack


def model_of(body: nn.Module) -> T5Model:
    """A backbone's body by its parts, which transformers leaves untyped."""
    return cast(T5Model, body)


@dataclass(frozen=True)
class Memory:
    """An encoded text as the decoder sees it."""

    layers: tuple[States, ...]
    """Keys and values of each decoder layer's attention to the text."""
    allowed: Tensor
    """[B, 1, 1, L], whether a token may be attended to."""


def encode(
    body: nn.Module,
    embedded: Tensor,
    mask: Tensor,
    prefix: Sequence[States] | None = None,
    *,
    seen: Tensor | None = None,
) -> Memory:
    """Read texts in both directions.

    Args:
        body: transformers' ``MT5Model``.
        embedded: [B, L, D].
        mask: [B, L], 1 for text and 0 for padding.
        prefix: keys and values of P positions for each encoder layer.
        seen: [B, P], which of them are there in each row; None: all.
    """
    model = model_of(body)
    stack, allowed = model.encoder, mask[:, None, None].bool()
    bias = _bias(stack, (embedded.shape[1], allowed), prefix, seen)
    hidden = stack.dropout(embedded)
    for index, block in enumerate(stack.block):
        hidden = _self_attention(block.layer[0], hidden, bias, None if prefix is None else prefix[index])
        hidden = block.layer[-1](hidden)
    hidden = stack.dropout(stack.final_layer_norm(hidden))
    crossings = (block.layer[1].EncDecAttention for block in model.decoder.block)
    return Memory(tuple((heads(c, c.k(hidden)), heads(c, c.v(hidden))) for c in crossings), allowed)


def decode(
    body: nn.Module,
    embedded: Tensor,
    memory: Memory,
    prefix: Sequence[States] | None = None,
    *,
    seen: Tensor | None = None,
) -> Tensor:
    """Last hidden states [B, R, T, D] of rows that read from left to right and attend to their text.

    Args:
        body: transformers' ``MT5Model``.
        embedded: [B, R, T, D]; the first position of a row is to be the start of decoding.
        memory: the texts.
        prefix: keys and values of P positions for each decoder layer.
        seen: [B, P], which of them are there for each text; None: all.
    """
    num_texts, num_rows, length = embedded.shape[:3]
    stack = model_of(body).decoder
    earlier = torch.ones(length, length, dtype=torch.bool, device=embedded.device).tril()[None, None]
    there = None if seen is None else seen.repeat_interleave(num_rows, dim=0)
    bias = _bias(stack, (length, earlier), prefix, there)
    hidden = stack.dropout(embedded.flatten(0, 1))
    for index, (block, text) in enumerate(zip(stack.block, memory.layers, strict=True)):
        before = None if prefix is None else repeated(prefix[index], num_rows)
        hidden = _self_attention(block.layer[0], hidden, bias, before)
        # Attention to the text knows no positions, so all rows of a text are one row of queries.
        hidden = cross_attention(block.layer[1], hidden.reshape(num_texts, num_rows * length, -1), text, memory)
        hidden = block.layer[-1](hidden.view(num_texts * num_rows, length, -1))
    return stack.dropout(stack.final_layer_norm(hidden)).view(num_texts, num_rows, length, -1)


def read_twice(
    body: nn.Module,
    embedded: Tensor,
    mask: Tensor,
    prefix: Sequence[States] | None = None,
    *,
    seen: Tensor | None = None,
) -> Tensor:
    """Last hidden states [B, L, D] of the decoder over the text that the encoder has read, one position to the right.

    So do transformers' classifiers of this family. The prefix has the encoder's layers first, then the decoder's;
    `seen` [B, P] says which of its positions are there in each row.
    """
    middle = len(model_of(body).encoder.block)
    memory = encode(body, embedded, mask, prefix and prefix[:middle], seen=seen)
    moved = torch.cat([start_of(body, len(embedded)), embedded[:, :-1]], dim=1)
    return decode(body, moved[:, None], memory, prefix and prefix[middle:], seen=seen)[:, 0]


def repeated(states: States, num_times: int) -> States:
    """Keys and values of each row `num_times` after one another: [B x num_times, H, ., Dh]."""
    keys, values = states
    return keys.repeat_interleave(num_times, dim=0), values.repeat_interleave(num_times, dim=0)


def start_of(body: nn.Module, num_texts: int) -> Tensor:
    """Embeddings [B, 1, D] of the token that decoding starts with."""
    model = model_of(body)
    config = model.config
    start = config.pad_token_id if config.decoder_start_token_id is None else config.decoder_start_token_id
    assert start is not None, "every mT5 has a token to begin with"
    embedded: Tensor = model.shared(torch.full((num_texts, 1), start, device=model.shared.weight.device))
    return embedded


def _bias(
    stack: Stack, text: tuple[int, Tensor], prefix: Sequence[States] | None, seen: Tensor | None = None
) -> Tensor:
    """What is added to the attention scores of every layer: [1 or B, H, L, P + L]; `text` is L and what it may see."""
    length, allowed = text
    first = stack.block[0].layer[0].SelfAttention
    bias = first.compute_bias(length, length, device=allowed.device)
    least = torch.finfo(bias.dtype).min
    bias = bias.masked_fill(~allowed, least)
    if seen is not None:
        before = torch.zeros_like(seen, dtype=bias.dtype).masked_fill(~seen, least)[:, None, None]
        shape = (len(seen), *bias.shape[1:3], -1)
        return torch.cat([before.expand(shape), bias.expand(shape)], dim=-1)
    return nn.functional.pad(bias, (0 if prefix is None else prefix[0][0].shape[-2], 0))


def _self_attention(layer: SelfAttentionLayer, hidden: Tensor, bias: Tensor, before: States | None) -> Tensor:
    attention, normed = layer.SelfAttention, layer.layer_norm(hidden)
    keys, values = (heads(attention, project(normed)) for project in (attention.k, attention.v))
    if before is not None:
        keys, values = torch.cat([before[0], keys], dim=-2), torch.cat([before[1], values], dim=-2)
    queries = heads(attention, attention.q(normed))
    bias = bias[..., bias.shape[-1] - keys.shape[-2] :]  # a layer may lack the prefix that others have
    return hidden + layer.dropout(attend(attention, queries, (keys, values), bias))


def cross_attention(layer: CrossAttentionLayer, hidden: Tensor, text: States, memory: Memory) -> Tensor:
    """A decoder layer's attention to the text, with all that surrounds it."""
    attention = layer.EncDecAttention
    queries = heads(attention, attention.q(layer.layer_norm(hidden)))
    return hidden + layer.dropout(attend(attention, queries, text, memory.allowed))


def attend(attention: Attention, queries: Tensor, seen: States, bias: Tensor) -> Tensor:
    """What the queries make of keys and values they see, given what is added to the scores (or allowed at all)."""
    dropout = attention.dropout if attention.training else 0.0
    mixed = kernel.attend(queries, seen, bias, dropout=dropout, scale=1.0)
    return attention.o(mixed.transpose(1, 2).flatten(2))


def heads(attention: Attention, states: Tensor) -> Tensor:
    """[B, L, H x Dh] as [B, H, L, Dh]."""
    return states.view(*states.shape[:2], attention.n_heads, attention.key_value_proj_dim).transpose(1, 2)
