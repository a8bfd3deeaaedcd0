"""Tagging by writing: an encoder-decoder reads a sentence and writes its tags as text.

The *Vanilla* baseline of mT5 in Ma, Nie et al. 2024, *ToPro* (EACL; arXiv:2401.16589). The encoder reads ``tag: x_1
... x_m`` (parts of speech: ``POS tagging: ...``), and the decoder writes ``y_1: x_1 $$ y_2: x_2 $$ ...``, ended by the
end-of-text token. The loss is the cross-entropy of all tokens of that text over the whole vocabulary. All weights are
trained. The published setting: rate 3e-5, 10 epochs, 96 sentences an update, 128 tokens read and 150 written.

Answers are decoded under constraint, which is what makes the task's metric apply: the words are given, and before each
stands a label; p(y | so far) is the likelihood of the label's string and what parts it from the word, renormalised over
the label set. A beam of `num_beams` label sequences is kept (3 as published; 1 is greedy).

Deliberate differences from the published code:

- It generates freely, compares the written text, and cannot count what does not fit (its scorer has precision 1 by
  construction). Here every word gets exactly one label.
- It cuts sentences at 128 tokens and answers at 150, so that late words get no label; here such a sentence is split
  into windows that keep to both limits.
- Its loss counts padding as text to be written; here padding is left out. The loss is divided by the number of words,
  not of tokens.
- Words are tokenized each on its own, in the same way in sentence, target and answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, cast

import torch
from torch import Tensor

from tunekit.backbone import scoring
from tunekit.errors import ConfigError, require
from tunekit.methods.base import Method, Setting
from tunekit.methods.batch import UNSEEN, Batch, Feature, LabelIds, collated
from tunekit.methods.parts.answers import Tokens, answer_tokens
from tunekit.methods.parts.beams import Beams
from tunekit.methods.parts.demonstrations import literals_around
from tunekit.methods.parts.label_words import PARTS_OF_SPEECH, PUBLISHED
from tunekit.methods.parts.rows import windows
from tunekit.methods.parts.templates import Template
from tunekit.methods.parts.text_tokenizer import TextTokenizer
from tunekit.methods.token_estimates import estimate_tokens
from tunekit.tasks import Example, TokenExample

PREFIXES = ("tag:", "POS tagging:")
"""What stands before the sentence: as published for entities, taken for all other labels too, and for parts of
speech."""
WRITTEN = 3
"""Tokens written for each token of the sentence, about: a label, the word, what parts it from the next."""
LEAST_ROOM = 4
"""Tokens that must be left for words, both in what is read and in what is written."""
SCALE = 10**6
"""A window's two limits are one limit of so many parts."""


@dataclass(frozen=True, kw_only=True)
class GenerateTagsConfig:
    """Options of tagging by writing."""

    prefix: str = PUBLISHED
    """Text before the sentence; or `published`: "tag:", or "POS tagging:" for parts of speech."""
    answer: str = "{mask}: {word} $$"
    """How each word is tagged: its label stands in place of {mask}; what follows {word} parts it from the next."""
    verbalizer: Mapping[str, str] | None = None
    """A word for every label, of any number of tokens; None writes the labels themselves, as published."""
    target_length: int = 150
    """Tokens written in a row, >= 16; longer sentences are windowed."""
    num_beams: int = 3
    """Label sequences kept while decoding, >= 1."""

    def __post_init__(self) -> None:
        require(self.target_length >= 16, "target_length", self.target_length, "at least 16 tokens")
        require(self.num_beams >= 1, "num_beams", self.num_beams, "at least 1")


@dataclass(frozen=True, slots=True)
class WrittenFeature(Feature):
    """A sentence, and what is to be written of it; `reads` holds the numbers of the words that the row owns."""

    target: Tokens = ()
    """The whole text to be written, its end included."""
    shown: tuple[Tokens, ...] = ()
    """Tokens of each word that the row shows, as they are written."""

    @property
    def length(self) -> int:
        """Tokens read and written."""
        return len(self.input_ids) + len(self.target)

    @property
    def question(self) -> Hashable:
        return self.input_ids, self.shown, self.reads


