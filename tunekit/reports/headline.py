"""The tables that a reader came for: arms × languages on test, with zero-shot means and transfer gaps.

Ours stand first, then the majority baseline, then published figures, each below a line: only ours are compared, with
:mod:`tunekit.reports.best` and :mod:`tunekit.reports.marks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tunekit.reports.baselines import above_majority, majority_rows
from tunekit.reports.best import GAP, ZERO_SHOT, Best, Scores, best_by_column
from tunekit.reports.budgets import Budget, budgets, unequal_budgets
from tunekit.reports.marks import NO_MARKS, Marks, marks
from tunekit.reports.published import Published, ScoreTable, languages_left_out, score_tables
from tunekit.reports.results import ArmResult, Comparison, SweepResult
from tunekit.reports.scores import Spread
from tunekit.reports.tables import Cell, Column, Table, table_name
from tunekit.reports.words import metric_name
from tunekit.wording import names, plural


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The tables of one comparison."""

    comparison: Comparison
    main: Table
    """By the task's main metric."""
    beside: tuple[Table, ...]
    """By other metrics, which selected nothing."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of them."""
        return (self.main, *self.beside)


def headline(result: SweepResult, comparison: Comparison) -> Headline | None:
    """The tables of test scores of a comparison; None as long as no arm has any. Made once of a result."""
    if all(arm.best is None for arm in comparison.arms):
        return None
    return result.once(f"headline/{comparison.task}/{comparison.source}", lambda: _headline(result, comparison))


def _headline(result: SweepResult, comparison: Comparison) -> Headline:
    main, *beside = (
        score_table(result, comparison, table) for table in score_tables(comparison, result.sweep.references)
    )
    return Headline(comparison=comparison, main=main, beside=tuple(beside))


def score_table(result: SweepResult, comparison: Comparison, table: ScoreTable) -> Table:
    """Arms × languages on test: mean and spread over trials, zero-shot mean, gap; then majority, then published rows.

    Budgets in which arms differ stand beside their scores. Only the main metric is tested for significance.
    """
    apart, is_main = unequal_budgets(comparison), table.metric == comparison.metric
    scores = {arm.name: _scores(comparison, arm, table.metric) for arm in comparison.arms}
    best = best_by_column(comparison, scores)
    signs = marks(result, comparison, {key: each.order for key, each in best.items()}) if is_main else NO_MARKS
    ours = [
        [
            Cell(value=arm.name),
            Cell(value=len(arm.best.trials) if arm.best else 0),
            *(Cell(value=budget.values[arm.name]) for budget in apart),
            *_our_cells(arm.name, scores[arm.name], best, signs),
        ]
        for arm in comparison.arms
    ]
    empty = [Cell(value=None)] * len(apart)
    floors = [
        [Cell(value=label), Cell(value=None), *empty, *(Cell(value=value) for value in values)]
        for label, values in majority_rows(comparison, table.metric)
    ]
    others = [
        [Cell(value=f"{table.label(row)} [{number}]"), Cell(value=row.runs or None), *empty, *_cells(comparison, row)]
        for number, row in enumerate(table.published, start=1)
    ]
    named = zip(table.published, footnotes(comparison, table), strict=True)
    return Table(
        name=table_name("scores", comparison.task, comparison.source, table.metric),
        title=f"{comparison.task}: test {metric_name(table.metric)}{_loud(result)}",
        columns=_columns(comparison, apart),
        rows=tuple(map(tuple, (*ours, *floors, *others))),
        notes=(
            *_notes(comparison, table),
            *_notes_on_best(comparison, best),
            *signs.notes,
            _spent(comparison),
            *(above_majority(comparison) if is_main else ()),
        ),
        rules=tuple(at for at, rows in ((len(ours), floors), (len(ours) + len(floors), others)) if rows),
        footnotes=tuple(f"{row.name}: {note}" for row, note in named),
    )


def _our_cells(arm: str, scores: Scores, best: Mapping[str, Best], signs: Marks) -> Iterator[Cell]:
    for key, value in scores.items():
        is_best = value is not None and key in best and arm in best[key].arms
        yield Cell(value=value, is_best=is_best, marks=signs.of(arm, key))


