"""PAWS-X on the Hugging Face hub: its languages, its pairs, and the number by which translations find each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from tunekit.tasks.examples import PairExample, Split
from tunekit.tasks.readers.hub import Hub, Rows, column, label_name, label_names, text_column
from tunekit.tasks.readers.parsed import Parsed

LANGUAGES = ("de", "en", "es", "fr", "ja", "ko", "zh")
UNTRANSLATED = ("", "NS")
"""What stands in PAWS-X for a text that was never translated; such pairs are left out, as in the local files."""


def translated_pairs(rows: Rows, language: str, place: str) -> Parsed:
    """The pairs, without those that have no label (-1) or no translation, which are counted."""
    parsed = Parsed([example for _, example in _translated(rows, place)])
    parsed.left_out["pairs without label or translation"] = len(column(rows, "label", place)) - len(parsed.examples)
    return parsed


HUB = Hub("google-research-datasets/paws-x", {name: name for name in LANGUAGES}, translated_pairs)


def identified_pairs(split: Split, language: str) -> dict[int, PairExample]:
    """The pairs by the number in the column ``id``, alike in every language; of equal numbers the first.

    Raises:
        DataError: as `Hub.read` does, or there is no such column.
    """
    rows, place = HUB.rows(split, language), HUB.place(split, language)
    identities, found = column(rows, "id", place), dict[int, PairExample]()
    for index, example in _translated(rows, place):
        found.setdefault(cast(int, identities[index]), example)
    return found


def _translated(rows: Rows, place: str) -> Iterator[tuple[int, PairExample]]:
    names = label_names(rows, "label", place)
    texts = zip(text_column(rows, "sentence1", place), text_column(rows, "sentence2", place), strict=True)
    for index, ((a, b), value) in enumerate(zip(texts, column(rows, "label", place), strict=True)):
        if value != -1 and a not in UNTRANSLATED and b not in UNTRANSLATED:
            yield index, PairExample(a, b, label_name(names, value, place))
