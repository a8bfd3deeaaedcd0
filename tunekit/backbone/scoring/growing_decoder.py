"""Rows that an mT5 decoder writes step by step, each token computed once.

Shapes: B rows, R stems for each row, n tokens read at a time, T tokens seen so far, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tunekit.backbone import t5
from tunekit.backbone.encoder import Backbone
from tunekit.backbone.inputs import Inputs, padded
from tunekit.backbone.scoring.candidates import CandidateTree, TokenIds, score


class GrowingDecoder:
    """Rows of a decoder, each of which attends to an encoded text, read on and asked what may follow.

    Args:
        backbone: an encoder-decoder.
        texts: what the encoder reads, one for each row.
    """

    def __init__(self, backbone: Backbone, texts: Sequence[TokenIds]) -> None:
        self._backbone = backbone
        inputs = padded(texts, backbone.pad_id).to(backbone.device)
        with backbone.precision():
            self._memory = t5.encode(backbone.model, backbone.embed(inputs.input_ids), inputs.attention_mask)
        self._own: list[t5.States] | None = None
        self._mask = inputs.attention_mask[:, :0]
        self._last: Tensor | None = None

    def read(self, strings: Sequence[TokenIds]) -> None:
        """Read on: B strings of tokens."""
        backbone = self._backbone
        rows = padded(strings, backbone.pad_id).to(backbone.device)
        embedded = backbone.embed(rows.input_ids)
        mask = rows.attention_mask
        if self._own is None:  # nothing has been written yet: all begin with the token that decoding starts with
            embedded = torch.cat([t5.start_of(backbone.model, len(strings)), embedded], dim=1)
            mask = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        hidden, states = self._decode(embedded[:, None], mask)
        numbers = torch.arange(len(strings), device=hidden.device)
        self._last = hidden[numbers, 0, mask.sum(1) - 1]
        self._own = states if self._own is None else [_after(*pair) for pair in zip(self._own, states, strict=True)]
        self._mask = torch.cat([self._mask, mask], dim=1)

    def keep(self, num_rows: int) -> None:
        """Go on with the first `num_rows` rows only."""
        self._index(slice(num_rows))

    def select(self, rows: Tensor) -> None:
        """Go on with the rows of these numbers, in this order; a number may stand there several times or not at all."""
        self._index(rows)

    def _index(self, rows: slice | Tensor) -> None:
        memory = self._memory
        layers = tuple((keys[rows], values[rows]) for keys, values in memory.layers)
        self._memory = t5.Memory(layers, memory.allowed[rows])
        self._mask = self._mask[rows]
        if self._own is not None and self._last is not None:
            self._own = [(keys[rows], values[rows]) for keys, values in self._own]
            self._last = self._last[rows]

    def scores(self, candidates: Sequence[TokenIds]) -> Tensor:
        """How likely each candidate is to follow each row, as `continuation_scores` says: [B, K]."""
        if self._last is None:
            raise RuntimeError("nothing has been read yet")
        num_rows = len(self._last)

        def read(stems: Inputs) -> Tensor:
            strings = self._backbone.embed(stems.input_ids).expand(num_rows, -1, -1, -1)
            return self._decode(strings, stems.attention_mask.repeat(num_rows, 1))[0]

        return score(self._backbone.vocabulary, self._last, read, CandidateTree(candidates))

    def _decode(self, embedded: Tensor, mask: Tensor) -> tuple[Tensor, list[t5.States]]:
        """Last hidden states [B, R, n, D] of what each row goes on with, and its keys and values in each layer.

        Args:
            embedded: [B, R, n, D].
            mask: [B x R, n].
        """
        num_texts, num_strings, length = embedded.shape[:3]
        stack = t5.model_of(self._backbone.model).decoder
        found: list[t5.States] = []
        with self._backbone.precision():
            bias = self._bias(stack, mask)
            hidden = embedded.flatten(0, 1)
            for index, (block, text) in enumerate(zip(stack.block, self._memory.layers, strict=True)):
                attention, normed = block.layer[0].SelfAttention, block.layer[0].layer_norm(hidden)
                own = t5.heads(attention, attention.k(normed)), t5.heads(attention, attention.v(normed))
                found.append(own)
                if self._own is not None:
                    own = _after(t5.repeated(self._own[index], num_strings), own)
                queries = t5.heads(attention, attention.q(normed))
                hidden = hidden + t5.attend(attention, queries, own, bias.to(queries.dtype))
                crossing = hidden.reshape(num_texts, num_strings * length, -1)
                hidden = t5.cross_attention(block.layer[1], crossing, text, self._memory)
                hidden = block.layer[-1](hidden.view(num_texts * num_strings, length, -1))
            hidden = stack.final_layer_norm(hidden)
        return hidden.view(num_texts, num_strings, length, -1).float(), found

    def _bias(self, stack: t5.Stack, mask: Tensor) -> Tensor:
        """What is added to attention scores, [B x R, H, n, T + n]: by true positions, padding not counted."""
        before = self._mask.repeat_interleave(len(mask) // len(self._mask), dim=0)
        seen = torch.cat([before, mask], dim=1)
        places = (seen.cumsum(1) - 1).clamp(min=0)
        asking = places[:, before.shape[1] :]
        size = int(places.max()) + 1
        table = stack.block[0].layer[0].SelfAttention.compute_bias(size, size, device=mask.device)[0]
        bias: Tensor = table[:, asking[:, :, None], places[:, None, :]].transpose(0, 1)
        order = torch.arange(seen.shape[1], device=mask.device)
        allowed = seen[:, None].bool() & (order <= order[before.shape[1] :, None])
        return bias.masked_fill(~allowed[:, None], torch.finfo(bias.dtype).min)


def _after(first: t5.States, second: t5.States) -> t5.States:
    return torch.cat([first[0], second[0]], dim=-2), torch.cat([first[1], second[1]], dim=-2)
