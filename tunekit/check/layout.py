"""Pieces of a page that know how wide it is: sentences above their labels, and tables that go on below themselves."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

from tunekit.wording import percent, plural

MAX_WORDS = 16
"""Words of a sentence that are shown; the others are counted."""
MAX_CELLS = 24
"""Columns of the terminal that a single word may take."""
GAP = "  "
CUT = "..."
SIGNS_A_CELL = 8
"""A word of more signs than this for each of its columns is cut, even if most of them take no room."""
_BIDI_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """`text` in one line, with what would steer a terminal spelled out.

    >>> visible("a\\x1b[31m\\tb")
    'a\\\\x1b[31m\\\\tb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(sign) if _steers(sign) else sign for sign in text)


def _steers(sign: str) -> bool:
    return sign in _BIDI_MARKS or unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")


def _spelled(sign: str) -> str:
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")


def shortened(text: str, cells: int = MAX_CELLS) -> str:
    """`text`, visible, in at most so many columns of a terminal; wide characters take two."""
    shown = visible(text[: SIGNS_A_CELL * cells])
    if len(text) <= SIGNS_A_CELL * cells and cell_len(shown) <= cells:
        return shown
    while cell_len(shown) > cells - len(CUT):
        shown = shown[:-1]
    return shown.rstrip() + CUT


def is_right_to_left(text: str) -> bool:
    """Whether some of it is written from right to left, as Arabic and Hebrew are."""
    return any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in text)


def more(number: int, noun: str) -> str:
    """What is cut off, such as ``... 31 more words``."""
    return f"... {plural(number, f'more {noun}')}"


def part_of(fraction: float) -> str:
    """A share in few signs; what is more than nothing never looks like nothing, nor what is less than all like all.

    >>> part_of(0.0), part_of(0.0001), part_of(0.057), part_of(0.9999), part_of(1.0)
    ('0 %', '<0.1 %', '5.7 %', '>99.9 %', '100 %')
    """
    if fraction in (0, 1):
        return f"{fraction:.0%}".replace("%", " %")
    if fraction < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if fraction >= 0.9995 else f"{percent(fraction)} %"


@dataclass(frozen=True)
class Tagged:
    """A sentence with its labels: one under the other, or as ``word/LABEL`` where a terminal would turn words round."""

    words: Sequence[str]
    labels: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        pairs = [(shortened(w), shortened(t)) for w, t in zip(self.words, self.labels, strict=True)][:MAX_WORDS]
        columns = [max(cell_len(word), cell_len(label)) for word, label in pairs]
        if max(columns) > options.max_width or any(is_right_to_left(word) for word, _ in pairs):
            joined = [shortened(f"{word}/{label}", options.max_width) for word, label in pairs]
            for start, end in _chunks([cell_len(pair) for pair in joined], options.max_width):
                yield _line(joined[start:end])
        else:
            for start, end in _chunks(columns, options.max_width):
                for row in zip(*pairs[start:end], strict=True):
                    cells = zip(row, columns[start:end], strict=True)
                    yield _line([_left(*cell) for cell in cells])
        if len(self.words) > MAX_WORDS:
            yield Text(more(len(self.words) - MAX_WORDS, "word"), style="dim")


def _line(cells: Sequence[str]) -> Text:
    return Text(GAP.join(cells).rstrip(), no_wrap=True, overflow="crop")


def _chunks(columns: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Runs of columns that stand side by side within `width`, each as (first, end); at least one column each."""
    start, used = 0, 0
    for at, column in enumerate(columns):
        if at > start and used + column > width:
            yield start, at
            start, used = at, 0
        used += column + len(GAP)
    yield start, len(columns)


@dataclass(frozen=True)
class Columns:
    """A table of short cells; columns that do not fit stand below, the first one again before them."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        table = [self.header, *self.rows]
        widths = [max(cell_len(row[at]) for row in table) for at in range(len(self.header))]
        room = options.max_width - widths[0] - len(GAP)
        for start, end in _chunks(widths[1:], room):
            for number, row in enumerate(table):
                cells = [_right(row[at], widths[at]) for at in range(start + 1, end + 1)]
                line = GAP.join([_left(row[0], widths[0]), *cells])
                yield Text(line, style="dim" if number == 0 else "", no_wrap=True, overflow="crop")


def _left(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))


def _right(cell: str, width: int) -> str:
    return " " * (width - cell_len(cell)) + cell
