"""Labelled sentences as text: how one is written with its tags, and which are shown before a sentence to be tagged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Literal, cast

import torch

from tunekit.errors import ConfigError, quoted
from tunekit.methods.parts.answers import Tokens
from tunekit.methods.parts.templates import Slot, Template
from tunekit.methods.parts.text_tokenizer import TextTokenizer, Tokenizer
from tunekit.tasks import Example, TokenExample

Choice = Literal["first", "random", "longest", "balanced"]
"""Which sentences of train are shown: the first ones; a draw; those with most words; a draw that evens out labels."""
MAX_POOL = 1000
"""Sentences that `balanced` chooses among: a draw of this size."""


class DemonstrationWriter:
    """Writes sentences with their tags, word by word, in tokens.

    A block is the template with the sentence in ``{sentence}`` and, in place of ``{mask}``, the answer of each word:
    the answer's template with the word in ``{word}`` and the label's string in place of its ``{mask}``. Words are
    written as after a space. Blocks are parted by a line feed, or by the end-of-text token where the tokenizer has no
    line feed.

    Args:
        template: of a block; one text with ``{sentence}`` and ``{mask}``.
        answer: of a word; one text with ``{mask}``, perhaps with ``{word}``.
        tokenizer: fast; it may be None as long as nothing is written.
        strings: tokens of each label, by the label's number.

    Raises:
        ConfigError: a template with other slots, or with a border.
    """

    def __init__(
        self, template: Template, answer: Template, tokenizer: Tokenizer | None, strings: Sequence[Tokens]
    ) -> None:
        template.require(("sentence", "mask"))
        answer.require(("mask",), ("word",))
        for each in (template, answer):
            if len(each.texts) > 1:
                raise ConfigError(
                    f"template {quoted(each.text)}: a '|' has no place here, where everything is one text"
                )
        if template.slots != ("sentence", "mask"):
            raise ConfigError(f"template {quoted(template.text)}: {{sentence}} must come before {{mask}}, the tags")
        self._template, self._answer, self._strings = template, answer, strings
        self._tokenizer = cast(Tokenizer, tokenizer)
        self.text = TextTokenizer(tokenizer)
        self._words: dict[tuple[str, float], Tokens] = {}

    def tokenize_words(self, words: set[str], split: float = 0.0) -> None:
        """Tokenize the words that have not been met yet, together; each piece is split further with that probability.

        `size` and `fit` then know them by the same `split`.
        """
        new = sorted(word for word in words if (word, split) not in self._words)
        if new:
            space = " " if self.text.needs_space else ""
            found = zip(new, self.text.tokens([space + word for word in new], split=split), strict=True)
            self._words.update({(word, split): tuple(tokens) or (self.text.unknown,) for word, tokens in found})

    def size(self, word: str, split: float = 0.0) -> int:
        """Tokens that a tokenized word takes in a block: shown, and answered with the longest label."""
        return self.fit(word, 2**30, split)[1]

    def fit(self, word: str, room: int, split: float = 0.0) -> tuple[Tokens, int]:
        """The tokens of a tokenized word, cut so that it takes at most `room` in a block, and what it takes."""
        copies = 1 + ("word" in self._answer.slots)
        fixed = sum(map(len, self._around)) + max(map(len, self._strings))
        tokens = self._words[word, split][: max(1, (room - fixed) // copies)]
        return tokens, copies * len(tokens) + fixed

    @cached_property
    def overhead(self) -> int:
        """Tokens of a block that are neither words nor answers, with what parts it from the next."""
        return sum(map(len, self._parts)) + len(self.separator)

    @cached_property
    def separator(self) -> Tokens:
        """What stands between two blocks."""
        tokens = self.text.tokens(["\n"])[0]
        if tokens and self._tokenizer.decode(tokens) == "\n":
            return tuple(tokens)
        end = self._tokenizer.eos_token_id
        return () if end is None else (int(end),)

    def opening(self, words: Sequence[Tokens]) -> Tokens:
        """A block up to its first answer."""
        before, between, _ = self._parts
        return (*before, *chain.from_iterable(words), *between)

    def before_labels(self, words: Sequence[Tokens]) -> tuple[Tokens, ...]:
        """For each word what stands between the label before it, or the opening, and its own."""
        front, middle, back = self._around
        shown = [word if "word" in self._answer.slots else () for word in words]
        return tuple((*(back if i else ()), *front, *word, *middle) for i, word in enumerate(shown))

    def block(self, words: Sequence[Tokens], label_ids: Sequence[int]) -> Tokens:
        """A whole demonstration."""
        answers = zip(self.before_labels(words), label_ids, strict=True)
        tagged = chain.from_iterable((*before, *self._strings[label]) for before, label in answers)
        return (*self.opening(words), *tagged, *self._around[2], *self._parts[2], *self.separator)

    @cached_property
    def _parts(self) -> tuple[Tokens, Tokens, Tokens]:
        """What a block holds before the sentence, between sentence and answers, and after these."""
        found = self._literals(self._template, ("sentence", "mask"))
        return found[0], found[1], found[2]

    @cached_property
    def _around(self) -> tuple[Tokens, Tokens, Tokens]:
        """What an answer holds before the word, between word and label, and after the label."""
        if "word" in self._answer.slots:
            found = self._literals(self._answer, ("word", "mask"))
            return found[0], found[1], found[2]
        found = self._literals(self._answer, ("mask",))
        return found[0], (), found[1]

    def _literals(self, template: Template, slots: Sequence[str]) -> list[Tokens]:
        return literals_around(template, slots, self.text, begins=template is self._template)


def literals_around(
    template: Template, slots: Sequence[str], text: TextTokenizer, *, begins: bool = False
) -> list[Tokens]:
    """The tokens before, between and after the slots of a template of one text.

    Args:
        template: its slots must be `slots`, in this order.
        slots: their names.
        text: the tokenizer.
        begins: the template begins a text; else it stands inside of one.

    Raises:
        ConfigError: other slots, or another order.
    """
    if template.slots != tuple(slots):
        raise ConfigError(f"template {quoted(template.text)}: its slots must stand in the order {', '.join(slots)}")
    found: list[Tokens] = [()]
    for place, part in enumerate(template.texts[0]):
        if isinstance(part, Slot):
            found.append(())
        elif place == 0 and begins:
            found[-1] = tuple(text.tokens([part.text])[0])
        else:
            found[-1] = text.inside(" " * part.is_spaced + part.text)
    return found


def choose(
    examples: Sequence[Example], number: int, choice: Choice, fits: Callable[[TokenExample], bool]
) -> list[TokenExample]:
    """`number` sentences to show, or as many as fit; draws come from torch's global generator of the CPU.

    Args:
        examples: the train split.
        number: how many.
        choice: the rule.
        fits: whether a sentence is short enough; those that are not are passed over.
    """
    sentences = cast("Sequence[TokenExample]", examples)
    order: Sequence[int] = range(len(sentences))
    if choice in ("random", "balanced"):
        order = torch.randperm(len(sentences)).tolist()
    elif choice == "longest":
        order = sorted(order, key=lambda index: -len(sentences[index].words))
    fitting = (sentences[index] for index in order if fits(sentences[index]))
    if choice == "balanced":
        return list(islice(_evened_out(list(islice(fitting, MAX_POOL))), number))
    return list(islice(fitting, number))


def _evened_out(pool: list[TokenExample]) -> Iterator[TokenExample]:
    """The pool in an order in which every next sentence brings labels that have been shown least.

    A label that has been shown c times is worth 1 / (1 + c); of sentences of equal worth the first in the pool comes
    first.
    """
    shown: Counter[str] = Counter()
    while pool:
        worth = [_worth(example, shown) for example in pool]
        best = pool.pop(worth.index(max(worth)))
        shown.update(best.labels)
        yield best


def _worth(example: TokenExample, shown: Mapping[str, int]) -> float:
    return sum(1 / (1 + shown.get(label, 0)) for label in set(example.labels))
