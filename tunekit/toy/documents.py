"""What the toy backbones read: two sentences about one event, in any of the world's languages.

The second is the first one's translation (Conneau & Lample 2019, TLM) or, in the same language, a shorter version of
it. Most sentences borrow words from other languages, so that words of one meaning meet in the same places. In every
other document one word of the second sentence is altered. No label of any task is in here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tunekit.toy import world as toy_world

RETOLD = 0.3
"""Share of the documents whose second sentence is not a translation but a shorter version."""
ALTERED = 0.5
"""Share of the documents whose second sentence is wrong about one thing."""
SWITCHED = 0.8
"""Share of the sentences that borrow words."""
BORROWED = 0.5
"""Share of the words of such a sentence that come from a random language, its own included."""


@dataclass(frozen=True, slots=True)
class Document:
    """Two sentences, in words."""

    first: list[str]
    second: list[str]
    altered_words: list[bool]
    """For each word of the second sentence: is it what was altered?"""
    is_altered: bool
    """Does the second sentence disagree with the first? Leaving out a "not" alters no word that could be marked."""


def draw(seed: int) -> Iterator[Document]:
    """Documents without end, the same ones for the same seed."""
    rng = random.Random(f"toy documents/{seed}")
    tellings = toy_world.pairs("text", f"tellings/{seed}")
    shorter = ((long, short) for long, short, relation in tellings if relation == "entailment")
    for meaning in toy_world.meanings("text", f"documents/{seed}"):
        language, second_language = rng.sample(tuple(toy_world.LANGUAGES), k=2)
        retold = meaning
        if rng.random() < RETOLD:
            (meaning, retold), second_language = next(shorter), language
        told = toy_world.altered(rng, retold) if rng.random() < ALTERED else retold
        right = {(word.slot, word.form) for word in toy_world.render(retold, second_language)}
        yield Document(
            first=_words(rng, meaning, language),
            second=_words(rng, told, second_language),
            altered_words=[(w.slot, w.form) not in right for w in toy_world.render(told, second_language)],
            is_altered=told != retold,
        )


def _words(rng: random.Random, meaning: toy_world.Clause, language: str) -> list[str]:
    words = toy_world.render(meaning, language)
    if rng.random() >= SWITCHED:
        return [word.form for word in words]
    lenders = [{word.slot: word.form for word in toy_world.render(meaning, name)} for name in toy_world.LANGUAGES]
    return [rng.choice(lenders)[word.slot] if rng.random() < BORROWED else word.form for word in words]