@dataclass
class WrittenBatch(Batch):
    """`read_columns` holds the numbers of the words that are owned."""

    rows: tuple[WrittenFeature, ...]


class GenerateTags(Method[GenerateTagsConfig]):
    """A sentence's tags are written as text, all weights trained."""

    Config: ClassVar[type] = GenerateTagsConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"token"})
    families: ClassVar[frozenset[str]] = frozenset({"encoder-decoder"})
    trains_backbone: ClassVar[bool] = True
    splits_pieces: ClassVar[bool] = True

    def __init__(self, config: GenerateTagsConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        backbone, tokenizer = self.backbone, self.backbone.tokenizer
        if not backbone.has_vocabulary_head:
            raise ConfigError(f"backbone {backbone.name!r} comes without a language-model head, which must write here")
        backbone.train_vocabulary_head(True)
        self.answer = Template(config.answer)
        self.answer.require(("mask", "word"))
        self.prefix = PREFIXES[PARTS_OF_SPEECH.keys() >= set(self.labels)]
        if config.prefix != PUBLISHED:
            self.prefix = config.prefix.strip()
        self.text = TextTokenizer(tokenizer)
        self._label_ids = LabelIds(self.labels)
        words = _words(config.verbalizer, self.labels)
        labels = answer_tokens(words, self.answer, tokenizer, "mean")
        if tokenizer is not None:
            front, between, self._after = literals_around(self.answer, ("mask", "word"), self.text)
            self.strings = tuple((*front, *label, *between) for label in labels)
            self._end = () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)
            self._prefix = tuple(self.text.tokens([self.prefix])[0]) if self.prefix else ()
            self._longest = max(map(len, self.strings)) + len(self._after)
            self._check_room()

    @property
    def _rooms(self) -> tuple[int, int]:
        """Tokens of words in what is read, and tokens of labels and words in what is written."""
        return self.max_length - len(self._prefix) - self.text.special_tokens.size, self.config.target_length - 1

    def _check_room(self) -> None:
        read, written = self._rooms
        if read < LEAST_ROOM:
            least = self.max_length - read + LEAST_ROOM
            raise ConfigError(f"max_length is {self.max_length}, must be at least {least} with prefix {self.prefix!r}")
        if written - self._longest < LEAST_ROOM:
            least = self._longest + LEAST_ROOM + 1
            raise ConfigError(
                f"target_length is {self.config.target_length}, must be at least {least}: a label takes up to "
                f"{self._longest} tokens"
            )

    # From examples to rows

    def estimate_rows(self, example: Example) -> list[int]:
        return [(1 + WRITTEN) * estimate_tokens(example)]

    def encoding_key(self) -> Hashable:
        config = self.config
        return ("generate_tags", self.prefix, config.answer, self.strings, self.labels, self.max_length, self._rooms)

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        sentences = cast("Sequence[TokenExample]", examples)
        names = sorted({word for sentence in sentences for word in sentence.words})
        space = " " if self.text.needs_space else ""
        found = self.text.tokens([space + name for name in names], split=self.split_of(language)) if names else []
        tokens = {name: tuple(each) or (self.text.unknown,) for name, each in zip(names, found, strict=True)}
        return [self._windows(sentence, [tokens[word] for word in sentence.words]) for sentence in sentences]

    def _windows(self, example: TokenExample, words: Sequence[Tokens]) -> tuple[Feature, ...]:
        read, written = self._rooms
        cut = [word[: min(read, written - self._longest)] for word in words]
        sizes = [max(-(-len(w) * SCALE // read), -(-(len(w) + self._longest) * SCALE // written)) for w in cut]
        spans = windows([min(size, SCALE) for size in sizes], SCALE, is_causal=False)
        return tuple(self._row(example, cut[start:end], owned, start) for start, end, owned in spans)

    def _row(self, example: TokenExample, shown: Sequence[Tokens], owned: Sequence[int], start: int) -> WrittenFeature:
        special = self.text.special_tokens
        labels = [self._label_ids[label] for label in example.labels[start : start + len(shown)]]
        target = chain.from_iterable(self._written(*pair) for pair in zip(labels, shown, strict=True))
        whole = tuple(target)
        return WrittenFeature(
            input_ids=(*special.before, *self._prefix, *chain.from_iterable(shown), *special.after),
            token_type_ids=None,
            label_ids=tuple(labels[word - start] for word in owned),
            reads=tuple((word - start,) for word in owned),
            words=tuple(owned),
            target=(*whole[: len(whole) - len(self._after)], *self._end),
            shown=tuple(shown),
        )

    def _written(self, label: int, word: Tokens) -> Tokens:
        """What is written of a word, and what parts it from the next; no label where train lacks it."""
        string = () if label == UNSEEN else self.strings[label]
        return (*string, *word, *self._after)

    def collate(self, features: Sequence[Feature]) -> Batch:
        batch = collated(features, self.backbone.pad_id)
        rows = tuple(cast("Sequence[WrittenFeature]", features))
        return WrittenBatch(**vars(batch), rows=rows)

    # From rows to labels

    def loss(self, batch: Batch) -> Tensor:
        """Sum of the cross-entropy over all tokens that are to be written."""
        rows = cast(WrittenBatch, batch).rows
        return -scoring.written_log_likelihood(self.backbone, batch.inputs, [row.target for row in rows])

    def logits(self, batch: Batch) -> Tensor:
        """Log-probabilities of the labels at each word, given the labels before it in the best sequence."""
        return torch.cat([scores for _, scores in self._answers(batch)])

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[list[int]]:
        """The labels of the best sequence; with several beams they need not be the likeliest at each word."""
        return [labels for labels, _ in self._answers(batch)]

    def _answers(self, batch: Batch) -> list[tuple[list[int], Tensor]]:
        """For each row the labels of the words that it owns, and the scores [words owned, labels] they come from."""
        rows = cast(WrittenBatch, batch).rows
        longest = self.config.num_beams * max(len(row.input_ids) + self.config.target_length for row in rows)
        size = max(1, self.tokens_per_step // longest)
        parts = [self._decode(rows[start : start + size]) for start in range(0, len(rows), size)]
        return [answer for part in parts for answer in part]

    def _decode(self, rows: Sequence[WrittenFeature]) -> list[tuple[list[int], Tensor]]:
        """One word of every row at a time, the longest rows first."""
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row].shown))
        ordered = [rows[row] for row in order]
        growing = scoring.GrowingDecoder(self.backbone, [row.input_ids for row in ordered])
        beams = Beams(len(rows), self.config.num_beams, device=self.backbone.device)
        for place in range(len(ordered[0].shown)):
            left = [row for row in ordered if len(row.shown) > place]
            growing.keep(beams.keep(len(left)))
            before = [row.shown[place - 1] if place else () for row in left]
            said = beams.last_labels()
            growing.read([self._written(y, w) if place else () for w, ys in zip(before, said, strict=True) for y in ys])
            growing.select(beams.grow(growing.scores(self.strings)))
        beams.keep(0)
        found = dict(zip(order, beams.best, strict=True))
        columns = [torch.tensor([place for (place,) in row.reads]) for row in rows]
        return [(found[i][0][c].tolist(), found[i][1][c.to(found[i][1].device)]) for i, c in enumerate(columns)]


def _words(verbalizer: Mapping[str, str] | None, labels: Sequence[str]) -> dict[str, str]:
    """A word for every label, in their order."""
    if verbalizer is None:
        return {label: label for label in labels}
    if verbalizer.keys() != set(labels):
        odd = ", ".join(sorted(verbalizer.keys() ^ set(labels)))
        raise ConfigError(
            f"verbalizer: each of {', '.join(labels)} needs a word, and nothing else; it differs in {odd}"
        )
    return {label: verbalizer[label] for label in labels}
