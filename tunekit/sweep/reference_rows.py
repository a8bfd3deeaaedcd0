"""One CSV file of published figures, read strictly: every cell is checked, and nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, cast

from tunekit.errors import ConfigError, nearest, quoted
from tunekit.storage.csv_lines import csv_lines, require_commas
from tunekit.sweep.types import Reference

COLUMNS = ("method", "language", "metric", "split", "value", "source")
"""Every file has them."""
OPTIONAL = ("task", "backbone", "spread", "n")
"""A file may have them; a cell of theirs may be empty."""
SPLITS = ("dev", "test", "unknown")
MOST_ROWS = 10_000
"""They are kept in the sweep's journal."""
MOST_SIGNS = 500
"""In a cell."""

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_METRIC = re.compile(r"[a-z][a-z0-9_]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?")
_ISO_639_1 = frozenset((
    "aa", "ab", "ae", "af", "ak", "am", "an", "ar", "as", "av", "ay", "az", "ba", "be", "bg", "bh", "bi", "bm",
    "bn", "bo", "br", "bs", "ca", "ce", "ch", "co", "cr", "cs", "cu", "cv", "cy", "da", "de", "dv", "dz", "ee",
    "el", "en", "eo", "es", "et", "eu", "fa", "ff", "fi", "fj", "fo", "fr", "fy", "ga", "gd", "gl", "gn", "gu",
    "gv", "ha", "he", "hi", "ho", "hr", "ht", "hu", "hy", "hz", "ia", "id", "ie", "ig", "ii", "ik", "io", "is",
    "it", "iu", "ja", "jv", "ka", "kg", "ki", "kj", "kk", "kl", "km", "kn", "ko", "kr", "ks", "ku", "kv", "kw",
    "ky", "la", "lb", "lg", "li", "ln", "lo", "lt", "lu", "lv", "mg", "mh", "mi", "mk", "ml", "mn", "mr", "ms",
    "mt", "my", "na", "nb", "nd", "ne", "ng", "nl", "nn", "no", "nr", "nv", "ny", "oc", "oj", "om", "or", "os",
    "pa", "pi", "pl", "ps", "pt", "qu", "rm", "rn", "ro", "ru", "rw", "sa", "sc", "sd", "se", "sg", "sh", "si",
    "sk", "sl", "sm", "sn", "so", "sq", "sr", "ss", "st", "su", "sv", "sw", "ta", "te", "tg", "th", "ti", "tk",
    "tl", "tn", "to", "tr", "ts", "tt", "tw", "ty", "ug", "uk", "ur", "uz", "ve", "vi", "vo", "wa", "wo", "xh",
    "yi", "yo", "za", "zh", "zu",
))  # fmt: skip


class Row(NamedTuple):
    """A line of such a file."""

    where: str
    """``file:line``."""
    figure: Reference
    """Its task is empty where the line names none."""


def read_rows(path: Path, name: str) -> Iterator[Row]:
    """The rows of a file, in its order.

    Args:
        path: where it is.
        name: what messages call it.

    Raises:
        ConfigError: it cannot be read, a column is missing or unknown, or a cell is wrong; names file and line.
    """
    header: list[str] | None = None
    number = 0
    for where, cells in csv_lines(path, name):
        if header is None:
            header = _header(cells, where)
        elif cells:
            number += 1
            yield _row(_cells(cells, header, where), where)
        if number > MOST_ROWS:
            raise ConfigError(f"{where}: more than {MOST_ROWS} rows; name the figures that you compare with alone")
    if not number:
        raise ConfigError(f"{name}: holds no figures; it needs a heading ({','.join(COLUMNS)}) and a row for each")


def problem_of_language(language: str, known: Collection[str]) -> str | None:
    """What is wrong with a language's code, and what would be right; None if nothing is.

    Args:
        language: as it is written.
        known: the sweep's own languages, which may be called anything.
    """
    if language in known or _is_code(language):
        return None
    small = language.lower()
    if small in known or _is_code(small):
        return f"{quoted(language)} is no code of a language; did you mean {quoted(small)}?"
    return (
        f"{quoted(language)} is neither a language of this sweep nor an ISO 639 code such as de or zh (a mean over "
        f"languages is computed, and not given); {nearest(language, known)}"
    )


