"""Pictures of what the search cost: hours by arm, and who worked when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from tunekit.reports.figures.figure import COLOURS, Figure, drawing
from tunekit.reports.results import SweepResult
from tunekit.reports.tables import Cell, Column, Table
from tunekit.reports.worklog import Spell, busy_s, by_worker, spells
from tunekit.schema import JsonObject
from tunekit.wording import count, duration, names, one_line, plural, share, shortened

MOST_WORKERS = 60
"""Rows of the time line."""
MOST_BARS = 1500
"""Bars of the time line; with more of them, those of one arm that nearly touch are drawn as one."""
PARTS = ("search", "finalise", "test")


def hours(result: SweepResult, name: str) -> Figure | None:
    """Hours of workers by arm, for search, finalising and test; None before the first epoch."""
    spent = {arm.name: arm.record.spent for arm in result.arms}
    if not any(part.worker_s for parts in spent.values() for part in parts.values()):
        return None
    arms, colours = list(spent)[::-1], dict(zip(PARTS, COLOURS, strict=False))
    labels, bars = [shortened(arm, limit=60) for arm in arms], []
    for part in PARTS:
        if not any(spent[arm][part].worker_s for arm in arms):
            continue
        values = [spent[arm][part].worker_s / 3600 for arm in arms]
        bar = {"type": "bar", "orientation": "h", "name": part, "x": values, "y": labels}
        bars.append({**bar, "marker": {"color": colours[part]}})
    in_words = [f"{arm} {duration(sum(part.worker_s for part in parts.values()))}" for arm, parts in spent.items()]
    layout = {"barmode": "stack", "xaxis": {"title": {"text": "hours of a worker"}}}
    layout["yaxis"] = {"type": "category", "automargin": True}
    return Figure(
        name=name,
        title="Hours by arm",
        alt=f"Stacked bars of the hours that workers reported. {names(in_words)}.",
        drawing=drawing(bars, layout, hover="%{y}: %{x} h"),
        height=130 + 30 * len(arms),
        notes=("Hours that trials reported: epochs with their dev evaluation, and tests.",),
    )


def timeline(result: SweepResult, name: str) -> Figure | None:
    """What each worker had in hand, over time; None where no journal is at hand or no worker was named."""
    found = by_worker(spells(result))
    if not found:
        return None
    every = [spell for of_worker in found.values() for spell in of_worker]
    first, last = min(spell.start for spell in every), max(spell.end for spell in every)
    shown = dict(list(found.items())[:MOST_WORKERS])
    cut = [f"Shown are the first {MOST_WORKERS} of {count(len(found))} workers."] if len(found) > MOST_WORKERS else []
    layout = {
        "barmode": "overlay", "bargap": 0.35, "xaxis": {"type": "date", "title": {"text": "time (UTC)"}},
        "yaxis": {"type": "category", "automargin": True, "autorange": "reversed"},
    }  # fmt: skip
    total = sum(busy_s(of_worker) for of_worker in found.values())
    return Figure(
        name=name,
        title="Time line of the workers",
        alt=f"Bars over time, a row for each of {plural(len(found), 'worker')}, from {_minute(first)} to"
        f" {_minute(last)} UTC. At work for {duration(total)} in all, {plural(len(every), 'spell')} of a trial.",
        drawing=drawing(list(_bars(result, shown, last - first)), layout),
        height=min(1000, 130 + 26 * len(shown)),
        notes=(
            "By the driver's clock, from the start of a trial on a worker to its end there; loading is in it. A worker"
            " that trains several trials together shows them one over the other.",
            *cut,
        ),
        table=_workers_table(found, (last - first).total_seconds()),
    )


def _bars(result: SweepResult, found: Mapping[str, Sequence[Spell]], span: timedelta) -> Iterator[JsonObject]:
    num_spells = sum(map(len, found.values()))
    gap = span / MOST_BARS * len(found) if num_spells > MOST_BARS else None
    for index, arm in enumerate(result.arms):
        drawn = [
            (worker, start, end, text)
            for worker, of_worker in found.items()
            for start, end, text in _joined([spell for spell in of_worker if spell.arm == arm.name], gap)
        ]
        if drawn:
            yield {
                "type": "bar", "orientation": "h", "name": arm.name, "opacity": 0.75,
                "y": [one_line(worker) for worker, *_ in drawn],
                "x": [max(1, round((end - start).total_seconds() * 1000)) for _, start, end, _ in drawn],
                "base": [_moment(start) for _, start, *_ in drawn],
                "hovertext": [text for *_, text in drawn], "hoverinfo": "text",
                "marker": {"color": COLOURS[index % len(COLOURS)], "line": {"width": 0}},
            }  # fmt: skip


def _joined(found: Sequence[Spell], gap: timedelta | None) -> Iterator[tuple[datetime, datetime, str]]:
    """Start, end and what it was; spells that are less than `gap` apart become one."""
    group: list[Spell] = []
    for spell in found:
        if group and (gap is None or spell.start - max(one.end for one in group) > gap):
            yield _bar(group)
            group = []
        group.append(spell)
    if group:
        yield _bar(group)


def _bar(group: Sequence[Spell]) -> tuple[datetime, datetime, str]:
    start, end = group[0].start, max(spell.end for spell in group)
    what = f"{group[0].trial_id} ({group[0].what})" if len(group) == 1 else plural(len(group), "spell")
    return start, end, f"{what}, {duration((end - start).total_seconds())}"


def _workers_table(found: Mapping[str, Sequence[Spell]], span_s: float) -> Table:
    rows = []
    for worker, of_worker in list(found.items())[:MOST_WORKERS]:
        busy = busy_s(of_worker)
        counts = [Cell(value=sum(spell.what == part for spell in of_worker)) for part in PARTS]
        part = share(busy / span_s) if span_s else None
        rows.append((Cell(value=worker), *counts, Cell(value=busy), Cell(value=part)))
    columns = (
        Column(key="worker", title="worker"),
        *(Column(key=part, title=f"trials, {part}", kind="count") for part in PARTS),
        Column(key="busy_s", title="at work", kind="duration"),
        Column(key="share", title="of the sweep's time"),
    )
    return Table(name="workers", title="What each worker did", columns=columns, rows=tuple(rows))


def _minute(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M")


def _moment(time: datetime) -> str:
    """As plotly reads it, to the millisecond."""
    return time.isoformat(sep=" ", timespec="milliseconds").partition("+")[0]
