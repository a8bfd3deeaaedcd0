"""What a finished trial predicted for each test example, beside its scores: compact, and read without torch.

The file is gzipped JSON: the inventory of labels once, then for each language the number of the label of each example
(of each word, for a sentence) in the order of the task's test split. Equal predictions give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tunekit.predictions.packed import load_packed, packed
from tunekit.schema import to_json
from tunekit.storage import AnyPath, TrialFolder, write_bytes

Prediction = str | Sequence[str]
"""The label of a pair, or one label for each word of a sentence."""
Counts = Sequence[int]
"""Of one example: what is right, what was predicted, what there is; entities, or words (or pairs) for accuracy."""


@dataclass(frozen=True, kw_only=True)
class TestPredictions:
    """What was predicted for each test example, by language."""

    __test__ = False  # pytest takes every class Test... for tests

    trial_id: str
    epoch: int
    """The epoch, best on dev, whose parameters predicted."""
    fingerprints: Mapping[str, str]
    """Of the test splits, as ``test/<language>``: tells whether a file still holds these examples."""
    labels: tuple[str, ...]
    """The inventory: a label's number is its place here."""
    numbers: Mapping[str, Sequence[int | Sequence[int]]]
    """By language, for each example: the label's number, or one number for each word."""
    counts: Mapping[str, Sequence[Counts]] = field(default_factory=dict)
    """By language, for each example, what the main metric is made of (`Task.counts`); empty in older files."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """By language the name of the examples that were asked (`load_examples`); empty in older files."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that were scored, the source language first."""
        return tuple(self.numbers)

    def of(self, language: str) -> list[str] | list[list[str]]:
        """The labels that were predicted in `language`, as ``Task.score`` takes them.

        Raises:
            KeyError: nothing was predicted in this language.
        """
        found = self.numbers[language]
        words = [[self.labels[number] for number in row] for row in found if not isinstance(row, int)]
        return words or [self.labels[number] for number in found if isinstance(number, int)]


def numbered(labels: Sequence[str], predictions: Iterable[Prediction]) -> list[int | list[int]]:
    """The places of predicted labels in the inventory `labels`.

    Raises:
        ValueError: a label is not in the inventory.
    """
    places = {label: place for place, label in enumerate(labels)}
    try:
        return [places[each] if isinstance(each, str) else [places[word] for word in each] for each in predictions]
    except KeyError as error:
        raise ValueError(f"predicted label {error} is not one of the task's: {', '.join(labels)}") from None


def save(path: AnyPath, predictions: TestPredictions) -> None:
    """Write the predictions, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    content = json.dumps(to_json(predictions), separators=(",", ":"), ensure_ascii=False).encode()
    write_bytes(path, packed(content))


def load_predictions(folder: AnyPath) -> TestPredictions | None:
    """The test predictions in a trial's folder; None if there are none, or the file is torn (with a warning).

    Raises:
        StorageError: the file is there and cannot be read.
    """
    return load_packed(TestPredictions, TrialFolder(folder).predictions)