def _is_code(language: str) -> bool:
    main = language.split("-")[0]
    return _LANGUAGE.fullmatch(language) is not None and (len(main) > 2 or main in _ISO_639_1)


def _header(cells: list[str], where: str) -> list[str]:
    valid = (*COLUMNS, *OPTIONAL)
    require_commas(cells, where)
    for cell in cells:
        if cell not in valid:
            raise ConfigError(f"{where}: unknown column {quoted(cell)}; {nearest(cell, valid)}")
        if cells.count(cell) > 1:
            raise ConfigError(f"{where}: column {cell!r} stands twice; once is right")
    missing = [column for column in COLUMNS if column not in cells]
    if missing:
        needs = f"a file of published figures has {', '.join(COLUMNS)}, and may have {', '.join(OPTIONAL)}"
        raise ConfigError(f"{where}: no column {', '.join(map(repr, missing))}; {needs}")
    return cells


def _cells(cells: list[str], header: list[str], where: str) -> dict[str, str]:
    if len(cells) != len(header):
        raise ConfigError(
            f"{where}: {len(cells)} cells under {len(header)} columns; a text with a comma needs quotes, and a number "
            "has a decimal point"
        )
    found = dict(zip(header, cells, strict=True))
    for column, cell in found.items():
        if cell != cell.strip():
            raise ConfigError(f"{where}: {column}: {quoted(cell)} has blanks around it; write {quoted(cell.strip())}")
        if not cell and column in COLUMNS:
            raise ConfigError(f"{where}: {column} is empty; {_WANTED[column]}")
        if len(cell) > MOST_SIGNS:
            raise ConfigError(f"{where}: {column}: {quoted(cell)} has {len(cell)} signs; write at most {MOST_SIGNS}")
        if not cell.isprintable():
            raise ConfigError(f"{where}: {column}: {quoted(cell)} holds a control sign; write it in one line")
    return found


_WANTED: Mapping[str, str] = {
    "method": "name the method as its publication does",
    "language": "write a code such as de",
    "metric": "write its name, such as accuracy or f1",
    "split": f"write one of {', '.join(SPLITS)}",
    "value": "write a fraction from 0 to 1, or leave the row out",
    "source": "say where the figure was published",
}


def _row(cells: Mapping[str, str], where: str) -> Row:
    metric, split = cells["metric"], cells["split"]
    if not _METRIC.fullmatch(metric):
        raise ConfigError(f"{where}: metric: {quoted(metric)} must be lower-case letters, digits and _, such as f1")
    if split not in SPLITS:
        raise ConfigError(f"{where}: split: {quoted(split)} is no split of a score; {nearest(split, SPLITS)}")
    n = _whole(cells.get("n", ""), where)
    spread = _fraction(cells["spread"], "spread", where) if cells.get("spread") else None
    if spread is not None and n == 1:
        raise ConfigError(f"{where}: spread: {cells['spread']} with n = 1; one run has no spread: drop one of them")
    figure = Reference(
        method=cells["method"],
        language=cells["language"],
        metric=metric,
        split=cast(Literal["dev", "test", "unknown"], split),
        value=_fraction(cells["value"], "value", where),
        source=cells["source"],
        task=cells.get("task", ""),
        backbone=cells.get("backbone") or None,
        spread=spread,
        n=n,
    )
    return Row(where, figure)


def _fraction(text: str, column: str, where: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ConfigError(f"{where}: {column}: {quoted(text)} is not a number; write a fraction such as 0.873")
    value = float(text)
    if value > 1:
        percent = f"; write {value / 100:.6g} for {text} %" if value <= 100 else ""
        raise ConfigError(f"{where}: {column}: {text} is not a fraction from 0 to 1{percent}")
    return value


def _whole(text: str, where: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise ConfigError(f"{where}: n: {quoted(text)} is not a number of runs; write a whole number, at least 1")
    return int(text)
