"""Tables of points: the reported ones, the leaders of a search, what was searched."""

from __future__ import annotations

from collections import Counter

from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Cell, Column, Table, plain_row, table_name
from tunekit.reports.words import config_file, searched
from tunekit.wording import names, parameter, percent

NUM_TOP = 5
"""Points an arm that the report lists."""
REPORTED = "←"
"""Marks the reported point of an arm."""


def best_points(comparison: Comparison) -> Table:
    """Which point each arm's row shows, how it was trained, and where it came from."""
    rows = []
    for arm in comparison.arms:
        if arm.best is None:
            continue
        trials = arm.best.trials
        epochs = ", ".join(str(trial.outcome.best_epoch) for trial in trials if trial.outcome)
        values = (
            arm.name,
            arm.best.number,
            arm.best.dev,
            searched(arm.best.params),
            f"{epochs} of {trials[0].config['training']['epochs']}",
            ", ".join(f"{trial.replicate}: {trial.trial_id}" for trial in trials),
            config_file(arm.name),
        )
        rows.append(plain_row(values))
    return Table(
        name=table_name("points", comparison.task, comparison.source),
        title=f"{comparison.task}: the points in the tables of test scores",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="point", title="point", kind="count"),
            Column(key="dev", title="dev", kind="score"),
            Column(key="params", title="params"),
            Column(key="best_epochs", title="best epochs"),
            Column(key="trials", title="seed: trial"),
            Column(key="file", title="file", kind="code"),
        ),
        rows=tuple(rows),
    )


def dev_scores(comparison: Comparison) -> Table:
    """The best point of the search by dev, for the arms that have no finalised point."""
    return Table(
        name=table_name("dev", comparison.task, comparison.source),
        title=f"{comparison.task}: best point of each arm's search, dev and not test",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="point", title="point", kind="count"),
            Column(key="n", title="n", kind="count"),
            Column(key="dev", title="dev", kind="score"),
            Column(key="majority", title="majority", kind="score"),
            Column(key="params", title="params"),
        ),
        rows=tuple(_dev_row(arm) for arm in comparison.arms if arm.best is None),
    )


def _dev_row(arm: ArmResult) -> tuple[Cell, ...]:
    leader = arm.leader
    if leader is None:
        best = f"; best so far {percent(arm.best_so_far)}" if arm.best_so_far is not None else ""
        values: tuple[str | float | Spread | None, ...] = (arm.name, None, 0, None, None, f"no COMPLETE point{best}")
    else:
        found = Spread.of(leader.counted)
        floor = arm.facts.majority.get(f"dev/{arm.source}/{arm.metric}") if arm.facts else None
        values = (arm.name, leader.number, found.n if found else 0, found, floor, searched(leader.params))
    return plain_row(values)


def space(arm: ArmResult) -> Table:
    """What was searched and what the reported point has."""
    chosen = arm.best or arm.leader
    params = chosen.params if chosen is not None else {}
    rows = []
    for dimension in arm.arm.space:
        value = parameter(params[dimension.name]) if dimension.name in params else None
        rows.append((Cell(value=dimension.name), Cell(value=str(dimension)), Cell(value=value)))
    return Table(
        name=table_name("space", arm.name),
        title=f"{arm.name}: what was searched",
        columns=(
            Column(key="parameter", title="parameter", kind="code"),
            Column(key="searched", title="searched"),
            Column(key="best", title="best"),
        ),
        rows=tuple(rows),
    )


def top(arm: ArmResult) -> Table:
    """The best points of the search by dev, and what finalising made of them."""
    finals, rows = {final.number: final for final in arm.tested}, []
    for point in arm.record.top(NUM_TOP):
        values, final = Spread.of(point.counted), finals.get(point.number)
        is_reported = final is not None and final is arm.best
        rows.append(
            (
                Cell(value=point.number, marks=(REPORTED,) if is_reported else ()),
                Cell(value=values),
                Cell(value=values.n if values else 0),
                Cell(value=final.dev, remark=f"(n = {final.dev.n})") if final else Cell(value=None),
                Cell(value=searched(point.params)),
            )
        )
    again = _drawn_again(arm)
    return Table(
        name=table_name("top", arm.name),
        title=f"{arm.name}: the {NUM_TOP} best points by dev",
        columns=(
            Column(key="point", title="point", kind="count"),
            Column(key="search_dev", title="search dev", kind="score"),
            Column(key="n", title="n", kind="count"),
            Column(key="final_dev", title="final dev", kind="score"),
            Column(key="params", title="params"),
        ),
        rows=tuple(rows),
        notes=(again,) if again else (),
    )


def _drawn_again(arm: ArmResult) -> str:
    """Which of the best points were drawn several times, and what their scores are then; empty if none was."""
    again = [point for point in arm.record.top(NUM_TOP) if point.num_draws > 1]
    if not again:
        return ""
    drawn = names(f"point {point.number} {point.num_draws} times" for point in again)
    states = Counter(trial.state for point in again for trial in point.trials if trial.state != "COMPLETE")
    others = names(f"{number} {state}" for state, number in states.items())
    apart = f" ({others}: those that ended early count what they had reached)" if others else ""
    return f"Drawn again, each time on another seed: {drawn}. Their search dev is the mean over all n trials{apart}."
