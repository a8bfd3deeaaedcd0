"""In-context learning: a language model sees some tagged sentences and tags the next one, word by word.

The baseline of ToPro's study of large language models (Ma, Nie et al. 2024, arXiv:2401.16589), in the manner of
Blevins et al. 2023 (*Prompting Language Models for Linguistic Structure*, arXiv:2211.07830): n demonstrations from the
train split of the source language, each a sentence and its tags, then the sentence itself. Its tags are decoded under
constraint: the words are given, and after each the label is argmax over y of log p(s(y) | demonstrations, sentence,
words and labels so far), s(y) being the first token of the label's word. So every word gets exactly one tag of the
task's, whatever the model would rather say; the whole word is then read on. Nothing is trained; a trial's seed decides
the draw of the demonstrations.

Label words and score are those of `topro_zero_shot`, so that neither method gains by its label strings: a summed
likelihood of whole labels favours those of few tokens (O over B-LOC), one divided by their number those whose later
tokens follow from the first. `verbalizer: labels` with `score: sum` or `score: mean` still is such a baseline.

A causal model reads the demonstrations once per trial, and each sentence once; an answer goes on from what was read. An
encoder-decoder reads demonstrations and sentence in its encoder, in both directions, so anew for each sentence, and
its decoder writes the tagged words.

Deliberate differences: demonstrations are written token by token just as the answers are, a word's tokens not depending
on its neighbours, so that the model meets at its own turn what it was shown. Decoding is greedy, without beams.

The papers leave unsaid how demonstrations are chosen (`choice`), and what the templates look like in detail
(`template`, `answer`: Blevins et al. write ``word_label``; here the label begins as a new word, so that its first
token is that of the published label words). A long sentence is cut into overlapping windows; the words that a window
shows and another window answers are tagged too, and what is said of them is dropped. `max_length` counts a window with
its answers, and so it does a demonstration: sentences of train that are longer are passed over.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from tunekit.backbone import Backbone, scoring
from tunekit.backbone.inputs import padded
from tunekit.errors import ConfigError, nearest, quoted, require
from tunekit.methods.base import Method, Setting
from tunekit.methods.batch import Batch, Feature, LabelIds
from tunekit.methods.parts.answers import Score, Tokens, answer_tokens, scored_tokens
from tunekit.methods.parts.demonstrations import Choice, DemonstrationWriter, choose
from tunekit.methods.parts.label_words import PUBLISHED, chosen_words
from tunekit.methods.parts.language_model_words import words_by_name
from tunekit.methods.parts.rows import windows
from tunekit.methods.parts.templates import Template
from tunekit.methods.token_estimates import estimate_tokens
from tunekit.tasks import Example, Task, TokenExample

TAGGED = 3
"""A sentence in which each word is followed by its label takes this many times as many tokens as the sentence."""
LEAST_ROOM = 8
"""Tokens that the template must leave in a row for words and their answers."""


@dataclass(frozen=True, kw_only=True)
class InContextLearningConfig:
    """Options of in-context learning."""

    num_demonstrations: int = 4
    """Tagged sentences shown before the sentence, >= 0; with it they must fit the backbone's positions."""
    choice: Choice = "random"
    """Which sentences of train: the first, a draw, those with most words, or a draw that evens out the labels."""
    template: str = "Sentence: {sentence} Tags: {mask}"
    """A sentence and its tags, which stand in place of {mask}."""
    answer: str = "{word}: {mask}"
    """How each word is tagged: its label stands in place of {mask}, with or without the {word}."""
    verbalizer: Mapping[str, str] | str | None = PUBLISHED
    """A word for every label, of any number of tokens; or a name as in `topro_zero_shot`: `published`, `earlier`,
    `topro` or `labels`, the labels themselves."""
    score: Score = "first"
    """The first token of a label's word alone, or the log-likelihood of the whole word, or that divided by its number
    of tokens."""

    def __post_init__(self) -> None:
        if self.verbalizer is None:
            object.__setattr__(self, "verbalizer", PUBLISHED)
        require(self.num_demonstrations >= 0, "num_demonstrations", self.num_demonstrations, "0 or more")


@dataclass(frozen=True, slots=True)
class TaggedFeature(Feature):
    """A sentence up to its tags, in `input_ids`; `reads` holds the numbers of the words that the row owns."""

    before_labels: tuple[Tokens, ...] = ()
    """What stands before each word's label, for all words that the row shows."""
    longest_label: int = 0
    """Tokens of the longest label."""
    num_shown: int = 0
    """Tokens of demonstrations that are read anew with this row."""

    @property
    def length(self) -> int:
        """Tokens computed, at most."""
        answers = sum(len(before) + self.longest_label for before in self.before_labels)
        return self.num_shown + len(self.input_ids) + answers

    @property
    def question(self) -> Hashable:
        return self.input_ids, self.before_labels, self.reads


