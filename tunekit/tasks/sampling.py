"""Seeded samples of a split: by size, or by shots for each class.

Both are prefixes of one seeded order of the split, so they are nested: a smaller sample is part of every larger one
with the same seed. The order depends only on the seed, the split and the number of examples: translations of
one file (XNLI) give the same rows in every language, and adding a language changes no sample.
Chosen examples keep the order of the file.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from tunekit.errors import DataError
from tunekit.tasks.examples import Example, PairExample, TokenExample, labels_of
from tunekit.tasks.schemes import Tags

T = TypeVar("T")


def by_size(examples: Sequence[T], size: int, *, seed: int, split: str) -> tuple[T, ...]:
    """`size` examples, or all of them if there are no more."""
    chosen = _seeded_order(len(examples), seed, split)[:size]
    return tuple(examples[index] for index in sorted(chosen))


def by_shots(
    examples: Sequence[Example], shots: int, *, seed: int, split: str, where: str, tags: Tags | None = None
) -> tuple[Example, ...]:
    """Few-shot draw with `shots` examples for each class.

    Pairs: exactly `shots` examples of each label. Sentences: for each class the first `shots` sentences (in the seeded
    order) that contain it, and the union of these, since a sentence holds many classes at once; a class is an entity
    type (B-LOC and I-LOC are one, O is none) where `tags` reads the labels, else a label. A class that fewer sentences
    contain gives all it has.

    Raises:
        DataError: a label of pairs has fewer than `shots` examples.
    """
    taken: Counter[str] = Counter()
    chosen = []
    for index in _seeded_order(len(examples), seed, split):
        wanting = {name for name in _classes(examples[index], tags) if taken[name] < shots}
        if wanting:
            chosen.append(index)
            taken.update(wanting)
    short = {name: count for name, count in sorted(taken.items()) if count < shots}
    if short and isinstance(examples[0], PairExample):
        counts = ", ".join(f"{name!r} has {count}" for name, count in short.items())
        raise DataError(f"shots is {shots}, but in {where} {counts}; take at most {min(short.values())} shots")
    return tuple(examples[index] for index in sorted(chosen))


def _seeded_order(size: int, seed: int, split: str) -> list[int]:
    # Only Random.random() is promised to give the same numbers in every Python version; shuffle() is not.
    draw = random.Random(f"{seed}/{split}").random
    keys = [draw() for _ in range(size)]
    return sorted(range(size), key=keys.__getitem__)


def _classes(example: Example, tags: Tags | None) -> set[str]:
    labels = set(labels_of(example))
    if tags is None or not isinstance(example, TokenExample):
        return labels
    return {tag[1] for tag in map(tags.read_or_none, labels) if tag is not None}
