"""Under which circumstances it goes wrong: the length of an example, and words that occur again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np

from tunekit.languages import separates_words
from tunekit.reports.analysis.kept import MOST_TEXTS, Answers, ArmAnswers, Asked, Bools, Ints, Kept
from tunekit.reports.tables import Cell, Column, Table, plain_row
from tunekit.wording import count, names

EDGES = (5, 10, 20, 40)
"""The most words of each bin of sentences but the last."""
PAIR_EDGES = (10, 20, 30, 50)
"""Likewise of pairs, both texts together."""
LEAST_WORDS = 50
"""A score over fewer words (or examples) is left out: it would be noise."""


def length_table(kept: Kept, keys: Sequence[str], key: str) -> Table:
    """The main metric by the length of examples, in the source language and in the target languages."""
    edges = PAIR_EDGES if kept.is_pairs else EDGES
    columns = (
        Column(key="where", title="languages"),
        Column(key="words", title="words"),
        Column(key="n", title="examples", kind="count"),
        *(
            Column(key=f"score_{own}", title=arm.arm.name, kind="score")
            for own, arm in zip(keys, kept.arms, strict=True)
        ),
    )
    rows = []
    for where, chosen in _scopes(kept):
        bins = [[_binned(answers, edges) for answers in chosen(arm) if _has_length(kept, answers)] for arm in kept.arms]
        rows += list(_length_rows(where, edges, bins))
    notes = [
        "All examples of a bin together, so that languages with more of them weigh more, and languages differ in how"
        f" long their sentences are; left out where fewer than {LEAST_WORDS} examples are in a bin.",
        kept.read,
    ]
    left = sorted({a.asked.language for arm in kept.arms for a in arm.targets if not _has_length(kept, a)})
    if left:
        notes.insert(1, f"Without {names(left)}, whose texts do not part words by white space.")
    return Table(
        name=f"lengths_{key}",
        title=f"Scores by the number of words of {'a pair' if kept.is_pairs else 'a sentence'}: {kept.title}",
        columns=columns,
        rows=tuple(rows),
        notes=tuple(notes),
    )


Scope = Callable[[ArmAnswers], Sequence[Answers]]


def _scopes(kept: Kept) -> list[tuple[str, Scope]]:
    def source(arm: ArmAnswers) -> Sequence[Answers]:
        return [arm.by_language[kept.source]] if kept.source in arm.by_language else []

    return [(f"{kept.source} (source)", source), ("targets", lambda arm: arm.targets)]


def _has_length(kept: Kept, answers: Answers) -> bool:
    return not kept.is_pairs or separates_words(answers.asked.language)


def _binned(answers: Answers, edges: Sequence[int]) -> Ints:
    """What is right, predicted and there in each bin, and its examples, [bins, 4]."""
    places = np.searchsorted(edges, answers.asked.num_words, side="left")
    columns = [*answers.counts.T, np.ones(len(places))]
    summed = [np.bincount(places, weights=column, minlength=len(edges) + 1) for column in columns]
    return np.stack(summed, axis=1).astype(np.int64)


def _length_rows(where: str, edges: Sequence[int], by_arm: Sequence[Sequence[Ints]]) -> Iterator[tuple[Cell, ...]]:
    sums = [np.sum(found, axis=0) if found else np.zeros((len(edges) + 1, 4), dtype=np.int64) for found in by_arm]
    for place in range(len(edges) + 1):
        examples = max(int(found[place][3]) for found in sums)
        if not examples:
            continue
        scores = [_score(found[place]) for found in sums]
        yield plain_row((where, _bin(place, edges), examples, *scores))


def _score(found: Ints) -> float | None:
    right, predicted, there, examples = (int(number) for number in found)
    return 2 * right / (predicted + there) if examples >= LEAST_WORDS and predicted + there else None


def _bin(place: int, edges: Sequence[int]) -> str:
    if place == len(edges):
        return f"{edges[-1] + 1} or more"
    return f"{edges[place - 1] + 1 if place else 1} to {edges[place]}"


KINDS = (
    "once in its sentence",
    "again in its sentence, with one label",
    "again in its sentence, with several labels",
    "in no other sentence of this test",
    "in other sentences of this test too",
)
"""What is told of a word; the first three are one whole, and the last two."""


def repeated_table(kept: Kept, keys: Sequence[str], key: str) -> Table:
    """The share of words with the right label, by whether the word occurs again."""
    columns = (
        Column(key="where", title="languages"),
        Column(key="word", title="a word that stands"),
        Column(key="n", title="words", kind="count"),
        *(
            Column(key=f"right_{own}", title=arm.arm.name, kind="score")
            for own, arm in zip(keys, kept.arms, strict=True)
        ),
    )
    kinds: dict[int, Bools] = {}
    rows: list[tuple[Cell, ...]] = []
    for where, chosen in _scopes(kept):
        found = [
            sum((_right_by_kind(answers, kinds) for answers in chosen(arm)), np.zeros((len(KINDS), 2), dtype=np.int64))
            for arm in kept.arms
        ]
        rows += list(_kind_rows(where, found))
    of_entities = ", O included, so that entities cannot be read off it" if kept.is_entities else ""
    return Table(
        name=f"repeated_{key}",
        title=f"Words that occur again: {kept.title}",
        columns=columns,
        rows=tuple(rows),
        notes=(
            f"The share of words whose label is right{of_entities}. Words are the same where they are written the same."
            f" Of the first {count(MOST_TEXTS)} sentences of each language."
            " Whether a word was seen in training, and in how many pieces it was read, is not known: neither is kept.",
            "A prompt that names a word and not its place must give equal words of a sentence one label.",
            kept.read,
        ),
    )


def _right_by_kind(answers: Answers, kinds: dict[int, Bools]) -> Ints:
    """How many words of each kind there are, and how many are right, [kinds, 2]; arms share the `kinds` of examples."""
    if id(answers.asked) not in kinds:
        kinds[id(answers.asked)] = kinds_of(answers.asked)
    found = kinds[id(answers.asked)]
    right = (answers.said == answers.asked.gold)[: found.shape[1]]
    return np.stack([found.sum(axis=1), (found & right).sum(axis=1)], axis=1)


def kinds_of(asked: Asked) -> Bools:
    """For each word of the sentences whose texts are at hand which of `KINDS` it is of, [kinds, words]."""
    texts = asked.examples.texts
    places: dict[str, int] = {}
    words = np.array([places.setdefault(word, len(places)) for word in chain.from_iterable(texts)], dtype=np.int64)
    owners, gold = asked.owners[: len(words)], asked.gold[: len(words)]
    _, group, times = np.unique(owners * len(places) + words, return_inverse=True, return_counts=True)
    labels = np.unique(group * (gold.max(initial=0) + 1) + gold) // (gold.max(initial=0) + 1)
    num_labels = np.bincount(labels, minlength=len(times))
    num_sentences = np.bincount(words[np.unique(group, return_index=True)[1]], minlength=len(places))
    again, several, elsewhere = times[group] > 1, num_labels[group] > 1, num_sentences[words] > 1
    return np.stack([~again, again & ~several, again & several, ~elsewhere, elsewhere])


def _kind_rows(where: str, by_arm: Sequence[Ints]) -> Iterator[tuple[Cell, ...]]:
    for place, kind in enumerate(KINDS):
        words = max(int(found[place][0]) for found in by_arm)
        if not words:
            continue
        shares = [int(f[place][1]) / int(f[place][0]) if int(f[place][0]) >= LEAST_WORDS else None for f in by_arm]
        yield plain_row((where, kind, words, *shares))
