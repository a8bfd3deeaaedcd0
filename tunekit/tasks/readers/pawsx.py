"""PAWS-X: its languages, its pairs from the hub or a file, and the number by which translations find each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from tunekit.tasks.examples import PairExample, Split
from tunekit.tasks.readers.hub import Hub, Rows, column, label_name, label_names, text_column
from tunekit.tasks.readers.pairs import tsv_pairs
from tunekit.tasks.readers.parsed import Parsed

LANGUAGES = ("de", "en", "es", "fr", "ja", "ko", "zh")
UNTRANSLATED = ("", "NS")
"""What stands in PAWS-X for a text that was never translated; such pairs are left out."""
LEFT_OUT = "pairs without label or translation"


def translated_pairs(rows: Rows, language: str, place: str) -> Parsed:
    """The pairs of the hub, without those that have no label (-1) or no translation, which are counted."""
    parsed = Parsed([example for _, example in _translated(rows, place)])
    num_left_out = len(column(rows, "label", place)) - len(parsed.examples)
    if num_left_out:
        parsed.left_out[LEFT_OUT] = num_left_out
    return parsed


def translated_file(path: Path) -> Parsed:
    """The pairs of a local file (two texts and a label between tabs), without those that the hub's reader leaves out.

    Raises:
        DataError: a row that cannot be understood.
    """
    parsed = tsv_pairs(path, width=3)
    pairs = [cast(PairExample, example) for example in parsed.examples]
    kept = [row for row, pair in enumerate(pairs) if pair.label != "-1" and is_translated(pair.text_a, pair.text_b)]
    if len(kept) == len(pairs):
        return parsed
    left_out = parsed.left_out + Counter({LEFT_OUT: len(pairs) - len(kept)})
    return Parsed([pairs[row] for row in kept], [parsed.lines[row] for row in kept], left_out, parsed.notes)


def is_translated(*texts: str) -> bool:
    """Whether every text is one, and no mark of a missing translation."""
    return not any(text.strip() in UNTRANSLATED for text in texts)


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
        if value != -1 and is_translated(a, b):
            yield index, PairExample(a, b, label_name(names, value, place))
