"""The sections of one task and source language: scores, points, languages, budget, data."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.markdown import plain
from tunekit.reports.contents import costs, languages, points, significance
from tunekit.reports.contents.variances import spread_parts
from tunekit.reports.headline import headline
from tunekit.reports.published import score_tables
from tunekit.reports.results import Comparison, SweepResult
from tunekit.reports.tables import Section, Table
from tunekit.reports.words import metric_name

MOST_IN_A_SENTENCE = 5000
"""Characters; what is longer is cut."""


def sections(result: SweepResult, comparison: Comparison) -> Iterator[Section]:
    """One with the scores, and one below it for each thing that is to be known of them."""
    key = "-".join((comparison.task, comparison.source))
    yield Section(key=key, title=_title(result, comparison), parts=tuple(_scores(result, comparison)))
    yield from _differences(result, comparison, key)
    below: dict[str, tuple[Table | None, ...]] = {
        "By resource class and script": tuple(languages.by_groups(comparison)),
        "Tokens a word": (languages.tokens(comparison),),
        "Budget and size": (costs.budget(comparison), costs.spending(comparison, result.sweep.budget)),
        "Data": (costs.data(comparison),),
    }
    for title, tables in below.items():
        found = tuple(table for table in tables if table is not None)
        if found:
            yield Section(key=f"{key}-{title.split()[0].lower()}", title=title, parts=found, level=3)


def _differences(result: SweepResult, comparison: Comparison, key: str) -> Iterator[Section]:
    shown, *files = significance.tables(result, comparison) or (None,)
    if shown is None:
        return
    parts: list[str | Table] = [shown, *map(_sentence, significance.not_compared(result, comparison))]
    if files:
        parts.append(f"Differences in single languages: `tables/{files[0].name}.csv`.")
    yield Section(
        key=f"{key}-differences", title="Differences between arms", parts=tuple(parts), files=tuple(files), level=3
    )


def _sentence(text: str) -> str:
    return plain(text, limit=MOST_IN_A_SENTENCE)


def _title(result: SweepResult, comparison: Comparison) -> str:
    loud = ", selected on TARGET dev" if result.is_target_dev else ""
    if result.sweep.protocol is not None:
        loud += f" (protocol: {result.sweep.protocol})"
    metric = metric_name(comparison.metric)
    has_final = any(arm.best is not None for arm in comparison.arms)
    return f"{comparison.task}: " + (f"test {metric}{loud}" if has_final else f"dev {metric}, not test{loud}")


def _scores(result: SweepResult, comparison: Comparison) -> Iterator[str | Table]:
    found = headline(result, comparison)
    if found is not None:
        yield found.main
        spread = spread_parts(comparison)
        if spread is not None:
            yield "Where that spread comes from:"
            yield spread
        for table, scored in zip(found.beside, score_tables(comparison, result.sweep.references)[1:], strict=True):
            yield f"The same points by test {metric_name(scored.metric)}, which selected nothing:"
            yield table
        yield "The points in these tables:" if found.beside else "The points in this table:"
        yield points.best_points(comparison)
    if any(arm.best is None for arm in comparison.arms):
        why = "dev, not test; no point finalised" if result.is_finished else "dev, not test; sweep unfinished"
        yield f"Best point of each arm's search ({why}):"
        yield points.dev_scores(comparison)
    if found is None and score_tables(comparison, result.sweep.references)[0].published:
        yield "Published figures stand beside test scores, which are not there yet; `references.csv` holds them."
