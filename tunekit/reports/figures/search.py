"""Pictures of how the search went: the best score point by point, and the curves of its trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tunekit.journal import Point
from tunekit.reports.figures.figure import BLUE, COLOURS, GREEN, GREY, ORANGE, RED, Figure, drawing
from tunekit.reports.figures.studies import MOST_CURVES, MOST_EPOCHS, MOST_STUDIED, StudyCopy, evenly
from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.tables import Cell, Column, Table
from tunekit.reports.words import metric_name
from tunekit.schema import JsonObject, Values
from tunekit.wording import count, names, percent, plural

if TYPE_CHECKING:
    import optuna

LEAST_POINTS = 3
"""Of fewer points there is no history."""


def history(comparison: Comparison, name: str) -> Figure | None:
    """The dev score of every point in the order of the search, and the best so far, for all arms of a table.

    Args:
        comparison: of which table.
        name: of the figure.

    Returns:
        None if no point is COMPLETE, or no arm has LEAST_POINTS.
    """
    copies = [StudyCopy(arm, MOST_STUDIED) for arm in comparison.arms if arm.leader is not None]
    if not copies or all(len(arm.points) < LEAST_POINTS for arm in comparison.arms):
        return None
    from optuna.visualization import plot_optimization_history

    objective = f"dev {metric_name(comparison.metric)}"
    studies: list[optuna.Study] = [copy.study for copy in copies]
    found = plot_optimization_history(studies if len(studies) > 1 else studies[0], target_name=objective)
    traces = list(_history_traces(found.to_plotly_json()["data"], copies))
    layout = {"xaxis": _axis("point, in the order of the search"), "yaxis": _axis(objective)}
    return Figure(
        name=name,
        title="Optimisation history",
        alt=_history_in_words(comparison, objective),
        drawing=drawing(traces, layout, hover="point %{x}: %{y}"),
        height=380,
        notes=(
            "A dot is the mean over the search seeds of a COMPLETE point, a cross what a PRUNED one had reached when it"
            " was stopped; the line is the best COMPLETE point so far. The best of several noisy scores is flattered.",
            *(note for copy in copies for note in copy.notes),
        ),
        table=_history_table(comparison),
    )


def _history_traces(found: Sequence[Values], copies: Sequence[StudyCopy]) -> Iterator[JsonObject]:
    """Optuna's traces (points, best so far and those that broke a constraint, for each study), ours to tell apart."""
    for index, copy in enumerate(copies):
        name, colour = copy.arm.name, COLOURS[index % len(COLOURS)]
        points, best, _ = found[3 * index : 3 * index + 3]
        shared = {"legendgroup": name, "name": name}
        yield {**points, **shared, "marker": {"color": colour, "size": 6, "opacity": 0.75}}
        line = {"color": colour, "width": 2, "shape": "hv"}
        yield {**best, **shared, "line": line, "name": f"{name}, best so far", "showlegend": False}
        stopped = [point for point in copy.points if point.trials[0].state == "PRUNED"]
        if stopped:
            reached = [None if (value := point.first.best_so_far) is None else 100 * value for point in stopped]
            marker = {"color": colour, "size": 6, "symbol": "x-thin", "line": {"color": colour, "width": 1}}
            x = [point.number for point in stopped]
            yield {**shared, "x": x, "y": reached, "mode": "markers", "marker": marker, "showlegend": False}


def _history_in_words(comparison: Comparison, objective: str) -> str:
    parts = []
    for arm in comparison.arms:
        if arm.leader is None:
            parts.append(f"{arm.name} has no COMPLETE point")
            continue
        parts.append(
            f"{arm.name} reached {percent(arm.leader.value)} with point {arm.leader.number} of"
            f" {plural(len(arm.points), 'point')}"
        )
    return f"Scatter plot of {objective} by point, with the best so far as a line. {'; '.join(parts)}."


def _history_table(comparison: Comparison) -> Table:
    rows = []
    for arm in comparison.arms:
        best: tuple[Cell, ...] = (Cell(value=None), Cell(value=None))
        if arm.leader is not None:
            best = (Cell(value=arm.leader.number), Cell(value=arm.leader.value))
        states = [Cell(value=arm.num_searched(state)) for state in ("COMPLETE", "PRUNED", "FAILED", "RUNNING")]
        rows.append((Cell(value=arm.name), Cell(value=len(arm.points)), *best, *states))
    return Table(
        name="history",
        title="How far each search came",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="points", title="points", kind="count"),
            Column(key="best_point", title="best point", kind="text"),
            Column(key="best_dev", title="its dev score", kind="score"),
            *(Column(key=state, title=f"{state.upper()} trials", kind="count") for state in _STATES),
        ),
        rows=tuple(rows),
    )


