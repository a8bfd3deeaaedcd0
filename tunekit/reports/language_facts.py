"""Figures of languages that the user gives: a CSV file, read strictly, and nothing in it is guessed.

A column ``language`` has codes as the sweep file writes them, each further column is a figure::

    language,corpus_gib,speakers_millions
    de,12.5,130
    sw,0.4,

An empty cell is unknown. Rows of other languages than the sweep's are left out, so that one file may serve many sweeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunekit.errors import ConfigError, quoted
from tunekit.storage.csv_lines import csv_lines, require_commas
from tunekit.wording import names

LANGUAGE = "language"
"""The column that every file has."""
MOST_ROWS = 10_000
EXAMPLE = f"{LANGUAGE},corpus_gib"
"""A heading that would be right."""

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One column of the file."""

    key: str
    """Lower case, one word: what the column is called in files of ours."""
    title: str
    """Its heading, as the user wrote it."""
    values: Mapping[str, float]
    """By language; those that are not in it are unknown."""


@dataclass(frozen=True, kw_only=True)
class LanguageFacts:
    """What a user told of languages."""

    name: str
    """The file, as it was given."""
    languages: tuple[str, ...]
    """All that have a row, in its order."""
    facts: tuple[Fact, ...]

    def require_some_of(self, languages: Iterable[str]) -> None:
        """See that the file tells of a sweep at all.

        Args:
            languages: the sweep's.

        Raises:
            ConfigError: it has none of them.
        """
        known = list(dict.fromkeys(languages))
        if not set(known) & set(self.languages):
            shown = ", ".join(map(quoted, self.languages[:3])) + (", ..." if len(self.languages) > 3 else "")
            raise ConfigError(
                f"{self.name}:2: none of its languages ({shown}) is one of the sweep's; write their codes as the sweep"
                f" does: {names(known)}"
            )


def read_facts(path: Path) -> LanguageFacts:
    """Read a file of figures of languages.

    Raises:
        ConfigError: it cannot be read, it lacks a column, a language stands twice, or a cell is no number; names file
            and line.
    """
    name = str(path)
    lines = _lines(path, name)
    if not lines:
        raise ConfigError(f"{name}: is empty; it needs a heading such as {EXAMPLE} and a row for each language")
    (where, header), *rows = lines
    _check_header(header, where)
    place, found = header.index(LANGUAGE), dict[str, str]()
    values: dict[str, dict[str, float]] = {title: {} for title in header if title != LANGUAGE}
    for where, cells in rows:
        language = _language(cells, place, where, num_columns=len(header))
        if language in found:
            raise ConfigError(f"{where}: {quoted(language)} stands at {found[language]} already; each language once")
        found[language] = where
        for title, cell in zip(header, cells, strict=True):
            if title != LANGUAGE and cell:
                values[title][language] = _number(cell, f"{where}: {title}")
    if not found:
        raise ConfigError(f"{name}: has no rows below its heading; write one for each language")
    keys = _keys(list(values))
    facts = tuple(Fact(key=key, title=title, values=values[title]) for key, title in zip(keys, values, strict=True))
    return LanguageFacts(name=name, languages=tuple(found), facts=facts)


def _lines(path: Path, name: str) -> list[tuple[str, list[str]]]:
    """The lines that are not empty, each with ``file:line``; cells without blanks around them."""
    found = []
    for where, cells in csv_lines(path, name):
        if cells:
            found.append((where, [cell.strip() for cell in cells]))
        if len(found) > MOST_ROWS:
            raise ConfigError(f"{where}: more than {MOST_ROWS} rows; keep those of the sweep's languages")
    return found


def _check_header(header: Sequence[str], where: str) -> None:
    require_commas(header, where)
    if LANGUAGE not in header:
        raise ConfigError(
            f"{where}: no column {LANGUAGE!r} among {', '.join(map(quoted, header))}; a heading such as {EXAMPLE} has"
            f" one{_meant(header)}"
        )
    for title in header:
        if not title or not title.isprintable():
            raise ConfigError(f"{where}: a column is called {quoted(title)}; give each a name in one line")
        if header.count(title) > 1:
            raise ConfigError(f"{where}: column {quoted(title)} stands twice; once is right")
    if len(header) == 1:
        raise ConfigError(f"{where}: no column beside {LANGUAGE}; add one for each figure, as in {EXAMPLE}")


def _meant(header: Sequence[str]) -> str:
    found = next((title for title in header if title.lower() in (LANGUAGE, f"{LANGUAGE}s", "lang", "code")), None)
    return f" (rename {quoted(found)})" if found else ""


def _language(cells: Sequence[str], place: int, where: str, *, num_columns: int) -> str:
    if len(cells) != num_columns:
        raise ConfigError(
            f"{where}: {len(cells)} cells under {num_columns} columns; a text with a comma needs quotes, and a number "
            "has a decimal point"
        )
    if not cells[place]:
        raise ConfigError(f"{where}: {LANGUAGE} is empty; write a code such as de")
    return cells[place]


def _number(text: str, where: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else None
    if value is None or value in (float("inf"), float("-inf")):
        raise ConfigError(
            f"{where}: {quoted(text)} is not a number; write one such as 12.5, or leave the cell empty where it is not"
            " known"
        )
    return value


def _keys(titles: Sequence[str]) -> list[str]:
    """A different word for each heading, that no other column of a table has."""
    found: list[str] = []
    for title in titles:
        word = "given_" + (re.sub(r"\W+", "_", title.lower()).strip("_") or "figure")
        while word in found:
            word += "_"
        found.append(word)
    return found
