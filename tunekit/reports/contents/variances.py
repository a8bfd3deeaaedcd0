"""A table of where the spread comes from: the seed or the draw of the data."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.scores import Spread, mean_score
from tunekit.reports.tables import Column, Table, Value, plain_row, table_name
from tunekit.reports.variance import components
from tunekit.trial import Replicate


def spread_parts(comparison: Comparison) -> Table | None:
    """The spread of the source's score and of zero_shot, split into seed and draw; None if no arm has several draws."""
    if not any(arm.has_draws for arm in comparison.arms):
        return None
    rows = []
    for arm in comparison.arms:
        for label, scores in _scores_by_trial(arm) if arm.best is not None else ():
            values, found = Spread.of(scores.values()), components(scores)
            if values is None:
                continue
            parts: tuple[Value, ...] = (None,) * 5
            if found is not None:
                parts = (found.seed, found.draw, found.rest, found.draw_share, found.standard_error)
            row: tuple[Value, ...] = (arm.name, label, values.n, values.mean, values.std, *parts)
            rows.append(plain_row(row))
    return Table(
        name=table_name("spread", comparison.task, comparison.source),
        title=f"{comparison.task}: where the spread comes from",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="score", title="score"),
            Column(key="n", title="n", kind="count"),
            Column(key="mean", title="mean", kind="score"),
            Column(key="std", title="std", kind="score"),
            Column(key="seeds", title="seeds", kind="score"),
            Column(key="draws", title="draws", kind="score"),
            Column(key="rest", title="rest", kind="score"),
            Column(key="draw_share", title="draws' share", kind="share"),
            Column(key="standard_error", title="standard error", kind="score"),
        ),
        rows=tuple(rows),
        notes=(
            "Standard deviations between seeds, between draws, and of what neither explains (crossed random effects,"
            " estimated by the analysis of variance; what would be negative is 0). All n trials of an arm share the few"
            " draws, so that the standard error of the mean is not std / √n but the one given here.",
        ),
    )


def _scores_by_trial(arm: ArmResult) -> Iterator[tuple[str, dict[Replicate, float]]]:
    """The source's score and the zero-shot mean of each reported trial."""
    assert arm.best is not None
    for label, languages in ((arm.source, (arm.source,)), ("zero_shot", arm.targets)):
        found = {trial.replicate: mean_score(trial, languages, arm.metric) for trial in arm.best.trials}
        yield label, {replicate: score for replicate, score in found.items() if score is not None}
