"""Scores of a task, as fractions in [0, 1]. They belong to the task and are the same for every method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import eq
from typing import cast

from tunekit.errors import DataError
from tunekit.tasks.examples import Example, PairExample, labels_of
from tunekit.tasks.recognition import Reading, recognise
from tunekit.tasks.schemes import Tags, Unreadable
from tunekit.tasks.seqeval_chunks import chunk_f1

Predictions = Sequence[str] | Sequence[Sequence[str]]
"""One label for each pair, or for each sentence a list of exactly one label per word."""

Counts = tuple[int, int, int]
"""Of one example: what is right, what was predicted and what there is, in entities or in words (or pairs)."""


def counts(examples: Sequence[Example], predictions: Predictions, reading: Reading) -> list[Counts]:
    """What the main metric is made of, for each example; see `Task.counts`."""
    gold = [labels_of(example) for example in examples]
    given = [(each,) if isinstance(each, str) else tuple(each) for each in predictions]
    if reading.metric == "f1":
        assert reading.tags is not None  # f1 is always of tags
        return entity_counts(gold, given, reading.tags)
    pairs = zip(gold, given, strict=True)
    return [(sum(map(eq, true, said)), len(true), len(true)) for true, said in pairs]


def scored(examples: Sequence[Example], predictions: Predictions, reading: Reading) -> dict[str, float]:
    """The scores of predictions, as `Task.score` gives them.

    Args:
        examples: at least one, all of one kind.
        predictions: one for each pair or word.
        reading: how the labels are read and scored.

    Raises:
        ValueError: there are no examples, or not exactly one prediction for each pair or word.
    """
    if not examples or len(examples) != len(predictions):
        raise ValueError(f"{len(predictions)} predictions for {len(examples)} examples; each example needs one")
    if isinstance(examples[0], PairExample):
        return label_scores([cast(PairExample, e).label for e in examples], cast("Sequence[str]", predictions))
    gold = [labels_of(example) for example in examples]
    for index, (right, given) in enumerate(zip(gold, predictions, strict=True)):
        if isinstance(given, str) or len(right) != len(given):
            raise ValueError(f"example {index} has {len(right)} words but {len(given)} predictions")
    if reading.metric == "f1":
        return entity_scores(gold, predictions, reading.tags)
    words = label_scores(list(chain.from_iterable(gold)), list(chain.from_iterable(predictions)))
    return {**words, "seqeval_f1": chunk_f1(gold, predictions)}


def entity_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], tags: Tags | None = None
) -> dict[str, float]:
    """Micro precision, recall and F1 over whole entities: span and type must both be right.

    Counted as conlleval and seqeval's default mode do, and as XTREME is scored: an entity may begin with ``I-`` (PAN-X
    has such entities). All three are 0 where no entity was predicted or none was there.

    Args:
        gold: a row of labels for each sentence.
        predicted: as many labels for each.
        tags: reads the labels; None takes what they all look like, types without a mark (``PER``) included.

    Raises:
        DataError: labels that cannot be read as entities.
        ValueError: rows of different lengths.
    """
    counted = entity_counts(gold, predicted, _tags_of(gold, predicted) if tags is None else tags)
    right, num_predicted, num_gold = (sum(each[place] for each in counted) for place in range(3))
    precision = right / num_predicted if num_predicted else 0.0
    recall = right / num_gold if num_gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"f1": f1, "precision": precision, "recall": recall}


def entity_counts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], tags: Tags) -> list[Counts]:
    """For each sentence its entities: those that are right, those predicted, those that are there.

    Raises:
        ValueError: rows of different lengths.
    """
    counted = []
    for true, given in zip(gold, predicted, strict=True):
        if len(true) != len(given):
            raise ValueError(f"{len(given)} predicted labels for {len(true)} words")
        here, there = set(tags.spans(true)), set(tags.spans(given))
        counted.append((len(here & there), len(there), len(here)))
    return counted


def label_scores(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Accuracy, and macro F1: the unweighted mean over every label that is in `gold` or `predicted`."""
    right = Counter(g for g, p in zip(gold, predicted, strict=True) if g == p)
    in_gold, in_predicted = Counter(gold), Counter(predicted)
    f1s = [2 * right[name] / (in_gold[name] + in_predicted[name]) for name in in_gold | in_predicted]
    return {"accuracy": sum(right.values()) / len(gold), "macro_f1": sum(f1s) / len(f1s)}


def _tags_of(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Tags:
    counts = Counter(chain(chain.from_iterable(gold), chain.from_iterable(predicted)))
    if not set(counts) - {"O"}:
        return Tags("B-PER")
    try:
        found = recognise(counts, metric="f1").tags
    except Unreadable as error:
        raise DataError(f"label {error.labels[0]!r} {error.text}" if error.labels else error.text) from None
    assert found is not None  # f1 is always of tags
    return found
