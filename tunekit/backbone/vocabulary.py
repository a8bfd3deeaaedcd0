"""The pretrained language-model head, read only at the entries of the vocabulary that are asked for.

Shapes: M states, D width, V entries in the vocabulary, K entries asked for.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import MT5ForConditionalGeneration, MT5Model, PreTrainedModel

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
    precision: AbstractContextManager[object]
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

    def logits(self, transformed: Tensor, token_ids: Tensor | None) -> Tensor:
        """Scores [..., K] of the entries `token_ids` [K], or of all, in fp32."""
        if token_ids is None:
            with self.precision:
                return nn.functional.linear(transformed.to(self._rows.dtype), self._rows, self.head.bias).float()
        bias = None if self.head.bias is None else self.head.bias[token_ids].float()
        return nn.functional.linear(transformed.float(), self._rows[token_ids].float(), bias)

    def logits_of(self, transformed: Tensor, token_ids: Tensor) -> Tensor:
        """For each state [..., M, D] the score of its own entry, `token_ids` [M]: [..., M], in fp32."""
        scores = (transformed.float() * self._rows[token_ids].float()).sum(-1)
        return scores if self.head.bias is None else scores + self.head.bias[token_ids].float()

    def log_partition(self, transformed: Tensor) -> Tensor:
        """Logarithm of the sum of exp(score) over the whole vocabulary, for states [M, D]: [M], in fp32.

        The scores, V for each state, are never held all at once, and with gradients they are computed twice.
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


class _Bert(Protocol):
    """transformers' ``BertForMaskedLM``."""

    bert: PreTrainedModel
    cls: _BertHead


class _BertHead(Protocol):
    predictions: _BertPredictions


class _BertPredictions(Protocol):
    transform: nn.Module
    decoder: nn.Linear
    bias: nn.Parameter


class _Roberta(Protocol):
    """transformers' ``RobertaForMaskedLM`` and ``XLMRobertaForMaskedLM``."""

    roberta: PreTrainedModel
    lm_head: _RobertaHead


class _RobertaHead(Protocol):
    dense: nn.Module
    layer_norm: nn.Module
    decoder: nn.Linear
    bias: nn.Parameter


class _WithLinearHead(Protocol):
    """transformers' language models whose head is one linear layer."""

    base_model: PreTrainedModel
    lm_head: nn.Linear


def taken_apart(model: PreTrainedModel) -> tuple[PreTrainedModel, VocabularyHead]:
    """The body of a language model from transformers, and its head; both share the model's parameters."""
    kind = model.config.model_type
    if kind == "bert":
        bert = cast(_Bert, model)
        predictions = bert.cls.predictions
        rows = _own_rows(predictions.decoder, bert.bert)
        return bert.bert, VocabularyHead(predictions.transform, predictions.bias, rows)
    if kind in ("roberta", "xlm-roberta"):
        roberta = cast(_Roberta, model)
        head = roberta.lm_head
        transform = nn.Sequential(head.dense, nn.GELU(), head.layer_norm)
        return roberta.roberta, VocabularyHead(transform, head.bias, _own_rows(head.decoder, roberta.roberta))
    linear = cast(_WithLinearHead, model)
    body = _mt5_body(cast(MT5ForConditionalGeneration, model)) if kind == "mt5" else linear.base_model
    return body, VocabularyHead(nn.Identity(), None, _own_rows(linear.lm_head, body))


def _mt5_body(model: MT5ForConditionalGeneration) -> MT5Model:
    """transformers keeps no body apart in its language model of this kind."""
    with torch.device("meta"):
        body = MT5Model(model.config)
    body.shared, body.encoder, body.decoder = model.shared, model.encoder, model.decoder
    body.train(model.training)
    return body


def _own_rows(decoder: nn.Linear, body: PreTrainedModel) -> nn.Parameter | None:
    rows = cast(nn.Parameter, decoder.weight)
    return None if rows is body.get_input_embeddings().weight else rows
