"""A picture of the table of arms and languages: the better the score in its column's language, the darker the cell."""

from __future__ import annotations

from tunekit.reports.figures.figure import SCALE, Figure, drawing
from tunekit.reports.results import Comparison
from tunekit.reports.words import metric_name
from tunekit.wording import names, percent, shortened


def heat_map(comparison: Comparison, name: str) -> Figure | None:
    """Mean test scores of arms (rows) in languages (columns); None while no arm has any."""
    arms = [arm for arm in comparison.arms if arm.best is not None][::-1]
    if not arms:
        return None
    rows = []
    for arm in arms:
        assert arm.best is not None
        found = [arm.best.score(language, comparison.metric) for language in comparison.languages]
        rows.append([None if score is None else 100 * score.mean for score in found])
    scored = [value for row in rows for value in row if value is not None]
    if not scored:
        return None
    texts = [["" if value is None else percent(value / 100) for value in row] for row in rows]
    languages = list(comparison.languages)
    metric = metric_name(comparison.metric)
    trace = {
        "type": "heatmap", "x": languages, "y": [shortened(arm.name, limit=40) for arm in arms], "z": rows,
        "text": texts, "texttemplate": "%{text}", "colorscale": SCALE, "xgap": 2, "ygap": 2,
        "hoverongaps": False, "colorbar": {"thickness": 10, "title": {"text": "test"}},
    }  # fmt: skip
    return Figure(
        name=name,
        title=f"Test {metric} by arm and language",
        alt=f"Heat map of the table above, {len(arms)} arms by {len(languages)} languages: scores from"
        f" {min(scored):.1f} to {max(scored):.1f}. {_extremes(comparison)}",
        drawing=drawing(
            [trace],
            {
                "margin": {"t": 40, "b": 16},
                "xaxis": {"type": "category", "side": "top", "tickangle": -45 if len(languages) > 8 else 0},
                "yaxis": {"type": "category", "automargin": True},
            },
            hover="%{y}, %{x}: %{z}<extra></extra>",
        ),
        height=76 + 34 * len(arms),
        notes=(f"The first column, {comparison.source}, is the source language.",),
        min_width=150 + 44 * len(languages) if len(languages) > 6 else 0,
    )


def _extremes(comparison: Comparison) -> str:
    """For each arm the target languages in which it is best and worst."""
    parts = []
    for arm in comparison.arms:
        if arm.best is None:
            continue
        scores = {t: s.mean for t in arm.targets if (s := arm.best.score(t, comparison.metric)) is not None}
        if len(scores) > 1:
            best, worst = max(scores, key=scores.__getitem__), min(scores, key=scores.__getitem__)
            most, least = percent(scores[best]), percent(scores[worst])
            parts.append(f"{arm.name} is best in {best} ({most}) and worst in {worst} ({least})")
    return f"Of the target languages {names(parts)}." if parts else ""