def _columns(comparison: Comparison, apart: Sequence[Budget]) -> tuple[Column, ...]:
    return (
        Column(key="arm", title="arm"),
        Column(key="n", title="n", kind="count"),
        *(Column(key=budget.key, title=budget.title, kind=budget.kind) for budget in apart),
        Column(key=comparison.source, title=f"{comparison.source} (source)", kind="score"),
        *(Column(key=language, title=language, kind="score") for language in comparison.languages[1:]),
        Column(key=ZERO_SHOT, title=ZERO_SHOT, kind="score"),
        Column(key=GAP, title=GAP, kind="score"),
    )


def _loud(result: SweepResult) -> str:
    protocol = f" (protocol: {result.sweep.protocol})" if result.sweep.protocol is not None else ""
    return f"{', selected on TARGET dev' if result.is_target_dev else ''}{protocol}"


def _notes(comparison: Comparison, table: ScoreTable) -> Iterator[str]:
    has_draws = any(arm.has_draws for arm in comparison.arms)
    unit, each = ("trials (seeds × draws of the data)", "trial") if has_draws else ("seeds", "seed")
    yield (
        f"Mean ± sample standard deviation (n - 1) over n {unit}. {ZERO_SHOT}: the mean over the target languages,"
        f" taken for each {each}, then over them. {GAP}: source minus {ZERO_SHOT}, likewise."
    )
    if any(arm.best is not None and any(trial.baselines for trial in arm.best.trials) for arm in comparison.arms):
        yield (
            "majority: train's most frequent label everywhere (of equally frequent ones the mean; for entities: none"
            " found)."
        )
    if table.published:
        yield (
            "Rows marked published are not of this sweep: others' figures, as they were published, with other settings"
            f" and budgets. They take part in no choice, rank or mean of ours; {ZERO_SHOT} is their mean over the"
            " target languages of this table, where all of them are there."
        )


def _notes_on_best(comparison: Comparison, best: Mapping[str, Best]) -> Iterator[str]:
    if best:
        yield (
            f"Bold: the best of our arms in a column, by the digits that are shown. {GAP} has none: it is small, too,"
            " where an arm fails everywhere."
        )
    without = [key for key in (*comparison.languages, ZERO_SHOT) if key not in best]
    if sum(arm.best is not None for arm in comparison.arms) > 1 and without:
        yield f"No best in {names(without)}: fewer than two arms were scored there on the same test data."


def _spent(comparison: Comparison) -> str:
    """What each arm's search was given, in a sentence."""
    kinds = budgets(comparison)
    found: dict[str, list[str]] = {}
    for arm in comparison.arms:
        _, updates, time = (kind.written(arm.name) for kind in kinds)
        text = f"{plural(len(arm.searched), 'trial')}, {updates} updates, {time}"
        found.setdefault(text, []).append(arm.name)
    return f"Budget of the search: {'; '.join(f'{names(arms)}: {text}' for text, arms in found.items())}."


def _scores(comparison: Comparison, arm: ArmResult, metric: str) -> dict[str, Spread | None]:
    """By the key of the column."""
    best = arm.best
    if best is None:
        return dict.fromkeys((*comparison.languages, ZERO_SHOT, GAP))
    found = {language: best.score(language, metric) for language in comparison.languages}
    zero_shot = best.zero_shot(arm.targets, metric)
    return {**found, ZERO_SHOT: zero_shot, GAP: best.transfer_gap(comparison.source, arm.targets, metric)}


def _cells(comparison: Comparison, row: Published) -> Iterator[Cell]:
    targets = comparison.languages[1:]
    yield from (Cell(value=row.score(language)) for language in comparison.languages)
    yield Cell(value=row.zero_shot(targets))
    yield Cell(value=row.transfer_gap(comparison.source, targets))


def footnotes(comparison: Comparison, table: ScoreTable) -> list[str]:
    """Of each published row of a table its metric, split, runs and source, in one line of plain text."""
    found = []
    for row in table.published:
        runs = f"n = {row.runs}" if row.runs else "number of runs not given"
        left_out = languages_left_out(row, comparison)
        more = f" No column here: {', '.join(left_out)}." if left_out else ""
        found.append(f"metric {row.metric}, split {row.split}, {runs}. Source: {row.source.rstrip('.')}.{more}")
    return found
