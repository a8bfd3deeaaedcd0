"""The text of a cloze question: a template with slots, and how a tokenizer writes it.

Shapes and sizes are in tokens, the tokenizer's units.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import cast

from tunekit.errors import ConfigError, nearest, quoted
from tunekit.methods.parts.text_tokenizer import SpecialTokens, TextTokenizer, Tokenizer

__all__ = ["SLOTS", "Literal", "MaskForm", "Rendered", "Slot", "Template", "Writer"]

MaskForm = typing.Literal["token", "empty", "end"]
"""What a `Writer` puts at ``{mask}``."""

SLOTS = {
    "sentence": "the words of the sentence",
    "word": "the word that is asked about",
    "premise": "the first text of a pair",
    "hypothesis": "the second text of a pair",
    "mask": "the mask, where the answer is read",
    "prompt": "the run of soft-prompt positions",
}
"""What may stand in braces, each at most once, and its meaning."""


@dataclass(frozen=True)
class Literal:
    """A stretch of the template's own words."""

    text: str
    """Without the one space at each end that parts it from its neighbours."""
    is_spaced: bool
    """A space, a border or the row's start stands before it."""


@dataclass(frozen=True)
class Slot:
    """A place to be filled."""

    name: str
    is_spaced: bool


@dataclass(frozen=True)
class Template:
    """A cloze question as a text with slots in braces; ``|`` is the border between the two texts of a pair.

    White space at the ends and around the border means nothing; elsewhere a space decides whether what follows is
    written as a new word (``{word} .``) or goes on directly (``{word}.``). Line feeds and further spaces are written.

    >>> Template("{sentence} | {word} is a kind of: {mask} .").slots
    ('sentence', 'word', 'mask')

    Args:
        text: the template.

    Raises:
        ConfigError: no ``{mask}``, an unknown slot, one named twice, a brace that is not closed, or two borders.
    """

    text: str
    texts: tuple[tuple[Literal | Slot, ...], ...] = field(init=False, compare=False, repr=False)
    """The parts of the one text, or of the two."""

    def __post_init__(self) -> None:
        texts = self.text.split("|")
        if len(texts) > 2:
            second = self.text.index("|", self.text.index("|") + 1)
            raise ConfigError(
                f"template {quoted(self.text)}: a second '|' at character {second + 1}; one border at most"
            )
        starts = (0, len(texts[0]) + 1)
        object.__setattr__(self, "texts", tuple(tuple(self._parts(t, s)) for t, s in zip(texts, starts, strict=False)))
        if any(not parts for parts in self.texts):
            raise ConfigError(f"template {quoted(self.text)}: nothing stands on one side of '|'")
        for name in self.slots:
            if self.slots.count(name) > 1:
                raise ConfigError(f"template {quoted(self.text)}: {{{name}}} stands there twice; once is right")
        if "mask" not in self.slots:
            raise ConfigError(f"template {quoted(self.text)} has no {{mask}}, the place where the answer is read")

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """Names of its slots, in their order."""
        return tuple(part.name for parts in self.texts for part in parts if isinstance(part, Slot))

    def require(self, needed: Sequence[str], allowed: Sequence[str] = ()) -> None:
        """Raise a ConfigError unless the slots are all of `needed`, and others only of `allowed`."""
        for name in needed:
            if name not in self.slots:
                raise ConfigError(f"template {quoted(self.text)} lacks {{{name}}}, {SLOTS[name]}")
        for name in self.slots:
            if name not in (*needed, *allowed):
                valid = ", ".join(f"{{{each}}}" for each in (*needed, *allowed))
                raise ConfigError(
                    f"template {quoted(self.text)}: {{{name}}}, {SLOTS[name]}, has no place here; use {valid}"
                )

    def _parts(self, whole: str, start: int) -> list[Literal | Slot]:
        found: list[Literal | Slot] = []
        is_spaced = True
        start += len(whole) - len(whole.lstrip())
        for match in re.finditer(r"\{[^{}]*\}|[{}]|[^{}]+", whole.strip()):
            text, place = match[0], start + match.start() + 1
            if text in "{}":
                raise ConfigError(
                    f"template {quoted(self.text)}: {quoted(text)} at character {place} has no counterpart"
                )
            if text.startswith("{"):
                found.append(Slot(self._known(text[1:-1].strip(), place), is_spaced))
                is_spaced = False
                continue
            begins, words = text.startswith(" "), text.removeprefix(" ")
            ends, words = words.endswith(" "), words.removesuffix(" ")
            if words:
                found.append(Literal(words, is_spaced or begins))
            is_spaced = ends if words else True
        return found

    def _known(self, name: str, place: int) -> str:
        if name not in SLOTS:
            problem = f"template {quoted(self.text)}: unknown slot {{{name}}} at character {place}"
            raise ConfigError(f"{problem}; {nearest(name, SLOTS)}")
        return name


@dataclass(frozen=True, slots=True)
class Rendered:
    """One row of tokens."""

    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...] | None
    """None where all are zero."""
    mask: int
    """Column of the mask; on an encoder-decoder the last column."""
    prompt: tuple[int, ...]
    """Columns of the soft prompt; any token stands there."""
    shared: int
    """Tokens up to the end of the sentence, a special one that closes it included: equal for all of its questions."""


