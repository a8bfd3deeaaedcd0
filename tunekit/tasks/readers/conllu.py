"""CoNLL-U, and CoNLL-U Plus, whose first line names its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from sys import intern

from tunekit.errors import ConfigError, DataError, nearest
from tunekit.tasks.examples import TokenExample
from tunekit.tasks.readers.parsed import Parsed
from tunekit.tasks.readers.rows import broken, clean_label, rows_of

CONLLU_FIELDS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_PLUS = re.compile(r"# *global\.columns *= *(.*)")
_RANGE = re.compile(r"\d+-\d+")
_EMPTY_NODE = re.compile(r"\d+\.\d+")


def conllu(path: Path, columns: Sequence[str] = ()) -> Parsed:
    """Words and labels of CoNLL-U. Left out and counted: comments, multiword ranges (``3-4``), empty nodes (``5.1``).

    A sentence ends at an empty line, and where ID begins at 1 again. A label may be ``_``, which is none.

    Args:
        path: the file.
        columns: word and label, as numbers (from 0) or field names; default FORM and UPOS.

    Raises:
        ConfigError: a column that the format does not have.
        DataError: a row of another width, an ID out of order, or a treebank without its words.
    """
    rows = rows_of(path)
    plus = _PLUS.match(rows[0])
    fields = tuple(plus[1].split()) if plus else CONLLU_FIELDS
    word_at, label_at = (_field(name, fields) for name in columns or ("FORM", "UPOS"))
    reader = _Reader(path, (word_at, label_at), fields)
    for number, row in enumerate(rows, 1):
        reader.take(number, row)
    return reader.finished()


def _field(name: str, fields: Sequence[str]) -> int:
    if name in fields:
        return fields.index(name)
    if name.isdecimal() and int(name) < len(fields):
        return int(name)
    raise ConfigError(f"columns: {name!r} is not a field of CoNLL-U; {nearest(name.upper(), fields)}")


class _Reader:
    def __init__(self, path: Path, wanted: tuple[int, int], fields: Sequence[str]) -> None:
        self._path, self._wanted, self._fields = path, wanted, fields
        self._parsed = Parsed()
        self._words: list[str] = []
        self._labels: list[str] = []
        self._lines: list[int] = []
        self._num_joined = 0

    def take(self, number: int, row: str) -> None:
        """Read one line."""
        if not row or row.isspace():
            self._close()
            return
        if row.startswith("#"):
            self._parsed.left_out["comment lines"] += 1
            return
        cells = row.split("\t")
        place, width = f"{self._path}:{number}", len(self._fields)
        if len(cells) != width:
            while len(cells) > width and not cells[-1].strip():
                cells.pop()
            if len(cells) != width:
                raise broken(place, cells, width)
        identity = cells[0] if self._fields[0] == "ID" else str(len(self._words) + 1)
        if not identity.isdecimal():
            self._leave_out(place, identity)
            return
        self._check_order(place, int(identity))
        word, label = (cells[at] for at in self._wanted)
        if not word:
            raise DataError(f"{place}: {self._fields[self._wanted[0]]} is empty")
        self._words.append(word)
        self._labels.append(intern(clean_label(label)))
        self._lines.append(number)

    def finished(self) -> Parsed:
        """What was read."""
        self._close()
        parsed, (word_at, label_at) = self._parsed, self._wanted
        words = [word for e in parsed.examples if isinstance(e, TokenExample) for word in e.words[:2]]
        if len(words) > 1 and set(words) == {"_"}:
            raise DataError(
                f"{self._path}: every {self._fields[word_at]} is '_': this treebank comes without its words; the tool "
                "that it is published with puts them in"
            )
        parsed.notes.append(f"columns: word {self._fields[word_at]}, label {self._fields[label_at]} of CoNLL-U")
        if self._num_joined:
            parsed.notes.append(f"{self._num_joined} sentences begin at ID 1 without an empty line before them")
        return parsed

    def _leave_out(self, place: str, identity: str) -> None:
        if _RANGE.fullmatch(identity):
            self._parsed.left_out["multiword ranges"] += 1
        elif _EMPTY_NODE.fullmatch(identity):
            self._parsed.left_out["empty nodes"] += 1
        else:
            raise DataError(f"{place}: ID is {identity!r}, must be a number, a range or a decimal")

    def _check_order(self, place: str, identity: int) -> None:
        if identity == 1 and self._words:
            self._num_joined += 1
            self._close()
        if identity != len(self._words) + 1:
            raise DataError(
                f"{place}: ID is {identity}, must be {len(self._words) + 1}"
                + (" (or 1, where a sentence begins)" if self._words else ", as a sentence begins here")
            )

    def _close(self) -> None:
        if self._words:
            self._parsed.examples.append(TokenExample(tuple(self._words), tuple(self._labels)))
            self._parsed.lines.append(self._lines)
            self._words, self._labels, self._lines = [], [], []
