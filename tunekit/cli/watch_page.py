"""How a look at a running sweep is drawn: one page that fits the terminal, whatever its width and height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod, OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from tunekit.cli.look import Look, Running, WorkerNow
from tunekit.cli.sweep_words import ARM_COLUMNS, dev
from tunekit.wording import NOTHING, clock, duration, one_line, plural

NARROW = 80
"""Terminals with fewer columns see fewer columns of each table."""
CURVE, NARROW_CURVE = 16, 10
"""Signs of a curve, at most."""
BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
LEAST_WIDTH = 10
"""Columns that a text keeps beside a longer one."""
LEAST_ROWS = 3
"""Rows that each part has, if it has so many, before any part has more."""
MOST_ROWS = {"running": 40, "workers": 40, "failures": 3, "events": 8, "best": 20}
"""Rows of a part, at most, where the page may be as long as it likes."""


@dataclass(frozen=True)
class Page:
    """What a page is drawn for."""

    width: int
    height: int | None = None
    """None: as long as it takes."""
    is_ascii: bool = False
    """Whether the terminal knows no other signs."""

    @property
    def is_narrow(self) -> bool:
        """Whether columns must be left out."""
        return self.width < NARROW


def drawn(look: Look, page: Page, *, age_s: float = 0.0, hint: str = "") -> RenderableType:
    """The page.

    Args:
        look: what was seen.
        page: what it is drawn for.
        age_s: how long ago it was seen.
        hint: how to leave; the last line.
    """
    top = _head(look, age_s)
    foot = [Text(one_line(f"{look.problem}; shown is what was seen {duration(age_s)} ago", limit=500), style="red")]
    foot = (foot if look.problem else []) + ([Text(hint, style="dim")] if hint else [])
    parts = [part for part in _parts(look, page, age_s) if part.rows]
    room = None if page.height is None else page.height - _num_lines([*top, *foot], page)
    shares, body = _shares(parts, room), list[RenderableType]()
    has_gaps = room is None or sum(shares) + len(parts) <= room
    for part, number in zip(parts, shares, strict=True):
        body += [Text()] * has_gaps + part.lines(number, page)
    return Group(*top, *body, *[Text()] * (has_gaps and bool(foot)), *foot)


def _num_lines(texts: Sequence[Text], page: Page) -> int:
    """Lines that texts take, wrapped."""
    return sum(len(text.wrap(Console(width=page.width), page.width)) for text in texts)


@dataclass(frozen=True)
class _Part:
    """Rows below a title."""

    name: str
    title: str
    columns: Sequence[tuple[str, bool]]
    """Headings, and whether numbers stand below them; no heading is shown if all are empty."""
    rows: Sequence[Sequence[str]]
    """Each a single line of text."""

    @property
    def overhead(self) -> int:
        """Lines that are no rows."""
        return (1 if self.title else 0) + any(name for name, _ in self.columns)

    def lines(self, number: int, page: Page) -> list[RenderableType]:
        """Its first rows in `number` lines, and how many more there are."""
        room = number - self.overhead
        if room <= 0:
            return []
        is_cut = len(self.rows) > room and self.name != "events"
        shown = self.rows[: room - is_cut]
        more = [Text(f"and {len(self.rows) - len(shown)} more", style="dim")] if is_cut else []
        title = [Text(self.title, style="bold")] if self.title else []
        return [*title, self._table(shown, page), *more]

    def _table(self, rows: Sequence[Sequence[str]], page: Page) -> Table:
        """Rows that are no wider than the page."""
        has_heads = any(name for name, _ in self.columns)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=has_heads, header_style="dim")
        overflow: OverflowMethod = "crop" if page.is_ascii else "ellipsis"
        for (name, is_number), width in zip(self.columns, self._widths(page.width), strict=True):
            justify: JustifyMethod = "right" if is_number else "left"
            table.add_column(name, justify=justify, no_wrap=True, overflow=overflow, width=width)
        for row in rows:
            table.add_row(*map(Text, row))
        return table

    def _widths(self, whole: int) -> list[int]:
        """Columns each: numbers have what they need, and texts share the rest, the first ones first."""
        cells = zip(*([name for name, _ in self.columns], *self.rows), strict=True)
        widths = [max(map(cell_len, column)) for column in cells]
        left = whole - 2 * (len(widths) - 1)
        left -= sum(width for width, (_, is_number) in zip(widths, self.columns, strict=True) if is_number)
        texts = [index for index, (_, is_number) in enumerate(self.columns) if not is_number]
        for place, index in enumerate(texts):
            kept = sum(min(widths[other], LEAST_WIDTH) for other in texts[place + 1 :])
            widths[index] = max(1, min(widths[index], left - kept))
            left -= widths[index]
        return widths


def _shares(parts: Sequence[_Part], room: int | None) -> list[int]:
    """Lines of each part: all that it has, or a fair part of what there is, earlier parts first."""
    wanted = [part.overhead + min(len(part.rows), MOST_ROWS.get(part.name, len(part.rows)) + 1) for part in parts]
    if room is None or sum(wanted) <= room:
        return wanted
    shares = [0] * len(parts)
    for least in (LEAST_ROWS, room):
        for index, part in enumerate(parts):
            share = min(wanted[index], part.overhead + least, shares[index] + max(0, room - sum(shares)))
            shares[index] = max(shares[index], share)
    return shares


def _head(look: Look, age_s: float) -> list[Text]:
    """Name, state and times."""
    style = "green" if look.is_running or look.is_finished else "bold red"
    lines = [Text.assemble((look.name, "bold"), "  ", (one_line(look.state, limit=1000), style))]
    times = [look.where] if look.where else []
    if look.run_s is not None:
        times.append(f"for {clock(look.run_s + age_s)}")
    if look.left_s is not None:
        times.append(f"about {clock(max(1.0, look.left_s - age_s))} left")
    times += [f"budget: {look.budget}"] if look.budget else []
    lines += [Text(", ".join(times))] if times else []
    if look.last_event_s is not None:
        lines.append(Text(f"last event {duration(look.last_event_s + age_s)} ago, at {_hour(look.last_event_at)} UTC"))
    if look.clock_behind_s:
        apart = f"{duration(abs(look.clock_behind_s))} {'behind' if look.clock_behind_s > 0 else 'ahead of'}"
        lines.append(Text(f"The driver's clock is {apart} this machine's; times here are the driver's.", style="dim"))
    if look.next_command:
        lines.append(Text(f"{'next' if look.is_finished else 'go on with'}: {look.next_command}", style="bold"))
    return lines


def _parts(look: Look, page: Page, age_s: float) -> list[_Part]:
    running = "running" if look.is_running else "in progress when the driver ended"
    events = [(_hour(when), text) for when, text in look.events]
    return [
        _arms(look, page),
        _Part(
            "best", "best of the search" if look.is_finished else "best so far", [("", False), ("", False)], look.best
        ),
        _running(look.running, page, age_s, running),
        _workers(look.workers, page, age_s),
        _Part("failures", "failed", [("", False)], [(text,) for text in look.failures]),
        _Part("events", "last events (UTC)", [("", False), ("", False)], events),
    ]


def _arms(look: Look, page: Page) -> _Part:
    left_out = {"now"} if page.is_narrow else set()
    kept = [index for index, name in enumerate(ARM_COLUMNS) if name not in left_out]
    columns = [(ARM_COLUMNS[index], ARM_COLUMNS[index] not in ("arm", "now")) for index in kept]
    return _Part("arms", "", columns, [[row[index] for index in kept] for row in look.arms])


def _running(trials: Sequence[Running], page: Page, age_s: float, title: str) -> _Part:
    columns = [("trial", False), ("epoch", True), ("dev", True), ("curve", False)]
    rows = []
    for trial in trials:
        best = dev(max(trial.curve)) if trial.curve else NOTHING
        epoch = f"{min(len(trial.curve) + 1, trial.num_epochs)}/{trial.num_epochs}"
        most = NARROW_CURVE if page.is_narrow else CURVE
        row = [trial.who, epoch, best, sparkline(trial.curve, trial.scale, most=most, is_ascii=page.is_ascii)]
        rows.append(row if page.is_narrow else [*row[:3], _time(trial.since_s, age_s), row[3]])
    if not page.is_narrow:
        columns.insert(3, ("for", True))
    return _Part("running", title, columns, rows)


def _workers(workers: Sequence[WorkerNow], page: Page, age_s: float) -> _Part:
    rows = []
    for worker in workers:
        doing = "; ".join(worker.doing) or "idle"
        doing = f"{len(worker.doing)} trials: {doing}" if len(worker.doing) > 1 else doing
        row = [worker.name, _time(worker.since_s, age_s), _time(worker.heard_s, age_s), doing]
        rows.append([row[0], row[2], row[3]] if page.is_narrow else row)
    columns = [("worker", False), ("for", True), ("heard of", True), ("works on", False)]
    if page.is_narrow:
        del columns[1]
    return _Part("workers", plural(len(workers), "worker"), columns, rows)


def _time(seconds: float | None, age_s: float) -> str:
    return NOTHING if seconds is None else clock(seconds + age_s)


def _hour(when: str) -> str:
    """The time of day in an ISO time."""
    return when.partition("T")[2][:8]


def sparkline(values: Sequence[float], scale: tuple[float, float], *, most: int = CURVE, is_ascii: bool = False) -> str:
    """A curve as a row of bars, the highest at the top of `scale`.

    Of more than `most` values some are left out, evenly; first and last stay. One that is no number is a space.

    >>> sparkline([0.0, 0.5, 1.0], (0.0, 1.0))
    '▁▅█'
    """
    if len(values) > most:
        values = [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]
    signs, (low, high) = (ASCII_BARS if is_ascii else BARS), scale
    whole = high - low
    return "".join(_bar((value - low) / whole if whole > 0 else 1.0, signs) for value in values)


def _bar(part: float, signs: str) -> str:
    if not math.isfinite(part):
        return " "
    return signs[max(0, min(len(signs) - 1, round(part * (len(signs) - 1))))]
