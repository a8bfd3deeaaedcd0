"""The test examples of a language, with their labels: kept once for a sweep, under a name made of their content.

Trials that were asked the same examples name the same file, so that what they predicted can be compared example by
example, also where the data are not at hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from tunekit.predictions.packed import load_packed, packed
from tunekit.schema import canonical_json, to_json
from tunekit.storage import TrialFolder, write_bytes
from tunekit.tasks import Example, PairExample


@dataclass(frozen=True, kw_only=True)
class TestExamples:
    """The test examples of one language, in the order in which they were asked."""

    __test__ = False  # pytest takes every class Test... for tests

    task: str
    language: str
    metric: str
    """The main metric: ``f1`` (entities) or ``accuracy``."""
    style: str | None = None
    """How tags are written (`tunekit.tasks.schemes.Style`); None where labels mark no entities."""
    texts: Sequence[Sequence[str]] = field(default=())
    """The words of each sentence, or the two texts of each pair."""
    labels: tuple[str, ...] = ()
    """Those of the examples, sorted: a label's number is its place here."""
    numbers: Sequence[int | Sequence[int]] = ()
    """For each example the number of its label, or one for each word."""

    @classmethod
    def of(
        cls, examples: Sequence[Example], *, task: str, language: str, metric: str, style: str | None
    ) -> TestExamples:
        """From examples as a task gives them."""
        rows = [(each.label,) if isinstance(each, PairExample) else each.labels for each in examples]
        labels = tuple(sorted({label for row in rows for label in row}))
        places = {label: place for place, label in enumerate(labels)}
        numbers = [
            places[each.label] if isinstance(each, PairExample) else [places[label] for label in each.labels]
            for each in examples
        ]
        texts = [[each.text_a, each.text_b] if isinstance(each, PairExample) else list(each.words) for each in examples]
        return cls(
            task=task, language=language, metric=metric, style=style, texts=texts, labels=labels, numbers=numbers
        )

    @property
    def gold(self) -> list[tuple[str, ...]]:
        """The labels of each example: one of a pair, one for each word of a sentence."""
        return [
            (self.labels[row],) if isinstance(row, int) else tuple(self.labels[number] for number in row)
            for row in self.numbers
        ]

    @property
    def name(self) -> str:
        """What the file is called: the language, and a digest of all that is in it."""
        return f"{self.language}.{hashlib.sha256(canonical_json(to_json(self)).encode()).hexdigest()[:16]}"


def save_examples(folder: TrialFolder, examples: TestExamples) -> str:
    """Keep examples beside the trials of the sweep that `folder` belongs to, and give their name.

    Raises:
        StorageError: the file cannot be written.
    """
    name = examples.name
    content = json.dumps(to_json(examples), separators=(",", ":"), ensure_ascii=False).encode()
    write_bytes(folder.test_examples(name), packed(content))
    return name


def load_examples(folder: TrialFolder, name: str) -> TestExamples | None:
    """Examples by the name that `TestPredictions.examples` has; None if they are not there, or torn (with a warning).

    Raises:
        StorageError: the file is there and cannot be read.
    """
    return load_packed(TestExamples, folder.test_examples(name))
