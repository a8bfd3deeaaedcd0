"""Readers of text files. Every complaint is a DataError that begins with ``path:line``.

A reader takes a path and gives `Parsed`: the examples, and the line of each word (or pair). Lines end at ``\\n`` only
(data sets hold other characters at which `str.splitlines` would break a line); a ``\\r`` before it and a byte order
mark at the start are dropped. Blank lines hold nothing, so a sentence without words never becomes an example.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from operator import methodcaller
from pathlib import Path
from sys import intern

from tunekit.errors import ConfigError, DataError, nearest
from tunekit.tasks.examples import Kind, PairExample, TokenExample
from tunekit.tasks.readers.parsed import Parsed

CONLLU_FIELDS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
ROLES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "token": {
        "word": ("words", "tokens", "word", "token", "form"),
        "label": ("labels", "tags", "ner_tags", "pos_tags", "label", "tag", "upos"),
    },
    "pair": {
        "first text": ("sentence1", "premise", "text_a", "text1"),
        "second text": ("sentence2", "hypothesis", "text_b", "text2"),
        "label": ("label", "gold", "gold_label"),
    },
}
"""What a row of each kind needs, and the column names it is found under when `columns` says nothing."""


@dataclass(frozen=True)
class Layout:
    """Where in a row the wanted columns are, and how many columns every row must have."""

    indices: tuple[int, ...]
    width: int
    has_header: bool = False


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the operating system's errors inside into a DataError about the file at `path`."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def rows_of(path: Path) -> list[str]:
    """The lines of a UTF-8 file.

    Raises:
        DataError: it cannot be opened, or a byte is not UTF-8.
    """
    with readable(path):
        data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, bad = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise DataError(f"{path}:{line}: byte 0x{bad:02x} is not UTF-8; save the file as UTF-8") from None
    rows = text.split("\n")
    return [row.removesuffix("\r") for row in rows] if "\r" in text else rows


def conll(path: Path, columns: Sequence[str] = (), *, width: int | None = None) -> Parsed:
    """Sentences with one word on each line and blank lines between them.

    Columns are separated by tabs if the first row has one, else by spaces.

    Args:
        path: the file.
        columns: word and label, as numbers or as names in a header row; default the first and the last column.
        width: number of columns that every row must have; default as many as the first row has.
    """
    rows = rows_of(path)
    is_tabbed = "\t" in next((row for row in rows if row.strip()), "")
    cells = map(methodcaller("split", "\t") if is_tabbed else _split_spaces, rows)
    return _tokens(path, enumerate(cells, 1), columns, width=width)


def conllu(path: Path, columns: Sequence[str] = ()) -> Parsed:
    """CoNLL-U: comments, multiword ranges (``3-4``) and empty nodes (``5.1``) are skipped.

    Args:
        path: the file.
        columns: word and label, as numbers or field names; default FORM and UPOS.
    """
    wanted = list(columns) or ["FORM", "UPOS"]
    for name in wanted:
        if name not in CONLLU_FIELDS and not (name.isdigit() and int(name) < len(CONLLU_FIELDS)):
            raise ConfigError(f"columns: {name!r} is not a field of CoNLL-U; {nearest(name.upper(), CONLLU_FIELDS)}")
    word_at, label_at = (int(name) if name.isdigit() else CONLLU_FIELDS.index(name) for name in wanted)
    return _tokens(path, _conllu_rows(path, word_at, label_at), ("0", "1"))


def csv_tokens(path: Path, columns: Sequence[str] = ()) -> Parsed:
    """Sentences as `conll` reads them, with columns separated by commas; an empty row ends a sentence."""
    return _tokens(path, _csv_rows(path), columns)


def tsv_pairs(path: Path, columns: Sequence[str] = (), *, width: int | None = None) -> Parsed:
    """Pairs of texts, one on each line, with columns separated by tabs; quotation marks are part of the text.

    Args:
        path: the file.
        columns: first text, second text, label, as numbers or as names in a header row; default by their usual names
            if the first row has them, else the first three columns.
        width: number of columns that every row must have; default as many as the first row has.
    """
    cells = map(methodcaller("split", "\t"), rows_of(path))
    return _pairs(path, enumerate(cells, 1), columns, width=width)


def csv_pairs(path: Path, columns: Sequence[str] = ()) -> Parsed:
    """Pairs of texts as `tsv_pairs` reads them, with columns separated by commas.

    A quoted cell may hold commas and line ends."""
    return _pairs(path, _csv_rows(path), columns)


def _split_spaces(row: str) -> list[str]:
    # Only ASCII blanks: a no-break space is part of a word.
    return [cell for cell in row.replace("\t", " ").split(" ") if cell]


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO("\n".join(rows_of(path)), newline=""), strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}:{start}: not CSV: {error}") from None
        yield start, cells


def _tokens(
    path: Path, rows: Iterable[tuple[int, list[str]]], columns: Sequence[str], *, width: int | None = None
) -> Parsed:
    parsed = Parsed()
    words: list[str] = []
    labels: list[str] = []
    lines: list[int] = []
    size = word_at = label_at = -1
    for number, cells in chain(rows, [(0, [])]):
        if len(cells) != size or not cells[word_at] or not cells[label_at]:
            if not "".join(cells).strip():  # blank, or a spreadsheet's row of empty cells
                if words:
                    parsed.examples.append(TokenExample(tuple(words), tuple(labels)))
                    parsed.lines.append(lines)
                    words, labels, lines = [], [], []
                continue
            if size != -1:
                raise _broken(f"{path}:{number}", cells, size)
            layout = _layout(f"{path}:{number}", "token", columns, cells, width=width)
            size, (word_at, label_at) = layout.width, layout.indices
            if layout.has_header:
                continue
            if not cells[word_at] or not cells[label_at]:
                raise _broken(f"{path}:{number}", cells, size)
        if cells[word_at] != "-DOCSTART-":  # CoNLL-2003's mark between documents
            words.append(cells[word_at])
            labels.append(intern(cells[label_at]))  # few labels, many words: one object for each label
            lines.append(number)
    return parsed


def _conllu_rows(path: Path, word_at: int, label_at: int) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(rows_of(path), 1):
        if not row or row.isspace():
            yield number, []
            continue
        if row.startswith("#"):
            continue
        cells = row.split("\t")
        if len(cells) != len(CONLLU_FIELDS):
            raise _broken(f"{path}:{number}", cells, len(CONLLU_FIELDS))
        identity = cells[0]
        if not identity.isdecimal():
            if identity.replace("-", "", 1).replace(".", "", 1).isdecimal():
                continue
            raise DataError(f"{path}:{number}: ID is {identity!r}, must be a number, a range or a decimal")
        word, label = cells[word_at], cells[label_at]
        if not word or label in ("", "_"):
            raise DataError(f"{path}:{number}: word {word!r} has no {CONLLU_FIELDS[label_at]} (it is {label!r})")
        yield number, [word, label]


def _pairs(
    path: Path, rows: Iterable[tuple[int, list[str]]], columns: Sequence[str], *, width: int | None = None
) -> Parsed:
    parsed = Parsed()
    layout: Layout | None = None
    for number, cells in rows:
        if not "".join(cells).strip():
            continue
        if layout is None:
            layout = _layout(f"{path}:{number}", "pair", columns, cells, width=width)
            if layout.has_header:
                continue
        if len(cells) != layout.width:
            raise _broken(f"{path}:{number}", cells, layout.width)
        text_a, text_b, label = (cells[index] for index in layout.indices)
        if not label:
            raise DataError(f"{path}:{number}: the label is empty")
        parsed.examples.append(PairExample(text_a, text_b, label))
        parsed.lines.append((number,))
    return parsed


def _layout(
    place: str, kind: Kind, columns: Sequence[str], first: Sequence[str], *, width: int | None = None
) -> Layout:
    roles = ROLES[kind]
    numbers = [int(name) for name in columns if name.isdecimal()]
    if len(numbers) < len(columns):
        for name in columns:
            if name not in first:
                raise DataError(f"{place}: the header has no column {name!r}; {nearest(name, first)}")
        return Layout(tuple(first.index(name) for name in columns), len(first), has_header=True)
    right = width or max(len(first), len(roles), max(numbers, default=0) + 1)
    if len(first) != right:
        raise _broken(place, first, right)
    if columns:
        return Layout(tuple(numbers), right)
    lowered = [cell.lower() for cell in first]
    named = [next((lowered.index(name) for name in names if name in lowered), -1) for names in roles.values()]
    if kind == "pair" and -1 not in named:
        return Layout(tuple(named), right, has_header=True)
    return Layout((0, right - 1) if kind == "token" else (0, 1, 2), right)


def _broken(place: str, cells: Sequence[str], right: int) -> DataError:
    row = "\t".join(cells)
    shown = repr(row if len(row) <= 80 else row[:77] + "...")
    if len(cells) == right:
        return DataError(f"{place}: the word or the label is empty in {shown}")
    found = f"{len(cells)} column" + "s" * (len(cells) != 1)
    return DataError(f"{place}: {found} in {shown}, must be {right}")
