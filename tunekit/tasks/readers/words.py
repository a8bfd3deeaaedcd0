"""Sentences from columns: one word on each line, and a blank line (or a sentence number) between sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from sys import intern

from tunekit.errors import DataError
from tunekit.tasks.examples import TokenExample
from tunekit.tasks.readers import layout as layouts
from tunekit.tasks.readers.comments import is_document_mark, meaning
from tunekit.tasks.readers.layout import UNSAID, Layout, Said
from tunekit.tasks.readers.parsed import Parsed
from tunekit.tasks.readers.rows import NAMES, Row, Separator, broken, clean_label, refuse_quoting, separated, short

SAY_COMMENT = "; if it is a comment, say how comments begin, such as comment: '# '"
_ENTITY_TAG = re.compile(r"O|[BIESLUM]-\S+")
_NUMBER = re.compile(r"(?i:sent\w*\W*)?\d+|\d+[-.]\d+")
"""What stands in a first column that numbers words, rows or sentences."""
_NO_WORD = re.compile(r"\d+[-.]\d+")
"""The number of a range of words or of an empty node, as in CoNLL-U."""


def conll(path: Path, columns: Sequence[str] = (), *, width: int | None = None, said: Said = UNSAID) -> Parsed:
    """Sentences with one word on each line and blank lines between them.

    Left out and counted: comments, marks of documents, a header row. Columns are separated by tabs if most rows have
    one, else by blanks; empty columns at both ends of a row mean nothing.

    Args:
        path: the file.
        columns: word and label, as numbers (from 0) or as names in a header row; default the usual names in a header
            row, else the first and the last column, or the second and third after a column of running numbers.
        width: number of columns that every row must have; default as many as most rows have.
        said: what is known of the file; it is obeyed, not guessed.

    Raises:
        DataError: a row that cannot be understood, or that could be a word as well as a comment.
    """
    separator, rows = separated(path, said.separator)
    if separator == "tab" and width is None and said.separator is None:
        refuse_quoting(path, rows)
    return _Table(path, rows, separator, columns, said).parse(width)


def csv_tokens(path: Path, columns: Sequence[str] = (), *, said: Said = UNSAID) -> Parsed:
    """Sentences as `conll` reads them, with quoted cells between commas (or tabs, if those are said).

    An empty row or a new sentence number ends a sentence.
    """
    separator, rows = separated(path, said.separator, is_quoted=True)
    return _Table(path, rows, separator, columns, said).parse(None)


@dataclass
class _Table:
    path: Path
    rows: list[Row]
    separator: Separator
    columns: Sequence[str]
    said: Said
    parsed: Parsed = field(default_factory=Parsed)

    def parse(self, width: int | None) -> Parsed:
        self._drop_marks()
        mark = "#" if self.said.comment is None else "\n"  # no line begins with the latter
        data = [row for row in self.rows if row.cells and row.text[:1] != mark]
        data = data or [row for row in self.rows if row.cells]
        if not data:
            return self.parsed
        layout = self._layout(data, width)
        if layout.has_header:
            self.parsed.left_out["header rows"] += 1
            self.rows = [Row(row.number, "", []) if row is data[0] else row for row in self.rows]
            data = data[1:]
        self._drop_comments(layout, data)
        self._note(layout)
        self._sentences(layout)
        return self.parsed

    def _place(self, row: Row) -> str:
        return f"{self.path}:{row.number}"

    def _may_be_comment(self, row: Row) -> bool:
        return self.said.comment is None and row.text.startswith("#")

    def _drop_marks(self) -> None:
        """Turn marks of documents into blank rows, and take out what is said to be a comment."""
        kept, comment = [], self.said.comment
        for row in self.rows:
            if comment and row.cells and row.text.startswith(comment):
                self.parsed.left_out["comment lines"] += 1
                continue
            if row.text[:1] == "-" and is_document_mark(row):
                self.parsed.left_out["document marks"] += 1
                row = Row(row.number, "", [])
            kept.append(row)
        self.rows = kept

    def _drop_comments(self, layout: Layout, data: Sequence[Row]) -> None:
        if self.said.comment is not None or not any(row.text[:1] == "#" for row in self.rows):
            return
        fitting = (layout.fit(row.cells) for row in data if row.text[:1] != "#")
        labels = set(map(clean_label, {cells[layout.indices[1]] for cells in fitting if cells}))
        kept, is_start = [], True
        for row in self.rows:
            is_candidate = row.text[:1] == "#" and row.cells
            if is_candidate and self._is_comment(row, layout, labels, is_start=is_start):
                self.parsed.left_out["comment lines"] += 1
                continue
            is_start = not row.cells
            kept.append(row)
        self.rows = kept

    def _is_comment(self, row: Row, layout: Layout, labels: set[str], *, is_start: bool) -> bool:
        cells = layout.fit(row.cells)
        found = meaning(row, cells, layout.indices[1], labels, is_tabbed=self.separator == "tab")
        if found == "word":
            return False
        if not is_start and layout.sentence is None and layout.index is None:
            if found == "unclear" and cells is None:
                raise broken(self._place(row), row.cells, layout.width, SAY_COMMENT)
            raise DataError(
                f"{self._place(row)}: {short(row.text)} stands inside a sentence and is no word with a label that "
                f"other words have; is an empty line missing before it?{SAY_COMMENT}"
            )
        if found == "unclear":
            raise DataError(
                f"{self._place(row)}: {short(row.text)} could be a comment or a word of {layout.width} columns"
                f"{SAY_COMMENT}; if it is a word, say comment: '##' (or another start that no line has)"
            )
        return True

    def _layout(self, data: Sequence[Row], width: int | None) -> Layout:
        first, columns, header = data[0], self.columns, self.said.header
        if header is False:
            layouts.refuse_names(columns)
        if header is None:
            header = layouts.header_of(first.cells, "token", columns) or (
                not columns and width is None and layouts.is_unnamed_index(data)
            )
        if header and (columns or layouts.header_of(first.cells, "token", ()) or layouts.is_unnamed_index(data)):
            return layouts.by_header(self._place(first), "token", columns, first.cells)
        body = data[1:] if header else data
        size, lead = layouts.wide_enough(body or data, columns, 2, width)
        if columns:
            word, label = map(int, columns)
            return Layout((word, label), size, lead, has_header=bool(header))
        found = Layout((0, size - 1), size, lead, has_header=bool(header))
        return found if width or size < 3 else self._numbered(found, body)

    def _numbered(self, layout: Layout, data: Sequence[Row]) -> Layout:
        """The layout, if need be shifted by a first column that numbers words, rows or sentences."""
        if not data or not _NUMBER.fullmatch(_first_cell(data[0], layout)):
            return layout
        fitting = [(row, layouts.fitted(layout, row, self._place(row), self._hint(row, layout))) for row in data]
        ids = [(row, cells[0].strip()) for row, cells in fitting if not _NO_WORD.fullmatch(cells[0].strip())]
        if not ids or not all(not x or _NUMBER.fullmatch(x) for _, x in ids):
            return layout
        if self.separator == "tab" and layout.width == 10:
            raise DataError(
                f"{self._place(data[0])}: ten columns that begin with a number look like CoNLL-U; name the file "
                ".conllu, or say which columns are read"
            )
        if all(x.isdecimal() for _, x in ids):
            starts = self._starts()
            values = [(int(x), row.number in starts) for row, x in ids]
            if _is_running(values):
                return replace(layout, indices=(1, self._label_after_index(fitting, layout)), index=0)
            bad = _first_fall(values)
            if bad is not None:
                raise DataError(
                    f"{self._place(ids[bad][0])}: the first column holds numbers, but {ids[bad][1]} follows "
                    f"{ids[bad - 1][1]}, so they number neither words nor sentences; columns says which are read"
                )
        return replace(layout, indices=(1, layout.width - 1), sentence=0)

    def _label_after_index(self, fitting: Sequence[tuple[Row, list[str]]], layout: Layout) -> int:
        last = layout.width - 1
        if last == 2:
            return 2
        are_tags = [all(_ENTITY_TAG.fullmatch(clean_label(cells[at])) for _, cells in fitting) for at in (2, last)]
        if are_tags[0] != are_tags[1]:
            return 2 if are_tags[0] else last
        raise DataError(
            f"{self._place(fitting[0][0])}: the first column numbers the words; the label could be column 3 or column "
            f"{layout.width}; say which, such as columns: [1, 2] or columns: [1, {last}] (counted from 0)"
        )

    def _starts(self) -> set[int]:
        """Lines before which a sentence ends."""
        kept = [row for row in self.rows if not row.cells or not self._may_be_comment(row)]
        before = [Row(0, "", []), *kept]
        return {row.number for previous, row in pairwise(before) if row.cells and not previous.cells}

    def _hint(self, row: Row, layout: Layout) -> str:
        if row.text.startswith("#"):
            return SAY_COMMENT
        if len(row.cells) > 1:
            return ""
        tried = NAMES[self.separator] if self.said.separator or self.separator == "comma" else "tabs and blanks"
        found = next((name for name, mark in (("commas", ","), ("semicolons", ";")) if mark in row.text), None)
        return f"; columns were sought between {tried}" + (f", and there are {found}" if found else "")

    def _note(self, layout: Layout) -> None:
        word, label = (at + layout.lead + 1 for at in layout.indices)
        note = f"columns: word {word}, label {label} of {layout.width + layout.lead}, separated by"
        self.parsed.notes.append(f"{note} {NAMES[self.separator]}")
        self.parsed.notes += layout.notes
        if layout.lead:
            self.parsed.notes.append(f"{layout.lead} empty columns before the first are left out")
        if layout.index is not None:
            self.parsed.notes.append(f"column {layout.index + layout.lead + 1} numbers the words or rows")
        if layout.sentence is not None and not layout.has_header:
            self.parsed.notes.append(f"column {layout.sentence + layout.lead + 1} says where sentences end")

    def _sentences(self, layout: Layout) -> None:
        word_at, label_at = layout.indices
        words: list[str] = []
        labels: list[str] = []
        lines: list[int] = []
        known: dict[str, str] = {}  # few labels, many words: one object for each label
        counter, current = layout.sentence if layout.sentence is not None else layout.index, ""
        for row in (*self.rows, Row(0, "", [])):
            cells = row.cells
            if not cells:
                self._close(words, labels, lines)
                words, labels, lines = [], [], []
                continue
            if len(cells) != layout.width or layout.lead:
                cells = layouts.fitted(layout, row, self._place(row), self._hint(row, layout))
            if not cells[word_at]:
                raise broken(self._place(row), cells, layout.width)
            if layout.index is not None and _NO_WORD.fullmatch(cells[layout.index].strip()):
                self.parsed.left_out["ranges and empty nodes"] += 1
                continue
            number = cells[counter].strip() if counter is not None else ""
            if number and number != current:
                if words and (layout.index is None or int(number) <= int(current)):
                    self._close(words, labels, lines)
                    words, labels, lines = [], [], []
                current = number
            words.append(cells[word_at])
            label = cells[label_at]
            labels.append(known.get(label) or known.setdefault(label, intern(clean_label(label))))
            lines.append(row.number)
            if len(lines) == 1:
                _refuse_list(self._place(row), words[0], labels[0])

    def _close(self, words: list[str], labels: list[str], lines: list[int]) -> None:
        if words:
            self.parsed.examples.append(TokenExample(tuple(words), tuple(labels)))
            self.parsed.lines.append(lines)


def _first_cell(row: Row, layout: Layout) -> str:
    cells = layout.fit(row.cells)
    return cells[0].strip() if cells else ""


def _is_running(values: Sequence[tuple[int, bool]]) -> bool:
    """Whether numbers go up one by one and begin again, at 0 or 1, after an empty line or after more than one word."""
    return values[0][0] <= 1 and all(
        number == before + 1 or (number in (0, 1) and (starts or before >= 2))
        for (before, _), (number, starts) in pairwise(values)
    )


def _first_fall(values: Sequence[tuple[int, bool]]) -> int | None:
    """Where a number is smaller than the one before, so that they cannot be those of sentences."""
    return next((at for at, (a, b) in enumerate(pairwise(values), 1) if a[0] > b[0]), None)


def _refuse_list(place: str, word: str, label: str) -> None:
    if word.startswith("[") and word.endswith("]") and label.startswith("[") and label.endswith("]") and label != "[]":
        raise DataError(
            f"{place}: a list written as text in {short(word)}, where one word on each line is wanted; write lists as "
            "JSON lines: to_json(path, orient='records', lines=True)"
        )
