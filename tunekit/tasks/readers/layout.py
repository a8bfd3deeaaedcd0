"""Which columns of a file are read: said by a person, told by a header row, or by the shape of the rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tunekit.errors import ConfigError, DataError, nearest
from tunekit.tasks.examples import Kind
from tunekit.tasks.readers.rows import Row, Separator, broken

ROLES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "token": {
        "word": ("words", "tokens", "word", "token", "form", "forms", "text"),
        "label": (
            *("labels", "tags", "ner_tags", "pos_tags", "label", "tag", "ner_tag", "pos_tag", "upos_tag", "upos"),
            *("ner_labels", "ner_label", "ner", "entity", "entities", "bio", "iob", "gold", "pos"),
        ),
    },
    "pair": {
        "first text": (
            *("sentence1", "premise", "text_a", "text1", "sentence_a", "sent1", "question1", "text_1"),
            *("sentence_1", "first_text"),
        ),
        "second text": (
            *("sentence2", "hypothesis", "text_b", "text2", "sentence_b", "sent2", "question2", "text_2"),
            *("sentence_2", "second_text"),
        ),
        "label": ("label", "gold", "gold_label", "labels", "class", "is_duplicate", "is_paraphrase"),
    },
}
"""What a row of each kind needs, and the column names it is found under when `columns` says nothing."""


@dataclass(frozen=True)
class Said:
    """What a person says about a file; it is obeyed, and None leaves it to the file."""

    separator: Separator | None = None
    comment: str | None = None
    """How a comment line begins."""
    header: bool | None = None
    """Whether the first row names the columns."""


UNSAID = Said()


@dataclass(frozen=True)
class Layout:
    """Where in a row the wanted columns are, and how many columns every row must have."""

    indices: tuple[int, ...]
    width: int
    lead: int = 0
    """Empty columns before the first one, which every row has."""
    has_header: bool = False
    sentence: int | None = None
    """The column whose change begins a sentence."""
    index: int | None = None
    """The column that numbers the words of a sentence (or the rows of the file) one by one."""
    notes: tuple[str, ...] = ()

    def fit(self, cells: list[str]) -> list[str] | None:
        """The row's columns without empty ones before and after; None if they are too few or too many."""
        if self.lead:
            if "".join(cells[: self.lead]).strip():
                return None
            cells = cells[self.lead :]
        while len(cells) > self.width and not cells[-1].strip():
            cells = cells[:-1]
        while len(cells) > self.width and not cells[0].strip():
            cells = cells[1:]
        return cells if len(cells) == self.width else None


def shape(rows: Sequence[Row], least: int) -> tuple[int, int]:
    """Columns that rows have without those that are empty in all of them, and how many of the empty come first.

    Where rows differ, most rows decide, and of equals the first; a row's own empty columns at its ends do not count.
    """
    widths = Counter(len(row.cells) for row in rows)
    if len(widths) > 1:
        widths = Counter(len(_without_empty_ends(row.cells)) for row in rows)
        return max(widths.most_common(1)[0][0], least), 0
    width, lead = max(widths, default=0), 0
    while width > least and all(not row.cells[width - 1].strip() for row in rows):
        width -= 1
    while width - lead > least and all(not row.cells[lead].strip() for row in rows):
        lead += 1
    return max(width - lead, least), lead


def header_of(first: Sequence[str], kind: Kind, columns: Sequence[str]) -> bool:
    """Whether a first row names columns: those that are said, or the usual names of all that are needed."""
    names = [plain(cell) for cell in first]
    numbers = [int(name) for name in columns if name.isdecimal()]
    if len(numbers) < len(columns):
        return True
    wanted = list(ROLES[kind].values())
    if numbers:
        return all(
            at < len(names) and names[at] in _plain_all(usual) for at, usual in zip(numbers, wanted, strict=True)
        )
    found = [_first_of(usual, names) for usual in wanted]
    return None not in found and len(set(found)) == len(found)


def is_unnamed_index(rows: Sequence[Row]) -> bool:
    """Whether the first row is pandas' header of a table with an index: no first name, and numbers from 0 below."""
    if len(rows) < 2 or len(rows[0].cells) < 3:
        return False
    return plain(rows[0].cells[0]) in ("", "unnamed:0") and rows[1].cells[0].strip() in ("0", "1")


