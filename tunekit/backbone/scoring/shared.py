"""Rows that attend to rows encoded before them: a sentence is encoded once for all of its questions.

Shapes: N rows encoded before, S their tokens, Q rows that go on from them, P their tokens, D width, H heads, Dh width
of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from tunekit.backbone.encoder import Backbone
from tunekit.backbone.inputs import EmbeddedRows, Inputs, Places


@dataclass(frozen=True)
class Context:
    """Rows that have been encoded, as later rows see them."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    """Keys and values of each layer, each [N, H, S, Dh]."""
    mask: Tensor
    """[N, S], 1 for text and 0 for padding."""


Part = tuple[Context, Tensor]
"""What rows go on from: a context, and for each of them [Q] its row of it."""


class _SharedLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers leaves it half typed
    """One layer's keys and values: of earlier rows, each kept once and repeated only while the layer runs, and own."""

    def __init__(self, earlier: Sequence[tuple[Tensor, Tensor, Tensor]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._earlier = earlier
        self._num_earlier = sum(keys.shape[-2] for keys, _, _ in earlier)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        self.keys, self.values, self.is_initialized = key_states, value_states, True
        keys = [keys[owners] for keys, _, owners in self._earlier]
        values = [values[owners] for _, values, owners in self._earlier]
        return torch.cat([*keys, key_states], dim=-2), torch.cat([*values, value_states], dim=-2)

    def get_seq_length(self) -> int:
        return self._num_earlier

    def own(self) -> tuple[Tensor, Tensor]:
        """Keys and values of the rows themselves; the model has been run on them."""
        assert self.keys is not None and self.values is not None
        return self.keys, self.values


def encode_after(backbone: Backbone, parts: Sequence[Part], inputs: Inputs) -> tuple[Tensor, Context]:
    """Hidden states [Q, P, D] (fp32) of rows that go on from others, and the rows as a context for further ones.

    A row attends to its row of each part, in their order, and to itself. Its positions go on from the true length of
    those, padding not counted.

    Args:
        backbone: an encoder or a causal model.
        parts: what the rows go on from; none at all encodes them on their own.
        inputs: the rows.
    """
    rows, layers = _rows_after(backbone, parts, inputs)
    hidden = backbone.run_body(rows)
    return hidden, _context(layers, inputs)


def encode_shared(
    backbone: Backbone,
    sentences: Inputs,
    questions: Inputs,
    owners: Tensor,
    *,
    reads: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Last hidden states of questions [Q, P, D], in fp32, where each sentence is encoded once for all of its own.

    A question attends to its sentence and to itself, at the positions that follow the sentence's last token. On a
    causal model this is exactly one row of sentence and question; on an encoder it is another model than that, since
    the sentence does not see the question. Gradients reach the sentences.

    Args:
        backbone: an encoder or a causal model.
        sentences: [N, S].
        questions: [Q, P].
        owners: [Q], for each question the row of its sentence.
        reads: rows [M] and columns [M] of the positions in the questions that are read, if not all: then states [M, D]
            come out, and an encoder computes its last layer only there.

    Raises:
        ConfigError: the backbone is an encoder-decoder.
    """
    backbone.require_family("encoder", "causal", purpose="a sentence shared by its questions")
    if backbone.is_causal:
        hidden, _ = encode_after(backbone, [(encode_after(backbone, [], sentences)[1], owners)], questions)
        return hidden if reads is None else hidden[reads]
    rows, layers = _rows_after(backbone, [], sentences)
    nowhere = owners[:0]  # of the sentences, only keys and values are seen
    backbone.run_body_at(rows, Places(nowhere, nowhere))
    asked, _ = _rows_after(backbone, [(_context(layers, sentences), owners)], questions)
    return backbone.run_body(asked) if reads is None else backbone.run_body_at(asked, Places(*reads))


def _rows_after(backbone: Backbone, parts: Sequence[Part], inputs: Inputs) -> tuple[EmbeddedRows, list[_SharedLayer]]:
    """The rows as the model takes them, and the layers that will hold their keys and values."""
    masks = [context.mask[owners] for context, owners in parts]
    layers = [
        _SharedLayer([(*context.layers[index], owners) for context, owners in parts])
        for index in range(backbone.num_layers)
    ]
    starts = torch.zeros_like(inputs.attention_mask[:, 0])
    for mask in masks:
        starts = starts + mask.sum(1)
    return EmbeddedRows(
        embedded=backbone.embed(inputs.input_ids),
        mask=torch.cat([*masks, inputs.attention_mask], dim=1),
        starts=starts,
        segments=inputs.token_type_ids,
        past=Cache(layers=[*layers]),
    ), layers


def _context(layers: Sequence[_SharedLayer], inputs: Inputs) -> Context:
    return Context(tuple(layer.own() for layer in layers), inputs.attention_mask)
