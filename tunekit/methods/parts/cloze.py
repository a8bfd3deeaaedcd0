"""Cloze questions: a text with a mask, and a label for each word that the vocabulary head may put there.

A method that asks in this way subclasses :class:`ClozeMethod`; it says which template and which words it takes by
default. A pair becomes one row; a sentence becomes one row for each of its words, asked one at a time, each showing
as much of the sentence as fits around the word.

p(y | x) = softmax over the labels y of the logit of v(y) at the mask, where v is the verbalizer. Only the mask's hidden
state and the label words' rows of the vocabulary head are computed.

A model that writes, rather than fills in, is asked with the text up to the mask: p(y | x) = softmax over y of
log p(s(y) | x), where s(y) is the string of tokens of the label's word.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Protocol, cast

from torch import Tensor
from typing_extensions import TypeVar

from tunekit.backbone import Backbone, Reading, scoring
from tunekit.errors import ConfigError, quoted
from tunekit.methods.base import Method, Setting
from tunekit.methods.batch import Batch, Feature, LabelIds
from tunekit.methods.parts.rows import fit_pair, windows
from tunekit.methods.parts.templates import MaskForm, Rendered, Template, Writer
from tunekit.methods.parts.verbalizers import MultiToken, Verbalizer, label_strings
from tunekit.methods.token_estimates import estimate_template, estimate_tokens, estimate_words
from tunekit.tasks import Example, PairExample, TokenExample

__all__ = ["ClozeFeature", "ClozeMethod", "MultiToken", "Template", "Verbalizer", "Writer", "label_strings"]

QUESTION_SHARE = 4
"""A word takes at most a 4th of a row's room in its question; the rest of the room is the sentence's."""
LEAST_ROOM = 4
"""Tokens of text that a template must leave in a row."""


@dataclass(frozen=True, slots=True)
class ClozeFeature(Feature):
    """A row with a mask, which `reads` holds, and maybe soft-prompt positions."""

    prompt: tuple[int, ...] = ()
    """Columns where a soft prompt stands instead of the tokens."""


class ClozeOptions(Protocol):
    """What every Config of a :class:`ClozeMethod` has."""

    @property
    def template(self) -> str | None:
        """The question; None is `ClozeMethod.default_template`."""

    @property
    def verbalizer(self) -> Mapping[str, str | int] | str | None:
        """A word for every label; None is `ClozeMethod.default_words`. Names are looked up by those who know them."""


C = TypeVar("C", bound=ClozeOptions, default=ClozeOptions)


class ClozeMethod(Method[C]):
    """A method whose labels are read by the pretrained vocabulary head at a mask.

    Its Config has `template` and `verbalizer` (:class:`ClozeOptions`). Backbone and head are both trained if
    `trains_backbone`, else both frozen.

    Pairs fill ``{premise}`` and ``{hypothesis}``, the longer being cut; sentences fill ``{sentence}`` and ``{word}``.
    On causal and encoder-decoder backbones, if a subclass serves them, the label strings are scored instead.
    A subclass with `soft_prompt_length` above 0 may use ``{prompt}`` and overrides `reading`.
    """

    families: ClassVar[frozenset[str]] = frozenset({"encoder"})
    trains_backbone: ClassVar[bool] = True
    splits_pieces: ClassVar[bool] = True

    def __init__(self, config: C, setting: Setting) -> None:
        super().__init__(config, setting)
        backbone = setting.backbone
        _require_vocabulary_head(backbone)
        backbone.train_vocabulary_head(self.trains(config))
        self.template = Template(self.default_template() if config.template is None else config.template)
        prompt = ("prompt",) if self.soft_prompt_length else ()
        self.template.require((*_SLOTS[self.kind], "mask", *prompt))
        self.writer = self.make_writer(self.template)
        self.check_room(self.writer)
        words = config.verbalizer if isinstance(config.verbalizer, Mapping) else self.default_words()
        self.strings: tuple[tuple[int, ...], ...] = ()
        if backbone.family == "encoder":
            self.verbalizer = self.make_verbalizer(words)
        else:
            self.strings = label_strings(words, self.labels, backbone.tokenizer)
        self.label_ids = LabelIds(self.labels)

    def default_template(self) -> str:
        """The template where the config names none."""
        raise NotImplementedError

    def default_words(self) -> Mapping[str, str | int]:
        """A word for every label where the config names none."""
        raise NotImplementedError

    @property
    def multi_token(self) -> MultiToken:
        """What becomes of a label word of several tokens."""
        return "refuse"

    @property
    def mask_form(self) -> MaskForm:
        """What stands at the mask where the backbone writes the answer."""
        return "end"

    @property
    def soft_prompt_length(self) -> int:
        """Soft-prompt positions inside the text, where ``{prompt}`` stands; they count as text."""
        return 0

    @property
    def marker_size(self) -> int:
        """Tokens that a sentence has more in a question than in itself."""
        return 0

    @property
    def room(self) -> int:
        """Tokens of text, soft prompt not counted, that fit into a row."""
        return self.max_length - self.writer.overhead - self.marker_size

    @property
    def text_room(self) -> int | None:
        """`room`: the template takes the rest."""
        return self.room

    def make_writer(self, template: Template) -> Writer:
        """Writes `template` for this backbone."""
        backbone = self.backbone
        return Writer(
            template,
            backbone.tokenizer,
            has_segments=backbone.has_segments,
            prompt_length=self.soft_prompt_length,
            mask="token" if backbone.family == "encoder" else self.mask_form,
        )

    def make_verbalizer(self, words: Mapping[str, str | int]) -> Verbalizer:
        """`words` as tokens of this backbone."""
        return Verbalizer(words, self.labels, self.backbone.tokenizer, self.multi_token)

    # From hidden states to labels

    def reading(self, batch: Batch) -> Reading:
        return Reading(
            inputs=batch.inputs, rows=batch.read_rows, columns=batch.read_columns, most_in_row=batch.most_in_row
        )

    def label_logits(self, states: Tensor, verbalizer: Verbalizer | None = None) -> Tensor:
        """Scores of the labels [N, labels] for the hidden states at their masks [N, D]."""
        chosen = verbalizer or self.verbalizer
        return chosen.logits(self.backbone.vocabulary_logits(states, chosen.entries.on(states.device)))

    def logits_of(self, states: Tensor, batch: Batch) -> Tensor:
        return self.label_logits(states)

    def logits(self, batch: Batch) -> Tensor:
        if self.backbone.family == "encoder":
            return super().logits(batch)
        return scoring.continuation_scores(self.backbone, batch.inputs, self.strings)

    # From examples to rows

    def estimate_rows(self, example: Example) -> list[int]:
        question = estimate_template(self.template.text) + self.soft_prompt_length
        if isinstance(example, PairExample):
            return [min(estimate_tokens(example) + question, self.max_length)]
        return self.estimate_questions(example, question + estimate_words(1))

    def estimate_questions(self, example: TokenExample, question: int) -> list[int]:
        """Tokens of each row of a sentence whose questions take `question` tokens beside it, estimated."""
        return [min(estimate_tokens(example) + question, self.max_length)] * len(example.words)

    def encoding_key(self) -> Hashable:
        return ("cloze", self.template, self.kind, self.labels, self.max_length, self.soft_prompt_length)

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        split = self.split_of(language)
        if self.kind == "pair":
            return self.encode_pairs(cast("Sequence[PairExample]", examples), self.writer, split)
        return self.encode_sentences(cast("Sequence[TokenExample]", examples), split)

    def encode_pairs(self, examples: Sequence[PairExample], writer: Writer, split: float) -> list[tuple[Feature, ...]]:
        """One row for each pair, written by `writer`, its pieces split further with probability `split`."""
        if not examples:
            return []
        premises = writer.texts([self.shown(e.text_a) for e in examples], "premise", split=split)
        hypotheses = writer.texts([self.shown(e.text_b) for e in examples], "hypothesis", split=split)
        room = self.max_length - writer.overhead
        rows: list[tuple[Feature, ...]] = []
        for example, a, b in zip(examples, premises, hypotheses, strict=True):
            num_a, num_b = fit_pair(len(a), len(b), room)
            row = writer.write({"premise": a[:num_a], "hypothesis": b[:num_b]})
            is_cut = num_a < len(a) or num_b < len(b)
            rows.append((self._feature(row, example.label, truncated=is_cut),))
        return rows

    def shown(self, text: str) -> str:
        """A text of a pair as the question shows it."""
        return text

    def encode_sentences(self, examples: Sequence[TokenExample], split: float) -> list[tuple[Feature, ...]]:
        """For each sentence one row per word, in order; pieces are split further with probability `split`."""
        tokens = self.tokens_of_words(examples, split)
        return [tuple(self._questions(example, tokens)) for example in examples]

    def tokens_of_words(self, examples: Sequence[TokenExample], split: float) -> dict[str, tuple[int, ...]]:
        """The tokens of every word, each tokenized once."""
        words = sorted(set(chain.from_iterable(example.words for example in examples)))
        return dict(zip(words, self.writer.words(words, split=split), strict=True)) if words else {}

    def _questions(self, example: TokenExample, tokens: Mapping[str, tuple[int, ...]]) -> list[Feature]:
        found: list[tuple[int, Feature]] = []
        for start, asked, texts in self.windows_of([tokens[word] for word in example.words]):
            for word in asked:
                row = self.write_question(texts, word - start, tokens[example.words[word]])
                found.append((word, self._feature(row, example.labels[word], word=word)))
        return [feature for _, feature in sorted(found, key=lambda item: item[0])]

    def windows_of(
        self, words: Sequence[tuple[int, ...]]
    ) -> list[tuple[int, Sequence[int], Sequence[tuple[int, ...]]]]:
        """(first word, words asked, tokens of the words shown) of each window of a sentence; mostly there is one.

        A window leaves room for the longest question of its sentence, so that all of them see the same text.
        """
        capacity = self.room - min(max(map(len, words)), self._longest_asked)
        shown = [word[:capacity] for word in words]
        found = windows([len(word) for word in shown], capacity, is_causal=False)
        return [(start, asked, shown[start:end]) for start, end, asked in found]

    def asked_tokens(self, word: tuple[int, ...]) -> tuple[int, ...]:
        """The tokens of a word in its question, cut if it is very long."""
        return word[: self._longest_asked]

    @property
    def _longest_asked(self) -> int:
        return max(1, self.room // QUESTION_SHARE)

    def sentence_tokens(self, texts: Sequence[tuple[int, ...]], place: int) -> tuple[int, ...]:
        """The sentence as the question of its word number `place` shows it."""
        return tuple(chain.from_iterable(texts))

    def write_question(self, texts: Sequence[tuple[int, ...]], place: int, word: tuple[int, ...]) -> Rendered:
        return self.writer.write({"sentence": self.sentence_tokens(texts, place), "word": self.asked_tokens(word)})

    def _feature(self, row: Rendered, label: str, *, word: int | None = None, truncated: bool = False) -> ClozeFeature:
        return ClozeFeature(
            input_ids=row.input_ids,
            token_type_ids=row.token_type_ids,
            label_ids=(self.label_ids[label],),
            reads=((row.mask,),),
            words=() if word is None else (word,),
            truncated=truncated,
            prompt=row.prompt,
        )

    def check_room(self, writer: Writer) -> None:
        """Refuse a template that leaves no room for text; without a tokenizer nothing can be said."""
        if self.backbone.tokenizer is None:
            return
        taken = writer.overhead + self.marker_size
        if self.max_length < taken + LEAST_ROOM:
            raise ConfigError(
                f"max_length is {self.max_length}, must be at least {taken + LEAST_ROOM}: the template "
                f"{quoted(writer.template.text)} takes {taken} tokens itself"
            )


_SLOTS = {"token": ("sentence", "word"), "pair": ("premise", "hypothesis")}
"""What a template of each kind of task must show."""


def _require_vocabulary_head(backbone: Backbone) -> None:
    if not backbone.has_vocabulary_head:
        raise ConfigError(
            f"backbone {backbone.name!r} comes without the vocabulary head that a cloze question reads; use a "
            "checkpoint of a language model, such as FacebookAI/xlm-roberta-base"
        )
    tokenizer = backbone.tokenizer
    if backbone.family == "encoder" and tokenizer is not None and tokenizer.mask_token_id is None:
        raise ConfigError(f"backbone {backbone.name!r}: its tokenizer has no mask, so nothing can be asked there")
