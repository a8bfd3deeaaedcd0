"""Examples from the Hugging Face hub: google/xtreme, facebook/xnli and google-research-datasets/paws-x.

The hub calls dev ``validation``. A row's label is a number whose name the data set's own schema tells (`ClassLabel`),
so a change of its order cannot exchange labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunekit.errors import DataError, nearest
from tunekit.tasks.examples import Example, PairExample, Split, TokenExample
from tunekit.tasks.readers.sources import DataAbsent

HUB_SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}
UNTRANSLATED = ("", "NS")
"""What stands in PAWS-X for a text that was never translated; such pairs are left out, as in the local files."""


@dataclass(frozen=True)
class Hub:
    """One data set on the hub, a configuration a language."""

    repository: str
    configurations: Mapping[str, str]
    """Configuration by language."""
    convert: Callable[[Any, str, str], list[Example]]
    """``(Dataset, language, place) -> examples``."""
    missing: Mapping[Split, Sequence[str]] = field(default_factory=dict)
    """Languages without a split."""

    def read(self, split: Split, language: str) -> Sequence[Example]:
        """Every example of a split, downloaded once and cached by `datasets`.

        Raises:
            DataAbsent: the hub cannot be reached.
            DataError: the data set is not what it was.
        """
        return self.convert(self.rows(split, language), language, self.place(split, language))

    def rows(self, split: Split, language: str) -> Any:
        """A split as `datasets` gives it.

        Raises:
            DataAbsent: the hub cannot be reached.
        """
        import datasets

        place = self.place(split, language)
        try:
            return datasets.load_dataset(self.repository, self.configurations[language], split=HUB_SPLITS[split])
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataAbsent(
                f"{place}: cannot be loaded from the Hugging Face hub: {reason}; "
                "data_dir reads a local folder in XTREME's layout instead"
            ) from error

    def languages(self, split: Split) -> Sequence[str]:
        """Languages whose configuration has the split."""
        return tuple(name for name in self.configurations if name not in self.missing.get(split, ()))

    def locate(self, split: Split, language: str, index: int, word: int) -> str:
        """The data set, its configuration and split, and the number of the example."""
        return f"{self.place(split, language)}: example {index}, word {word}"

    def fingerprint(self, split: Split, language: str) -> None:
        """None: the examples are digested, since the hub's own revision says nothing of what `datasets` has cached."""

    def place(self, split: Split, language: str) -> str:
        """The data set, its configuration and split, for messages."""
        return f"{self.repository} ({self.configurations[language]}, {HUB_SPLITS[split]})"


def pairs(text_a: str, text_b: str, label: str = "label") -> Callable[[Any, str, str], list[Example]]:
    """Rows of two texts and a label, by the names of their columns."""

    def convert(rows: Any, language: str, place: str) -> list[Example]:
        names = _label_names(rows, label, place)
        columns = (_column(rows, name, place) for name in (text_a, text_b, label))
        return [PairExample(a, b, _name(names, value, place)) for a, b, value in zip(*columns, strict=True)]

    return convert


def translated_pairs(rows: Any, language: str, place: str) -> list[Example]:
    """PAWS-X, without the pairs that have no label (-1) or no translation."""
    return [example for _, example in _translated(rows, place)]


def identified_pairs(hub: Hub, split: Split, language: str) -> dict[int, PairExample]:
    """PAWS-X by the number in the column ``id``, alike in every language; of equal numbers the first.

    Raises:
        DataError: as `Hub.read` does, or there is no such column.
    """
    rows, place = hub.rows(split, language), hub.place(split, language)
    identities, found = _column(rows, "id", place), dict[int, PairExample]()
    for index, example in _translated(rows, place):
        found.setdefault(int(identities[index]), example)
    return found


def _translated(rows: Any, place: str) -> Iterator[tuple[int, PairExample]]:
    names = _label_names(rows, "label", place)
    columns = (_column(rows, name, place) for name in ("sentence1", "sentence2", "label"))
    for index, (a, b, value) in enumerate(zip(*columns, strict=True)):
        if value != -1 and a not in UNTRANSLATED and b not in UNTRANSLATED:
            yield index, PairExample(a, b, _name(names, value, place))


def sentences(words: str, labels: str) -> Callable[[Any, str, str], list[Example]]:
    """Rows of words and as many labels, by the names of their columns; rows without words are left out."""

    def convert(rows: Any, language: str, place: str) -> list[Example]:
        names = _label_names(rows, labels, place)
        return [
            TokenExample(tuple(row), tuple(_name(names, value, place) for value in values))
            for row, values in zip(_column(rows, words, place), _column(rows, labels, place), strict=True)
            if row
        ]

    return convert


def _column(rows: Any, name: str, place: str) -> list[Any]:
    if name not in rows.column_names:
        raise DataError(f"{place}: no column {name!r}; {nearest(name, rows.column_names)}")
    values: list[Any] = rows[name][:]  # at once: iterating a column reads it row by row
    return values


def _label_names(rows: Any, column: str, place: str) -> list[str] | None:
    if column not in rows.column_names:
        raise DataError(f"{place}: no column {column!r}; {nearest(column, rows.column_names)}")
    feature = rows.features[column]
    names = getattr(getattr(feature, "feature", feature), "names", None)  # a list's own feature, or the column's
    return None if names is None else list(names)


def _name(names: list[str] | None, value: Any, place: str) -> str:
    if names is None:
        return str(value)
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise DataError(
            f"{place}: label is {value!r}, must be 0 to {len(names) - 1} ({', '.join(names)}); has it gold labels?"
        )
    return names[value]
