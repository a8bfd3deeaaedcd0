"""One row that holds a sentence once, and all of its questions.

Shapes: B sentences, Q questions, P tokens of a question, N labels, D width.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor
from typing_extensions import TypeVar

from tunekit.backbone import Inputs
from tunekit.backbone.inputs import padded
from tunekit.methods.batch import Batch, Feature, pad_rows
from tunekit.methods.parts.cloze import ClozeMethod, ClozeOptions
from tunekit.methods.parts.templates import Rendered
from tunekit.methods.token_estimates import estimate_tokens
from tunekit.tasks import TokenExample

__all__ = ["SharedBatch", "SharedFeature", "SharedSentenceMethod"]


@dataclass(frozen=True, slots=True)
class SharedFeature(Feature):
    """A sentence, in `input_ids`, and its questions; `reads` holds the masks' columns in the questions."""

    questions: tuple[Feature, ...] = ()
    """Its different questions; the tokens that follow the sentence's."""
    asks: tuple[int, ...] = ()
    """For each label which of them asks for it."""

    @property
    def length(self) -> int:
        """Tokens computed: the sentence's and all questions'."""
        return len(self.input_ids) + sum(len(each.input_ids) for each in self.questions)

    @property
    def question(self) -> Hashable:
        return self.input_ids, self.token_type_ids, tuple(each.question for each in self.questions), self.asks


@dataclass
class SharedBatch(Batch):
    """Sentences in `inputs`; `read_rows` and `read_columns` are places in `questions`, one for each label."""

    questions: Inputs
    """[Q, P]"""
    owners: Tensor
    """[Q] row of each question's sentence."""


C = TypeVar("C", bound=ClozeOptions, default=ClozeOptions)


class SharedSentenceMethod(ClozeMethod[C]):
    """Cloze questions about words, of which those of one sentence may share it.

    A subclass sets `shares_sentence`, and says where what is shared ends if that is not the sentence's own end.
    """

    shares_sentence: bool = False

    def shared_end(self, texts: Sequence[tuple[int, ...]]) -> int | None:
        """Tokens that all questions about the words `texts` begin with; None: up to the end of the sentence."""
        return None

    def estimate_questions(self, example: TokenExample, question: int) -> list[int]:
        if not self.shares_sentence:
            return super().estimate_questions(example, question)
        return [estimate_tokens(example) + len(example.words) * question]

    def encode_sentences(self, examples: Sequence[TokenExample], split: float) -> list[tuple[Feature, ...]]:
        if not self.shares_sentence:
            return super().encode_sentences(examples, split)
        tokens = self.tokens_of_words(examples, split)
        return [tuple(self._shared_rows(example, tokens)) for example in examples]

    def collate(self, features: Sequence[Feature]) -> Batch:
        if not self.shares_sentence:
            return super().collate(features)
        return collate_shared(cast("Sequence[SharedFeature]", features), self.backbone.pad_id)

    def _shared_rows(self, example: TokenExample, tokens: Mapping[str, tuple[int, ...]]) -> Iterator[SharedFeature]:
        """One row for each window of the sentence: mostly there is one."""
        for start, asked, texts in self.windows_of([tokens[word] for word in example.words]):
            rows = [self.write_question(texts, word - start, tokens[example.words[word]]) for word in asked]
            end = self.shared_end(texts)
            label_ids = [self.label_ids[example.labels[word]] for word in asked]
            yield shared_feature(rows, label_ids, asked, end=rows[0].shared if end is None else end)


def shared_feature(
    rows: Sequence[Rendered], label_ids: Sequence[int], words: Sequence[int], *, end: int
) -> SharedFeature:
    """One row from the whole questions of a sentence, all of which begin with the same text.

    Args:
        rows: a question for each word asked.
        label_ids: the words' labels.
        words: their places in the example.
        end: tokens that they share.
    """
    different = list(dict.fromkeys(rows))
    questions = tuple(
        Feature(
            input_ids=row.input_ids[end:],
            token_type_ids=None if row.token_type_ids is None else row.token_type_ids[end:],
            label_ids=(),
            reads=((row.mask - end,),),
            words=(),
        )
        for row in different
    )
    asks = tuple(different.index(row) for row in rows)
    return SharedFeature(
        input_ids=rows[0].input_ids[:end],
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
        inputs=padded([feature.input_ids for feature in features], pad_id),
        label_ids=torch.tensor([label for feature in features for label in feature.label_ids], dtype=torch.long),
        read_rows=torch.tensor(rows, dtype=torch.long),
        read_columns=torch.tensor([column for f in features for (column,) in f.reads], dtype=torch.long),
        read_labels=torch.arange(sum(sizes)),
        row_sizes=sizes,
        questions=pad_rows(questions, pad_id),
        owners=torch.tensor([row for row, feature in enumerate(features) for _ in feature.questions]),
    )
