"""Lines that are no words: marks of documents, and comments, which must be told from words that begin with ``#``."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from tunekit.tasks.readers.layout import header_of
from tunekit.tasks.readers.rows import Row

DOCUMENT_MARK = "-DOCSTART-"
_ASSIGNMENT = re.compile(r"#+ *[^\s=]+( [^\s=]+)? = |#(begin|end) document\b")
_KEY = re.compile(r"# *(sent_id|sent|sentence|text|newdoc|newpar|id|doc|document|global\.columns)[ :]")
_VALUE = re.compile(r"[\w.:-]+=\S")
_TAG = re.compile(r"[BIESLUM]-\S+|O|ADJ|ADP|ADV|AUX|CCONJ|DET|INTJ|NOUN|NUM|PART|PRON|PROPN|PUNCT|SCONJ|SYM|VERB|X")

Meaning = Literal["word", "comment", "unclear"]


def is_document_mark(row: Row) -> bool:
    """Whether a row begins with CoNLL-2003's mark between documents, whatever other columns it has."""
    return row.text.startswith(DOCUMENT_MARK) and row.text.replace(",", " ").split()[0] == DOCUMENT_MARK


def meaning(row: Row, cells: list[str] | None, label_at: int, labels: Collection[str], *, is_tabbed: bool) -> Meaning:
    """What a row that begins with ``#`` is.

    A lone ``#`` or a ``#tag`` with a label is a word. A comment has no label in the file's own shape, or says
    ``key = value``.

    Args:
        row: the row.
        cells: its columns if it has as many as the file's other rows.
        label_at: which of them is the label.
        labels: those of the rows that do not begin with ``#``.
        is_tabbed: columns are separated by tabs.
    """
    if _ASSIGNMENT.match(row.text):
        return "comment"
    if cells is not None:
        return _of_full_width(row, cells, label_at, labels, is_tabbed=is_tabbed)
    if row.cells[0] == "#" and len(row.cells) == 2 and row.cells[1].strip() in labels:
        return "unclear"  # a word whose other columns are missing
    has_more = len(row.cells) > 1 or " " in row.text.strip()
    if re.match(r"#+\s", row.text) and has_more:
        return "comment"
    return "comment" if is_tabbed and has_more and len(row.cells) == 1 else "unclear"


def _of_full_width(row: Row, cells: list[str], label_at: int, labels: Collection[str], *, is_tabbed: bool) -> Meaning:
    if header_of([cells[0].lstrip("# "), *cells[1:]], "token", ()):
        return "comment"
    label = cells[label_at].strip()
    if label in labels:
        return "unclear" if _KEY.match(row.text) and not is_tabbed else "word"
    if _TAG.fullmatch(label):
        return "word"
    if any(_VALUE.match(cell) for cell in cells[1:]):
        return "comment"
    return "word" if is_tabbed and label and " " not in cells[0] + label else "unclear"