def refuse_names(columns: Sequence[str]) -> None:
    """Raise a ConfigError where columns are named, but a file is said to have no header."""
    named = [name for name in columns if not name.isdecimal()]
    if named:
        raise ConfigError(f"task: columns names {named[0]!r}, but header is false: no row names the columns")


def by_header(place: str, kind: Kind, columns: Sequence[str], first: Sequence[str]) -> Layout:
    """The layout that a header row and the `columns` give.

    Raises:
        DataError: the header lacks a column.
    """
    width = len(_without_empty_end(first))
    cells, notes = list(first[:width]), []
    if columns:
        indices = tuple(_said_column(place, name, cells) for name in columns)
    else:
        names = [plain(cell) for cell in cells]
        found = []
        for role, usual in ROLES[kind].items():
            at = _first_of(usual, names)
            if at is None:
                raise DataError(
                    f"{place}: the header has no column for the {role}: {', '.join(map(repr, cells))[:120]}; "
                    f"columns says which are read ({', '.join(ROLES[kind])})"
                )
            found.append(at)
        indices = tuple(found)
    notes += [f"column {at + 1} has no name (an index, as pandas writes it)" for at in _unnamed(cells)]
    sentence = None
    if kind == "token":
        chosen = {cells[at] for at in indices}
        sentence = next((at for at, x in enumerate(cells) if _numbers_sentences(x) and x not in chosen), None)
        if sentence is not None:
            notes.append(f"column {sentence + 1} ({cells[sentence]}) says where sentences end")
    return Layout(indices, width, has_header=True, sentence=sentence, notes=tuple(notes))


def wide_enough(rows: Sequence[Row], columns: Sequence[str], least: int, width: int | None) -> tuple[int, int]:
    """`shape`, or the `width` that rows must have; `columns` may ask for more."""
    found, lead = (width, 0) if width else shape(rows, least)
    needed = max((int(name) + 1 for name in columns), default=0)
    if lead and needed:  # numbers count the columns of the file as it stands
        return max(found + lead, needed), 0
    return max(found, needed), lead


def fitted(layout: Layout, row: Row, place: str, hint: str = "") -> list[str]:
    """The row's columns.

    Raises:
        DataError: they are too few or too many.
    """
    cells = row.cells if len(row.cells) == layout.width and not layout.lead else layout.fit(row.cells)
    if cells is None:
        raise broken(place, row.cells, layout.width, hint)
    return cells


def plain(name: str) -> str:
    """A column's name in lower case without blanks, hyphens and underscores."""
    return re.sub(r"[\s_-]", "", name.lower())


def _said_column(place: str, name: str, cells: Sequence[str]) -> int:
    if name.isdecimal() and name not in cells:
        if int(name) >= len(cells):
            raise DataError(f"{place}: the header has {len(cells)} columns, and columns names number {name} (from 0)")
        return int(name)
    if name not in cells:
        raise DataError(f"{place}: the header has no column {name!r}; {nearest(name, cells)}")
    return cells.index(name)


def _plain_all(names: Sequence[str]) -> list[str]:
    return [plain(name) for name in names]


def _first_of(usual: Sequence[str], names: Sequence[str]) -> int | None:
    return next((names.index(name) for name in _plain_all(usual) if name in names), None)


def _unnamed(cells: Sequence[str]) -> list[int]:
    return [at for at, cell in enumerate(cells) if not cell.strip() or plain(cell).startswith("unnamed:")]


def _numbers_sentences(name: str) -> bool:
    return re.fullmatch(r"sent(ence)?s?(#|id|idx|index|no|num|number|nr)?", plain(name)) is not None


def _without_empty_end(cells: Sequence[str]) -> Sequence[str]:
    end = len(cells)
    while end and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


def _without_empty_ends(cells: Sequence[str]) -> Sequence[str]:
    cells = _without_empty_end(cells)
    start = 0
    while start < len(cells) and not cells[start].strip():
        start += 1
    return cells[start:]
