"""One row that holds a sentence once, and all of its questions.

Shapes: B sentences, Q questions, P pieces of a question, N labels, D width.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from tunekit.backbone import Backbone, Inputs
from tunekit.methods import Batch, Feature, pad_rows
from tunekit.methods.templates import Rendered

__all__ = ["SharedBatch", "SharedFeature", "collate_shared", "shared_feature", "shared_states"]


@dataclass(frozen=True, slots=True)
class SharedFeature(Feature):
    """A sentence, in `input_ids`, and its questions; `reads` holds the masks' columns in the questions."""

    questions: tuple[Feature, ...] = ()
    """Its different questions; the pieces that follow the sentence's."""
    asks: tuple[int, ...] = ()
    """For each label which of them asks for it."""

    @property
    def length(self) -> int:
        """Pieces computed: the sentence's and all questions'."""
        return len(self.input_ids) + sum(len(each.input_ids) for each in self.questions)

    @property
    def question(self) -> Hashable:
        return self.input_ids, self.token_type_ids, tuple(each.question for each in self.questions), self.asks


@dataclass
class SharedBatch(Batch):
    """Sentences in `inputs`; `read_rows` and `read_columns` are places in `questions`, one a label."""

    questions: Inputs
    """[Q, P]"""
    owners: Tensor
    """[Q] row of each question's sentence."""


def shared_feature(rows: Sequence[Rendered], label_ids: Sequence[int], words: Sequence[int]) -> SharedFeature:
    """One row from the whole questions of a sentence, all of which begin with the same text.

    Args:
        rows: a question for each word asked.
        label_ids: the words' labels.
        words: their places in the example.
    """
    cut = rows[0].shared
    different = list(dict.fromkeys(rows))
    questions = tuple(
        Feature(
            input_ids=row.input_ids[cut:],
            token_type_ids=None if row.token_type_ids is None else row.token_type_ids[cut:],
            label_ids=(),
            reads=((row.mask - cut,),),
            words=(),
        )
        for row in different
    )
    asks = tuple(different.index(row) for row in rows)
    return SharedFeature(
        input_ids=rows[0].input_ids[:cut],
        token_type_ids=None,
        label_ids=tuple(label_ids),
        reads=tuple(questions[ask].reads[0] for ask in asks),
        words=tuple(words),
        questions=questions,
        asks=asks,
    )


def collate_shared(features: Sequence[SharedFeature], pad_id: int) -> SharedBatch:
    """One batch of sentences with their questions, on the CPU."""
    questions = [question for feature in features for question in feature.questions]
    firsts = accumulate((0, *(len(feature.questions) for feature in features[:-1])))
    rows = [first + ask for feature, first in zip(features, firsts, strict=True) for ask in feature.asks]
    sizes = tuple(len(feature.label_ids) for feature in features)
    return SharedBatch(
        inputs=Inputs(*_tensors(features, pad_id)),
        label_ids=torch.tensor([label for feature in features for label in feature.label_ids], dtype=torch.long),
        read_rows=torch.tensor(rows, dtype=torch.long),
        read_columns=torch.tensor([column for f in features for (column,) in f.reads], dtype=torch.long),
        read_labels=torch.arange(sum(sizes)),
        row_sizes=sizes,
        questions=pad_rows(questions, pad_id),
        owners=torch.tensor([row for row, feature in enumerate(features) for _ in feature.questions]),
    )


def shared_states(backbone: Backbone, batch: SharedBatch) -> Tensor:
    """Hidden states at the masks: [N, D]."""
    reads = (batch.read_rows, batch.read_columns)
    return backbone.encode_shared(batch.inputs, batch.questions, batch.owners, reads)


def _tensors(features: Sequence[SharedFeature], pad_id: int) -> tuple[Tensor, Tensor]:
    """Pieces and mask of the sentences alone; `length` counts more than these."""
    width = max(len(feature.input_ids) for feature in features)
    rows = [feature.input_ids for feature in features]
    return (
        torch.tensor([(*row, *(pad_id,) * (width - len(row))) for row in rows]),
        torch.tensor([(*(1,) * len(row), *(0,) * (width - len(row))) for row in rows]),
    )