class Writer:
    """Writes one template with one tokenizer.

    The literal parts are tokenized once, each as it stands inside of a text. What fills a slot comes as tokens
    (`words` and `texts` make them), so that a sentence is tokenized once for all of its questions.

    Args:
        template: what to write.
        tokenizer: fast, with a mask if one is written; it may be None as long as nothing is written.
        has_segments: whether the backbone takes ``token_type_ids`` other than zero.
        prompt_length: positions of ``{prompt}``.
        mask: what stands at ``{mask}``: the mask; nothing (``empty``); or the row's end (``end``), what follows being
            left out. The last two are for a model that writes the answer.
    """

    def __init__(
        self,
        template: Template,
        tokenizer: Tokenizer | None,
        *,
        has_segments: bool,
        prompt_length: int = 0,
        mask: MaskForm = "token",
    ) -> None:
        self.template = template
        self.text = TextTokenizer(tokenizer)
        self._tokenizer = cast(Tokenizer, tokenizer)
        self._has_segments = has_segments
        self._prompt_length = prompt_length
        self._mask = mask

    @cached_property
    def overhead(self) -> int:
        """Tokens of a row whose texts are empty: special ones, literal ones, the mask and the soft prompt."""
        empty = {name: () for name in self.template.slots if name not in ("mask", "prompt")}
        return len(self.write(empty).input_ids)

    @cached_property
    def mask_id(self) -> int:
        """The token of the mask.

        Raises:
            ConfigError: the tokenizer has none.
        """
        found = self._tokenizer.mask_token_id
        if found is None:
            raise ConfigError("the tokenizer of this backbone has no mask; a masked language model is needed")
        return int(found)

    def words(self, words: Sequence[str], *, split: float = 0.0) -> list[tuple[int, ...]]:
        """The tokens of each word as it stands inside of a text; at least one each. `split` is as in `texts`."""
        space = " " if self.text.needs_space else ""
        found = self.text.tokens([space + word for word in words], split=split)
        return [tuple(tokens) or (self.text.unknown,) for tokens in found]

    def texts(self, texts: Sequence[str], slot: str, *, split: float = 0.0) -> list[tuple[int, ...]]:
        """The tokens of each text as it stands in `slot`, each piece split further with probability `split`."""
        if (before := self._sign_before(slot)) and texts:
            return self.text.going_on([text.strip() for text in texts], before, split=split)
        is_inside = any(part.name == slot and part.is_spaced for part in self._slots_inside)
        space = " " if is_inside and self.text.needs_space else ""
        found = self.text.tokens([space + text.strip() for text in texts], split=split)
        return [tuple(tokens) for tokens in found]

    def write(self, fillings: Mapping[str, Sequence[int]]) -> Rendered:
        """The row whose slots hold `fillings`, tokens by the slot's name."""
        special = self._special_tokens
        ids, types, marks = list(special.before), list(special.before_types), dict[str, range]()
        for index, parts in enumerate(self._tokens):
            if index:
                ids += special.between
                types += special.between_types
            for part in parts:
                if isinstance(part, str):
                    tokens = self._filling(part, fillings)
                    marks[part] = range(len(ids), len(ids) + len(tokens))
                    ids += tokens
                else:
                    ids += part
            types += [special.text_types[index]] * (len(ids) - len(types))
        ids += special.after
        types += special.after_types
        return Rendered(
            input_ids=tuple(ids),
            token_type_ids=tuple(types) if self._has_segments and any(types) else None,
            mask=marks["mask"][0] if self._mask == "token" else len(ids) - 1,
            prompt=tuple(marks.get("prompt", ())),
            shared=marks["sentence"].stop + self._closes_sentence if "sentence" in marks else 0,
        )

    @cached_property
    def _closes_sentence(self) -> bool:
        """Whether the border of a pair stands right after the sentence; its first token then closes the sentence."""
        first = self.template.texts[0]
        is_last = isinstance(first[-1], Slot) and first[-1].name == "sentence"
        return is_last and len(self.template.texts) == 2 and bool(self._special_tokens.between)

    def _filling(self, name: str, fillings: Mapping[str, Sequence[int]]) -> Sequence[int]:
        if name == "mask":
            return (self.mask_id,) if self._mask == "token" else ()
        return (self.text.unknown,) * self._prompt_length if name == "prompt" else fillings[name]

    @cached_property
    def _special_tokens(self) -> SpecialTokens:
        return self.text.special_tokens if len(self.template.texts) == 1 else self.text.pair_special_tokens

    @cached_property
    def _slots_inside(self) -> tuple[Slot, ...]:
        """The slots that do not begin a text."""
        return tuple(part for parts in self.template.texts for part in parts[1:] if isinstance(part, Slot))

    def _sign_before(self, slot: str) -> str:
        """The sign of the template that a slot goes on from directly, such as a colon; empty if there is none."""
        for parts in self.template.texts:
            for before, part in pairwise(parts):
                if isinstance(part, Slot) and part.name == slot and not part.is_spaced and isinstance(before, Literal):
                    return before.text[-1]
        return ""

    @cached_property
    def _tokens(self) -> tuple[tuple[str | tuple[int, ...], ...], ...]:
        """The template with the tokens of its literals, and the names of its slots."""
        texts: list[tuple[str | tuple[int, ...], ...]] = []
        for parts in self.template.texts:
            made: list[str | tuple[int, ...]] = []
            for place, part in enumerate(parts):
                if isinstance(part, Slot):
                    if part.name == "mask" and self._mask == "end":
                        return (*texts, tuple(made))
                    made.append(part.name)
                elif place == 0:
                    made.append(tuple(self.text.tokens([part.text])[0]))
                else:
                    made.append(self.text.inside(" " * part.is_spaced + part.text))
            texts.append(tuple(made))
        return tuple(texts)