@dataclass
class TaggedBatch(Batch):
    """Rows that are read on while they are tagged; `read_columns` holds the numbers of the words that are owned."""

    rows: tuple[TaggedFeature, ...]


class InContextLearning(Method[InContextLearningConfig]):
    """Demonstrations, then constrained decoding of a sentence's tags."""

    Config: ClassVar[type] = InContextLearningConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"token"})
    families: ClassVar[frozenset[str]] = frozenset({"causal", "encoder-decoder"})
    is_trained: ClassVar[bool] = False
    splits_pieces: ClassVar[bool] = True

    demonstrations: Tokens = ()
    """The sentences shown, with their tags."""

    def __init__(self, config: InContextLearningConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        backbone = setting.backbone
        _require_positions(config.num_demonstrations, backbone, self.max_length)
        if not backbone.has_vocabulary_head:
            raise ConfigError(f"backbone {backbone.name!r} comes without a language-model head, which must answer here")
        template, answer = Template(config.template), Template(config.answer)
        words = self._words(config.verbalizer)
        self.strings = answer_tokens(words, answer, backbone.tokenizer, config.score)
        self._scored = scored_tokens(words, self.strings, config.score)
        self.writer = DemonstrationWriter(template, answer, backbone.tokenizer, self.strings)
        self._label_ids = LabelIds(self.labels)
        self._context: scoring.Context | None = None
        if backbone.tokenizer is not None:
            self._check_room(config.template)
            self.demonstrations = self._demonstrations(setting.task)

    @property
    def prompt_length(self) -> int:
        """Tokens of the demonstrations."""
        return len(self.demonstrations)

    def _words(self, given: Mapping[str, str] | str | None) -> dict[str, str]:
        known = words_by_name(self.labels, is_causal=self.backbone.is_causal)
        verbalizer = chosen_words(given, self.labels, known)
        for label in self.labels:
            if label not in verbalizer:
                raise ConfigError(f"verbalizer: no word for {label}; each of {', '.join(self.labels)} needs one")
        for label in verbalizer:
            if label not in self.labels:
                raise ConfigError(
                    f"verbalizer: {quoted(label)} is not a label of the task; {nearest(label, self.labels)}"
                )
        return {label: verbalizer[label] for label in self.labels}

    @property
    def _room(self) -> int:
        """Tokens of words and answers in a row."""
        return self.max_length - self.writer.overhead - self.writer.text.special_tokens.size

    @property
    def text_room(self) -> int | None:
        """What the template leaves to words and their answers."""
        return self._room

    def _check_room(self, template: str) -> None:
        if self._room < LEAST_ROOM:
            least = self.max_length - self._room + LEAST_ROOM
            raise ConfigError(
                f"max_length is {self.max_length}, must be at least {least}: the template {quoted(template)} takes "
                f"{least - LEAST_ROOM} tokens itself"
            )

    def _demonstrations(self, task: Task) -> Tokens:
        number = self.config.num_demonstrations
        if number == 0:
            return ()
        writer, split = self.writer, self.split_of(None)

        def fits(example: TokenExample) -> bool:
            writer.tokenize_words(set(example.words), split)
            return sum(writer.size(word, split) for word in example.words) <= self._room

        chosen = choose(task.examples("train", task.config.source_language), number, self.config.choice, fits)
        if len(chosen) < number:
            raise ConfigError(
                f"num_demonstrations is {number}, but only {len(chosen)} sentences of train take at most max_length "
                f"({self.max_length}) tokens with their tags; use fewer, or a greater max_length"
            )
        blocks = [self._block(example, split) for example in chosen]
        return tuple(token for block in blocks for token in block)

    def _block(self, example: TokenExample, split: float) -> Tokens:
        words = [self.writer.fit(word, self._room, split)[0] for word in example.words]
        return self.writer.block(words, [self._label_ids[label] for label in example.labels])

    # From examples to rows

    def estimate_rows(self, example: Example) -> list[int]:
        shown = 0 if self.backbone.is_causal else self.config.num_demonstrations  # read once, or with each sentence
        return [TAGGED * estimate_tokens(example) * (1 + shown)]

    def encoding_key(self) -> Hashable:
        config = self.config
        return ("icl", config.template, config.answer, self.strings, self.labels, self.max_length, self._num_shown)

    @property
    def _num_shown(self) -> int:
        """Tokens of demonstrations that are read with each row; a causal model keeps what it has read."""
        return 0 if self.backbone.is_causal else len(self.demonstrations)

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        sentences, split = cast("Sequence[TokenExample]", examples), self.split_of(language)
        self.writer.tokenize_words({word for sentence in sentences for word in sentence.words}, split)
        return [self._rows(sentence, split) for sentence in sentences]

    def _rows(self, example: TokenExample, split: float) -> tuple[Feature, ...]:
        room = self._room
        words, sizes = zip(*(self.writer.fit(word, room, split) for word in example.words), strict=True)
        spans = windows([min(size, room) for size in sizes], room, is_causal=False)
        return tuple(self._row(example, words[start:end], owned, start) for start, end, owned in spans)

    def _row(self, example: TokenExample, words: Sequence[Tokens], owned: Sequence[int], start: int) -> TaggedFeature:
        return TaggedFeature(
            input_ids=self.writer.opening(words),
            token_type_ids=None,
            label_ids=tuple(self._label_ids[example.labels[word]] for word in owned),
            reads=tuple((word - start,) for word in owned),
            words=tuple(owned),
            before_labels=self.writer.before_labels(words),
            longest_label=max(map(len, self.strings)),
            num_shown=self._num_shown,
        )

    def collate(self, features: Sequence[Feature]) -> Batch:
        rows = tuple(cast("Sequence[TaggedFeature]", features))
        sizes = tuple(len(row.label_ids) for row in rows)
        return TaggedBatch(
            inputs=padded([row.input_ids for row in rows], self.backbone.pad_id),
            label_ids=torch.tensor([label for row in rows for label in row.label_ids], dtype=torch.long),
            read_rows=torch.arange(len(rows)).repeat_interleave(torch.tensor(sizes)),
            read_columns=torch.tensor([place for row in rows for (place,) in row.reads], dtype=torch.long),
            read_labels=torch.arange(sum(sizes)),
            row_sizes=sizes,
            rows=rows,
        )

    # From rows to tags

    def logits(self, batch: Batch) -> Tensor:
        rows = cast(TaggedBatch, batch).rows
        seen = len(self.demonstrations) - self._num_shown + max(row.length for row in rows)
        size = max(1, self.tokens_per_step // seen)
        scores = [self._tag(rows[start : start + size]) for start in range(0, len(rows), size)]
        return torch.cat([each for group in scores for each in group])

    def _tag(self, rows: Sequence[TaggedFeature]) -> list[Tensor]:
        """Scores [words owned, labels] of each row: one word of every row at a time, the longest rows first."""
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row].before_labels))
        ordered = [rows[row] for row in order]
        growing = self._begin([row.input_ids for row in ordered])
        said: list[Tokens] = [()] * len(rows)
        found: list[list[Tensor]] = [[] for _ in rows]
        for place in range(len(ordered[0].before_labels)):
            left = [row for row in ordered if len(row.before_labels) > place]
            growing.keep(len(left))
            growing.read([(*label, *row.before_labels[place]) for label, row in zip(said, left, strict=False)])
            scores = growing.scores(self._scored)
            if self.config.score == "mean":
                scores = scoring.per_token(scores, self.strings)
            for row, each in zip(order, scores, strict=False):
                found[row].append(each)
            said = [self.strings[label] for label in scores.argmax(-1).tolist()]
        return [torch.stack([found[i][place] for (place,) in row.reads]) for i, row in enumerate(rows)]

    def _begin(self, texts: Sequence[Tokens]) -> scoring.GrowingRows | scoring.GrowingDecoder:
        special = self.writer.text.special_tokens
        start = (*special.before, *self.demonstrations)
        if not self.backbone.is_causal:
            return scoring.GrowingDecoder(self.backbone, [(*start, *text, *special.after) for text in texts])
        if start and self._context is None:
            self._context = scoring.context_of(self.backbone, start)
        return scoring.GrowingRows(self.backbone, self._context, texts)


def _require_positions(number: int, backbone: Backbone, max_length: int) -> None:
    """Refuse demonstrations that, as long as they may be, leave no room for a row."""
    limit = backbone.max_positions
    if limit is not None and (number + 1) * max_length > limit:
        raise ConfigError(
            f"num_demonstrations is {number}: with max_length {max_length} they and the sentence may take "
            f"{number + 1} x {max_length} = {(number + 1) * max_length} tokens, but {backbone.name!r} has {limit} "
            f"positions; use at most {max(0, limit // max_length - 1)}, or a lower max_length"
        )
