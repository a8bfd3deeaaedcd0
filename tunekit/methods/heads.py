"""A linear head that reads one hidden state a label: what fine-tuning and prompt methods share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from tunekit.backbone import Backbone, Inputs
from tunekit.config import TrainingConfig
from tunekit.methods import Batch, Feature, Method
from tunekit.methods.rows import RowEncoder
from tunekit.tasks import Example, PairExample, Task

INITIAL_STD = 0.02
"""Spread of fresh prompts and perceptrons, as in BERT."""
HEAD_STD = 0.1
"""Spread of a head's fresh weights. With 0.02 fine-tuning at 1e-4 moves the logits too slowly to learn in a
hundred updates."""
STATE_STD = 0.2
"""Spread to which hidden states are brought before the head. With 1 a prompt's rate of 1e-2 lets the head outrun the
prompt, and transfer to other languages suffers."""


class Head(nn.Module):
    """From a hidden state [N, D] to logits [N, labels], in fp32: W dropout(0.2 (h - mean h) / std h) + b.

    Each state is brought to mean 0 and one spread over its D numbers, without parameters, since backbones end at
    different scales: one learning rate then means the same to all of them. W starts at N(0, 0.1), b at zero. The same
    head serves every backbone, also those for which transformers has none.
    """

    def __init__(self, width: int, num_labels: int, *, dropout: float, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, num_labels, device=device, dtype=torch.float32)
        nn.init.normal_(self.linear.weight, std=HEAD_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits of each hidden state."""
        states = STATE_STD * nn.functional.layer_norm(hidden, hidden.shape[-1:])
        logits: Tensor = self.linear(self.dropout(states))
        return logits


class HeadMethod(Method):
    """A method whose labels are read from the backbone's last hidden states by a :class:`Head`.

    A subclass says where the states come from (`hidden`); its Config has a `head_dropout`. Pairs are read at the
    first piece (causal: the last), words at the piece that `word_piece` says (causal: the last); `RowEncoder` has the
    details.
    """

    def __init__(
        self, config: Any, *, backbone: Backbone, task: Task, training: TrainingConfig, word_piece: str
    ) -> None:
        super().__init__(config, backbone=backbone, task=task, training=training, word_piece=word_piece)
        self.head = Head(backbone.hidden_size, len(self.labels), dropout=config.head_dropout, device=self.birthplace)
        self._rows = RowEncoder(
            backbone.tokenizer,
            kind=self.kind,
            labels=self.labels,
            max_length=self.max_length,
            word_piece=word_piece,
            is_causal=backbone.is_causal,
            has_segments=backbone.has_segments,
        )

    def hidden(self, inputs: Inputs) -> Tensor:
        """Hidden states of the text [B, L, D]."""
        raise NotImplementedError

    def logits(self, batch: Batch) -> Tensor:
        """One row of logits a label of the batch: [N, labels]."""
        states = self.hidden(batch.inputs)[batch.read_rows, batch.read_columns]
        if len(states) > len(batch.label_ids):
            sums = states.new_zeros(len(batch.label_ids), states.shape[-1]).index_add(0, batch.read_labels, states)
            states = sums / batch.read_labels.bincount(minlength=len(batch.label_ids))[:, None]
        logits: Tensor = self.head(states)
        return logits

    def encoding_key(self) -> Hashable:
        return self._rows.key

    def encode_all(self, examples: Sequence[Example]) -> list[tuple[Feature, ...]]:
        return self._rows.encode_all(examples)

    def collate(self, features: Sequence[Feature]) -> Batch:
        sizes = tuple(len(f.label_ids) for f in features)
        firsts = accumulate((0, *sizes[:-1]))
        reads = [
            (row, column, first + index)
            for row, (f, first) in enumerate(zip(features, firsts, strict=True))
            for index, columns in enumerate(f.reads)
            for column in columns
        ]
        rows, columns, labels = torch.tensor(reads, dtype=torch.long).view(-1, 3).unbind(1)
        return Batch(
            inputs=pad_rows(features, self.backbone.pad_id),
            label_ids=torch.tensor([label for f in features for label in f.label_ids], dtype=torch.long),
            read_rows=rows,
            read_columns=columns,
            read_labels=labels,
            row_sizes=sizes,
        )

    def loss(self, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(self.logits(batch), batch.label_ids, reduction="sum")

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[list[int]]:
        best = iter(self.logits(batch).argmax(-1).tolist())
        return [[next(best) for _ in range(size)] for size in batch.row_sizes]

    def decode(self, example: Example, rows: Sequence[tuple[Feature, Sequence[int]]]) -> str | list[str]:
        if isinstance(example, PairExample):
            ((_, (label_id,)),) = rows
            return self.labels[label_id]
        by_word = {
            word: self.labels[label_id]
            for feature, label_ids in rows
            for word, label_id in zip(feature.words, label_ids, strict=True)
        }
        return [by_word[word] for word in range(len(example.words))]


def pad_rows(features: Sequence[Feature], pad_id: int) -> Inputs:
    """The rows as tensors [B, L], L being the longest, filled on the right."""
    length = max(f.length for f in features)
    fills = [length - f.length for f in features]
    types = None
    if any(f.token_type_ids is not None for f in features):
        filled = [
            (*(f.token_type_ids or (0,) * f.length), *(0,) * fill) for f, fill in zip(features, fills, strict=True)
        ]
        types = torch.tensor(filled)
    return Inputs(
        input_ids=torch.tensor([(*f.input_ids, *(pad_id,) * n) for f, n in zip(features, fills, strict=True)]),
        attention_mask=torch.tensor([(*(1,) * f.length, *(0,) * n) for f, n in zip(features, fills, strict=True)]),
        token_type_ids=types,
    )
