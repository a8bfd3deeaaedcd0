"""The pretrained language-model head, read only at the entries of the vocabulary that are asked for.

Shapes: M states, D width, V entries in the vocabulary, K entries asked for.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import MT5Model

MAX_LOGITS = 2**25
"""Scores of the whole vocabulary that are held at a time: 128 MiB in fp32."""


class VocabularyHead(nn.Module):
    """What a pretrained model puts between its last hidden states and the scores of its vocabulary.

    A score is the product of a transformed state and the entry's row, plus the entry's bias. Rows that are tied to the
    word embeddings are not held here, so that they are trained, counted and restored once, with the body.

    Args:
        transform: of the states; BERT-like models have a linear layer, an activation and a normalisation.
        bias: [V] or None.
        rows: [V, D] where they are not the word embeddings, else None.
    """

    def __init__(self, transform: nn.Module, bias: nn.Parameter | None, rows: nn.Parameter | None) -> None:
        super().__init__()
        self.transform = transform
        self.bias, self.rows = bias, rows


@dataclass(frozen=True)
class Vocabulary:
    """A head at work."""

    head: VocabularyHead
    embeddings: Tensor
    """[V, D], the body's word embeddings: the rows, unless the head has its own."""
    precision: AbstractContextManager[Any]
    """Number format of transforms and of products with all rows; products with a few rows are in fp32."""

    @cached_property
    def _rows(self) -> Tensor:
        return self.embeddings if self.head.rows is None else self.head.rows

    def transform(self, states: Tensor) -> Tensor:
        """States [..., D] as the rows are multiplied with."""
        with self.precision:
            own = next(self.head.transform.parameters(), self._rows)
            transformed: Tensor = self.head.transform(states.to(own.dtype))
        return transformed

    def logits(self, transformed: Tensor, piece_ids: Tensor) -> Tensor:
        """Scores [..., K] of the entries `piece_ids` [K], in fp32."""
        bias = None if self.head.bias is None else self.head.bias[piece_ids].float()
        return nn.functional.linear(transformed.float(), self._rows[piece_ids].float(), bias)

    def logits_of(self, transformed: Tensor, piece_ids: Tensor) -> Tensor:
        """For each state [..., M, D] the score of its own entry, `piece_ids` [M]: [..., M], in fp32."""
        scores = (transformed.float() * self._rows[piece_ids].float()).sum(-1)
        return scores if self.head.bias is None else scores + self.head.bias[piece_ids].float()

    def log_partition(self, transformed: Tensor) -> Tensor:
        """Logarithm of the sum of exp(score) over the whole vocabulary, for states [M, D]: [M], in fp32.

        The scores, V to a state, are never held all at once, and with gradients they are computed twice.
        """
        size = max(1, MAX_LOGITS // len(self._rows))
        chunks = torch.split(transformed, size)
        if torch.is_grad_enabled() and transformed.requires_grad:
            return torch.cat([checkpoint(self._log_partition, chunk, use_reentrant=False) for chunk in chunks])
        return torch.cat([self._log_partition(chunk) for chunk in chunks])

    def _log_partition(self, transformed: Tensor) -> Tensor:
        with self.precision:
            scores = nn.functional.linear(transformed.to(self._rows.dtype), self._rows, self.head.bias)
        return scores.float().logsumexp(-1)


def taken_apart(model: Any) -> tuple[Any, VocabularyHead]:
    """The body of a language model from transformers, and its head; both share the model's parameters."""
    kind = model.config.model_type
    if kind == "bert":
        body, predictions = model.bert, model.cls.predictions
        return body, VocabularyHead(predictions.transform, predictions.bias, _own_rows(predictions.decoder, body))
    if kind in ("roberta", "xlm-roberta"):
        body, head = model.roberta, model.lm_head
        transform = nn.Sequential(head.dense, nn.GELU(), head.layer_norm)
        return body, VocabularyHead(transform, head.bias, _own_rows(head.decoder, body))
    body = _mt5_body(model) if kind == "mt5" else model.base_model
    return body, VocabularyHead(nn.Identity(), None, _own_rows(model.lm_head, body))


def _mt5_body(model: Any) -> Any:
    """transformers keeps no body apart in its language model of this kind."""
    with torch.device("meta"):
        body = MT5Model(model.config)
    body.shared, body.encoder, body.decoder = model.shared, model.encoder, model.decoder
    return body.train(model.training)


def _own_rows(decoder: Any, body: Any) -> nn.Parameter | None:
    rows: nn.Parameter = decoder.weight
    return None if rows is body.get_input_embeddings().weight else rows
