"""Examples from data sets of the Hugging Face hub.

The hub calls dev ``validation``. A row's label is a number whose name the data set's own schema tells (`ClassLabel`),
so a change of its order cannot exchange labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, cast

from tunekit.errors import DataError, nearest
from tunekit.patience import closed_door, passing, persist
from tunekit.tasks.examples import Example, PairExample, Split, TokenExample
from tunekit.tasks.readers.parsed import Parsed, ReadingNotes
from tunekit.tasks.readers.sources import DataAbsent

HUB_SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}


class Rows(Protocol):
    """What is used of `datasets.Dataset`: one split of a configuration, by columns."""

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""

    @property
    def features(self) -> Mapping[str, object]:
        """Type of each column."""

    def __getitem__(self, name: str) -> Sequence[object]:
        """The values of a column."""


Convert = Callable[[Rows, str, str], Parsed]
"""``(rows, language, place) -> Parsed`` without lines; `place` names the data set in messages."""


@dataclass(frozen=True)
class Hub:
    """One data set on the hub, with one configuration for each language."""

    repository: str
    configurations: Mapping[str, str]
    """Configuration by language."""
    convert: Convert
    missing: Mapping[Split, Sequence[str]] = field(default_factory=dict)
    """Languages without a split."""
    revision: str | None = None
    """A branch in which each configuration is a folder of Parquet files; None takes the data set's own list of them."""
    _notes: dict[tuple[Split, str], ReadingNotes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, split: Split, language: str) -> Sequence[Example]:
        """Every example of a split, downloaded once and cached by `datasets`.

        Raises:
            DataAbsent: the hub cannot be reached.
            DataError: the data set is not what it was.
        """
        place = self.place(split, language)
        parsed = self.convert(self.rows(split, language), language, place)
        self._notes[split, language] = parsed.reading(place)
        return parsed.examples

    def rows(self, split: Split, language: str) -> Rows:
        """A split as `datasets` gives it.

        Raises:
            DataAbsent: the hub cannot be reached, and waiting did not help; or it has no such data set for us.
        """
        import datasets

        place = self.place(split, language)
        try:
            load = partial(datasets.load_dataset, self.repository, split=HUB_SPLITS[split], **self._which(language))
            rows = persist(load, partial(passing, doing=f"load {place} from the hub"), errors=Exception)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            reason = " ".join(str(error).split())[:200]
            cure = closed_door(error) or "data_dir reads a local folder in XTREME's layout instead"
            raise DataAbsent(f"{place}: cannot be loaded from the Hugging Face hub: {reason}; {cure}") from error
        return cast(Rows, rows)

    def languages(self, split: Split) -> Sequence[str]:
        """Languages whose configuration has the split."""
        return tuple(name for name in self.configurations if name not in self.missing.get(split, ()))

    def locate(self, split: Split, language: str, index: int, word: int) -> str:
        """The data set, its configuration and split, and the number of the example."""
        return f"{self.place(split, language)}: example {index}, word {word}"

    def fingerprint(self, split: Split, language: str) -> None:
        """None: the examples are digested, since the hub's own revision says nothing of what `datasets` has cached."""

    def reading(self, split: Split, language: str) -> ReadingNotes:
        """What was left out of the data set; only the notes are kept."""
        if (split, language) not in self._notes:
            self.read(split, language)
        return self._notes[split, language]

    def place(self, split: Split, language: str) -> str:
        """The data set, its configuration and split, for messages."""
        return f"{self.repository} ({self.configurations[language]}, {HUB_SPLITS[split]})"

    def _which(self, language: str) -> dict[str, str]:
        name = self.configurations[language]
        return {"name": name} if self.revision is None else {"data_dir": name, "revision": self.revision}


def pairs(text_a: str, text_b: str, label: str = "label") -> Convert:
    """Rows of two texts and a label, by the names of their columns."""

    def convert(rows: Rows, language: str, place: str) -> Parsed:
        names = label_names(rows, label, place)
        texts = zip(text_column(rows, text_a, place), text_column(rows, text_b, place), strict=True)
        values = zip(texts, column(rows, label, place), strict=True)
        return Parsed([PairExample(a, b, label_name(names, value, place)) for (a, b), value in values])

    return convert


def sentences(words: str, labels: str) -> Convert:
    """Rows of words and as many labels, by the names of their columns; rows without words are left out."""

    def convert(rows: Rows, language: str, place: str) -> Parsed:
        names = label_names(rows, labels, place)
        found = cast("Sequence[Sequence[str]]", column(rows, words, place))
        numbers = cast("Sequence[Sequence[object]]", column(rows, labels, place))
        parsed = Parsed()
        for row, values in zip(found, numbers, strict=True):
            if row:
                parsed.examples.append(TokenExample(tuple(row), tuple(label_name(names, v, place) for v in values)))
            else:
                parsed.left_out["sentences without words"] += 1
        return parsed

    return convert


def column(rows: Rows, name: str, place: str) -> Sequence[object]:
    """The values of a column.

    Raises:
        DataError: there is no such column.
    """
    if name not in rows.column_names:
        raise DataError(f"{place}: no column {name!r}; {nearest(name, rows.column_names)}")
    return rows[name][:]  # at once: iterating a column reads it row by row


def text_column(rows: Rows, name: str, place: str) -> Sequence[str]:
    """As `column`, of a column that holds texts."""
    return cast("Sequence[str]", column(rows, name, place))


def label_names(rows: Rows, name: str, place: str) -> list[str] | None:
    """The names of a column's labels in the order of their numbers; None where labels are no numbers.

    Raises:
        DataError: there is no such column.
    """
    if name not in rows.column_names:
        raise DataError(f"{place}: no column {name!r}; {nearest(name, rows.column_names)}")
    feature = rows.features[name]
    names = getattr(getattr(feature, "feature", feature), "names", None)  # a list's own feature, or the column's
    return None if names is None else list(names)


def label_name(names: list[str] | None, value: object, place: str) -> str:
    """A label by its number, or as it stands where labels have no numbers.

    Raises:
        DataError: no label has this number.
    """
    if names is None:
        return str(value)
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise DataError(
            f"{place}: label is {value!r}, must be 0 to {len(names) - 1} ({', '.join(names)}); has it gold labels?"
        )
    return names[value]
