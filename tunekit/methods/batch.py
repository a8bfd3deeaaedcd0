"""Rows of tokens, and batches of them: what a method makes of examples before a backbone reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor

from tunekit.backbone import Inputs, RowKeys
from tunekit.backbone.inputs import padded
from tunekit.backbone.moving import moved

__all__ = ["UNSEEN", "Batch", "Feature", "LabelIds", "Part", "collated", "groups_of", "pad_rows"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of a batch, tokenized: a pure function of example, language, tokenizer and ``Method.encoding_key()``.

    A method may subclass it (frozen, with slots) to carry more; a field that changes the prediction then belongs in
    `question` too.
    """

    input_ids: tuple[int, ...]
    """Tokens of the row, special ones included, the prompt not."""
    token_type_ids: tuple[int, ...] | None
    """Segments, for backbones that tell them apart; else None."""
    label_ids: tuple[int, ...]
    """The label of a pair, or one label for each word that this row owns; `UNSEEN` for one that train lacks."""
    reads: tuple[tuple[int, ...], ...]
    """For each label the positions in `input_ids` that the head reads; several are averaged."""
    words: tuple[int, ...]
    """The example's words that this row owns, in order; empty for a pair. Each word is owned by exactly one row."""
    truncated: bool = False
    """Text of a pair was cut."""

    @property
    def length(self) -> int:
        """Tokens in the row."""
        return len(self.input_ids)

    @property
    def question(self) -> Hashable:
        """All that the row's prediction depends on: rows with equal questions are computed once."""
        return self.input_ids, self.token_type_ids, self.reads


@dataclass
class Batch:
    """Rows ready for the backbone, right padded. A method may subclass it: `moved` finds every tensor field.

    Shapes: B rows, N labels (of words or pairs, flat over the rows), M positions read (M = N unless some are averaged).
    """

    inputs: Inputs
    """Tensors [B, L]."""
    label_ids: Tensor
    """[N]"""
    read_rows: Tensor
    """[M] row of each position read."""
    read_columns: Tensor
    """[M] column of each position read."""
    read_labels: Tensor
    """[M] which of the N labels the position belongs to."""
    row_sizes: tuple[int, ...]
    """Labels in each row; they sum to N."""
    most_in_row: int | None = field(default=None, kw_only=True)
    """Positions read in one row at most, where that is known."""
    keys: RowKeys | None = field(default=None, kw_only=True)
    """Of the B rows, while a method with a frozen backbone is trained: what its dropout is drawn from."""
    label_keys: RowKeys | None = field(default=None, kw_only=True)
    """The same of the N labels; the column is a label's place in its row."""

    @property
    def num_labels(self) -> int:
        """N: what the mean of the loss divides by."""
        return sum(self.row_sizes)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on `device`."""
        (found,) = moved([self], device)
        return found

    def keyed(self, keys: Tensor) -> Self:
        """The same batch with a key [B] for each of its rows."""
        sizes = torch.tensor(self.row_sizes)
        places = torch.cat([torch.arange(size) for size in self.row_sizes])
        return dataclasses.replace(self, keys=RowKeys(keys), label_keys=RowKeys(keys.repeat_interleave(sizes), places))


@dataclass(frozen=True)
class Part:
    """Rows for one loss, in units whose rows stay together: the losses of any division of them add up to that of all.

    The rows of an update may be computed in several steps, and beside rows of other trials.
    """

    units: Sequence[tuple[Feature, ...]]
    """Rows of each unit."""
    loss: Callable[[Tensor, Batch, Sequence[int]], Tensor]
    """From the logits of the rows of some units, their batch, and the numbers of these units: a scalar, fp32."""
    own_loss: Callable[[Batch], Tensor] | None = None
    """The same from the batch alone, where a method does not go by logits; its rows are then read alone."""


def groups_of(units: Sequence[tuple[Feature, ...]], *, max_tokens: int) -> Iterator[list[int]]:
    """The numbers of the units in their order, cut so that each group has at most `max_tokens` when padded.

    A unit that alone exceeds them is a group of its own.
    """
    group: list[int] = []
    width, count = 0, 0
    for number, rows in enumerate(units):
        longest = max((row.length for row in rows), default=0)
        if group and max(width, longest) * (count + len(rows)) > max_tokens:
            yield group
            group, width, count = [], 0, 0
        group.append(number)
        width, count = max(width, longest), count + len(rows)
    if group:
        yield group


def collated(features: Sequence[Feature], pad_id: int) -> Batch:
    """One batch of the rows, on the CPU, in their order."""
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
        inputs=pad_rows(features, pad_id),
        label_ids=torch.tensor([label for f in features for label in f.label_ids], dtype=torch.long),
        read_rows=rows,
        read_columns=columns,
        read_labels=labels,
        row_sizes=sizes,
        most_in_row=max((sum(map(len, f.reads)) for f in features), default=0),
    )


def pad_rows(features: Sequence[Feature], pad_id: int) -> Inputs:
    """The rows as tensors [B, L], L being the longest, filled on the right."""
    rows = padded([f.input_ids for f in features], pad_id)
    if all(f.token_type_ids is None for f in features):
        return rows
    types = [f.token_type_ids or (0,) * len(f.input_ids) for f in features]
    return dataclasses.replace(rows, token_type_ids=padded(types, 0).input_ids)


UNSEEN = -100
"""The number of a gold label that train lacks: torch's losses leave it out, and no prediction is ever equal to it."""


class LabelIds(dict[str, int]):
    """The position of each label in the inventory; `UNSEEN` for others, which only dev and test may have."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__((label, index) for index, label in enumerate(labels))

    def __missing__(self, label: str) -> int:
        return UNSEEN
