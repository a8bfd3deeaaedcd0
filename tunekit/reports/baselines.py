"""The majority baseline beside our arms: train's most frequent label everywhere, for entities none at all."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.scores import Spread
from tunekit.wording import names


def majority_rows(comparison: Comparison, metric: str) -> list[tuple[str, list[float | None]]]:
    """The majority baseline in every language, its zero-shot mean and its gap, after the row's name.

    One row for all arms if they were scored on the same test sets.
    """
    found: dict[tuple[float | None, ...], tuple[list[float | None], list[str]]] = {}
    for arm in comparison.arms:
        if arm.best is None or not any(trial.baselines for trial in arm.best.trials):
            continue
        floors = {language: arm.best.majority(language, metric) for language in comparison.languages}
        zero_shot = Spread.of(floors[language] for language in arm.targets)
        source, mean = floors[comparison.source], zero_shot.mean if zero_shot else None
        gap = source - mean if source is not None and mean is not None else None
        values = [*floors.values(), mean, gap]
        alike = tuple(
            None if value is None else round(value, 9) for value in values
        )  # a mean of n equal ones is not it
        found.setdefault(alike, (values, []))[1].append(arm.name)
    label = "majority" if len(found) == 1 else "majority ({})"
    return [(label.format(", ".join(arms)), list(values)) for values, arms in found.values()]


def above_majority(comparison: Comparison) -> Iterator[str]:
    """Which arms beat the baseline in every language that they were scored in, in a plain sentence, if any does."""
    above = [arm.name for arm in comparison.arms if _is_above(arm, comparison.metric)]
    if above:
        yield f"Above majority in every language: {names(above)}."


def _is_above(arm: ArmResult, metric: str) -> bool:
    best = arm.best
    if best is None:
        return False
    pairs = [(best.score(lang, metric), best.majority(lang, metric)) for lang in (arm.source, *arm.targets)]
    return all(score is not None and floor is not None and score.mean > floor for score, floor in pairs)
