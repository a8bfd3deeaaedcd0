"""Pictures of how arms differ: on the mean of their target languages, and against what is known of the languages."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.reports.analysis import Relation, relations
from tunekit.reports.figures.figure import BLUE, GREY, ORANGE, Figure, drawing
from tunekit.reports.results import Comparison, SweepResult
from tunekit.reports.significance import Difference, differences
from tunekit.reports.significance.intervals import LEVEL
from tunekit.schema import JsonObject
from tunekit.wording import count, names, percent, plural, shortened

MOST_PAIRS = 30
MOST_RELATIONS = 9
"""Pictures of gains against properties of languages, the closest relations first."""


def gaps(result: SweepResult, comparison: Comparison, name: str) -> Figure | None:
    """Differences between arms on the mean of the target languages, with their intervals; None if there are none."""
    found = [
        each
        for each in differences(result).found
        if (each.task, each.source) == (comparison.task, comparison.source) and each.language is None
    ]
    if not found:
        return None
    shown = found[:MOST_PAIRS]
    cut = [f"Shown are the first {MOST_PAIRS} of {count(len(found))} pairs."] if len(found) > len(shown) else []
    labels = [f"{shortened(each.one, limit=30)} - {shortened(each.other, limit=30)}" for each in shown]
    clear = [label for label, each in zip(labels, shown, strict=True) if each.is_significant]
    traces = [trace for is_clear in (True, False) if (trace := _gap_trace(shown, labels, is_clear)) is not None]
    return Figure(
        name=name,
        title=f"{comparison.task}: differences between arms, mean of the target languages",
        alt=f"Points with intervals, a row for each of {plural(len(shown), 'pair')} of arms. Significant at 5 % after"
        f" Holm's correction: {names(clear) or 'none'}.",
        drawing=drawing(
            traces,
            {
                "xaxis": {"title": {"text": "difference × 100"}, "zeroline": True},
                "yaxis": {
                    "type": "category",
                    "automargin": True,
                    "categoryorder": "array",
                    "categoryarray": labels[::-1],
                },
            },
            hover="%{y}: %{text}",
        ),
        height=140 + 30 * len(shown),
        notes=(f"Bars are intervals of {100 * (1 - LEVEL):.0f} %, not corrected for several tests; colours are.", *cut),
    )


def _gap_trace(shown: list[Difference], labels: list[str], is_clear: bool) -> JsonObject | None:
    drawn = [(label, e) for label, e in zip(labels, shown, strict=True) if e.is_significant == is_clear]
    if not drawn:
        return None
    colour = BLUE if is_clear else GREY
    texts = [f"{percent(e.difference)} [{percent(e.low)}, {percent(e.high)}], p {e.p_holm:.3f}" for _, e in drawn]
    return {
        "type": "scatter", "mode": "markers", "name": "significant" if is_clear else "not told from 0",
        "x": [100 * e.difference for _, e in drawn], "y": [label for label, _ in drawn], "text": texts,
        "marker": {"color": colour, "size": 9, "symbol": "circle" if is_clear else "circle-open"},
        "error_x": {
            "type": "data", "symmetric": False, "color": colour, "thickness": 1.5,
            "array": [100 * (e.high - e.difference) for _, e in drawn],
            "arrayminus": [100 * (e.difference - e.low) for _, e in drawn],
        },
    }  # fmt: skip


def gains(result: SweepResult, name: str) -> Iterator[Figure]:
    """Gains of one arm over another against properties of the target languages, the closest relations first."""
    found = [each for each in relations(result) if each.r is not None and len({x for _, x, _ in each.points}) > 2]
    found.sort(key=lambda each: -abs(each.r.value) if each.r is not None else 0.0)
    for number, each in enumerate(found[:MOST_RELATIONS]):
        yield _gain(each, f"{name}-{number}")


def _gain(each: Relation, name: str) -> Figure:
    languages, x, gain = zip(*each.points, strict=True)
    trace = {
        "type": "scatter", "mode": "markers+text", "x": x, "y": [100 * value for value in gain], "text": languages,
        "textposition": "top center", "marker": {"color": ORANGE, "size": 8}, "cliponaxis": False,
    }  # fmt: skip
    assert each.r is not None
    known = f"Pearson's r = {each.r.value:.2f}, 95 % from {each.r.low:.2f} to {each.r.high:.2f}"
    return Figure(
        name=name,
        title=f"{each.comparison}: gain of {each.arm} over {each.other} against {each.title}",
        alt=f"Scatter plot of the gain of {each.arm} over {each.other} against {each.title}, n = {each.n} languages:"
        f" {known}.",
        drawing=drawing(
            [trace],
            {"xaxis": {"title": {"text": each.title}}, "yaxis": {"title": {"text": "gain × 100"}, "zeroline": True}},
            hover="%{text}: %{x}, %{y}<extra></extra>",
        ),
        height=300,
        notes=(f"n = {each.n} languages; {known}.",),
        is_wide=False,
    )