_STATES = ("complete", "pruned", "failed", "running")


def curves(arm: ArmResult, name: str, *, num_arms: int) -> Figure | None:
    """The dev score of each point's first seed by epoch, PRUNED ones set apart; None if no epoch was reported.

    Optuna has such a picture, too, but one in which a stopped curve looks like any other.

    Args:
        arm: whose search.
        name: of the figure.
        num_arms: of the report, which share its room.
    """
    copy = StudyCopy(arm, max(30, MOST_CURVES // max(1, num_arms)))
    drawn = [point for point in copy.points if point.first.reports]
    if not drawn:
        return None
    longest = max(len(point.first.reports) for point in drawn)
    thinned = [f"Of each curve at most {MOST_EPOCHS} epochs are drawn."] if longest > MOST_EPOCHS else []
    objective = f"dev {metric_name(arm.metric)}"
    return Figure(
        name=name,
        title=f"Learning curves of {arm.name}",
        alt=_curves_in_words(arm, objective, longest),
        drawing=drawing(
            list(_curve_traces(arm, drawn)),
            {"xaxis": {**_axis("epoch"), "dtick": 1 if longest <= 12 else None}, "yaxis": _axis(objective)},
            hover="point %{text}, epoch %{x}: %{y}",
        ),
        notes=("Each curve is the first seed of a point; a cross is where it was stopped.", *copy.left_out, *thinned),
    )


def _curve_traces(arm: ArmResult, points: Iterable[Point]) -> Iterator[JsonObject]:
    """The curves of one state as one line with gaps, so that a thousand of them are drawn at once."""
    states: dict[str, list[Point]] = {"PRUNED": [], "COMPLETE": []}
    for point in points:
        states.setdefault(point.first.state, []).append(point)
    styles = {"PRUNED": (GREY, 0.6), "COMPLETE": (BLUE, 0.5), "FAILED": (RED, 0.6)}
    for state, drawn in states.items():
        if drawn:
            colour, opacity = styles.get(state, (GREEN, 0.6))
            line = {"color": colour, "width": 1.2}
            yield {**_joined(drawn), "name": f"{state} ({len(drawn)})", "opacity": opacity, "line": line}
    ends = [(point.number, *_curve(point)[-1]) for point in states["PRUNED"]]
    if ends:
        numbers, epochs, values = zip(*ends, strict=True)
        marker = {"color": GREY, "size": 7, "symbol": "x"}
        stopped = {"x": epochs, "y": values, "text": [str(number) for number in numbers]}
        yield {"type": "scatter", **stopped, "mode": "markers", "marker": marker, "name": "stopped here"}
    if arm.leader is not None and arm.leader.first.reports:
        line = {"color": ORANGE, "width": 3}
        yield {**_joined([arm.leader]), "name": f"best point ({arm.leader.number})", "line": line}


def _curve(point: Point) -> list[tuple[int, float]]:
    """Epoch and score x 100 of a point's first seed."""
    reports = point.first.reports
    return [(epoch, 100 * reports[epoch].value) for epoch in evenly(sorted(reports), MOST_EPOCHS)]


def _joined(points: Sequence[Point]) -> JsonObject:
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for point in points:
        epochs, values = zip(*_curve(point), strict=True)
        x += [*epochs, None]
        y += [*values, None]
        text += [str(point.number)] * (len(epochs) + 1)
    has_one = any(len(point.first.reports) == 1 for point in points)  # a line of one epoch is not seen
    mode = "lines+markers" if has_one else "lines"
    return {"type": "scatter", "x": x, "y": y, "text": text, "mode": mode, "marker": {"size": 4}}


def _curves_in_words(arm: ArmResult, objective: str, longest: int) -> str:
    states = [
        f"{count(n)} {state}" for state in ("COMPLETE", "PRUNED", "FAILED", "RUNNING") if (n := arm.num_searched(state))
    ]
    text = f"Line plot of {objective} by epoch, up to epoch {longest}; search trials: {names(states)}."
    if arm.leader is not None and arm.leader.first.reports:
        values = [report.value for report in arm.leader.first.reports.values()]
        text += (
            f" The best point, {arm.leader.number}, goes from {percent(values[0])} to {percent(max(values))} at best."
        )
    return text


def _axis(title: str) -> JsonObject:
    return {"title": {"text": title}}
