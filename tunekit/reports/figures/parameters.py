"""Pictures of what the parameters do, each by itself and two at a time. All of them are Optuna's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from tunekit.reports.figures.figure import POINTS_SCALE, SCALE, Figure, drawing
from tunekit.reports.figures.importance import LEAST_POINTS, Importances, num_values
from tunekit.reports.figures.studies import MOST_POINTS, StudyCopy
from tunekit.reports.results import ArmResult
from tunekit.reports.words import metric_name
from tunekit.schema import JsonObject, Values
from tunekit.wording import count, names, parameter, percent

LEAST_SHOWN = 4
"""Fewer than this are no picture."""
TOP_PARAMETERS = 3
"""Whose pairs are shown."""
MOST_SLICES = 12
"""Parameters of an arm that are shown one by one."""
MOST_IN_CONTOUR = 60
"""Points of a contour plot: its grid grows with their square."""


@dataclass(frozen=True)
class ParameterFigures:
    """The pictures of one arm.

    Args:
        importances: of its parameters: the most important one comes first.
        name: how the figures' names begin.
        num_arms: of the report, which share its room.
    """

    importances: Importances
    name: str
    num_arms: int

    @property
    def arm(self) -> ArmResult:
        """Whose search."""
        return self.importances.arm

    def slices(self) -> Iterator[Figure]:
        """The dev score against each parameter by itself, the most important first."""
        if len(self._shown.points) < LEAST_SHOWN:
            return
        from optuna.visualization import plot_slice

        for parameter_name in self._ordered[:MOST_SLICES]:
            found = plot_slice(self._shown.study, [parameter_name], target_name=self._objective).to_plotly_json()
            traces = [
                {**each, "x": _unquoted(each["x"]), "marker": self._marker(each["marker"])} for each in found["data"]
            ]
            axis = found["layout"].get("xaxis", {})
            if "categoryarray" in axis:
                axis["categoryarray"] = _unquoted(axis["categoryarray"])
            yield Figure(
                name=f"{self.name}-slice-{self._ordered.index(parameter_name)}",
                title=f"{self.arm.name}: {parameter_name}",
                alt=f"Scatter plot of {self._objective} against {parameter_name}."
                f" {self._best_in_words(parameter_name)}",
                drawing=drawing(
                    traces,
                    self._axes(found["layout"], x=parameter_name),
                    hover=f"{_flat(parameter_name)} %{{x}}: %{{y}}",
                ),
                height=280,
                is_wide=False,
            )

    @property
    def notes_on_slices(self) -> tuple[str, ...]:
        """What is to be said of all slices."""
        more = len(self._ordered) - MOST_SLICES
        cut = [f"{count(more)} less important parameters are left out."] if more > 0 else []
        return ("A dot is a COMPLETE point; the later it was drawn, the bluer it is.", *cut, *self._shown.notes)

    def pairs(self) -> Iterator[Figure]:
        """The most important parameters two at a time: ranks of single points, and a contour of the first pair."""
        if len(self._shown.points) < LEAST_SHOWN:
            return
        pairs = list(combinations(self._ordered[:TOP_PARAMETERS], 2))
        if pairs and len(self._shown.complete) >= LEAST_POINTS:
            contour = self._contour(*pairs[0])
            if contour is not None:
                yield contour
        for index, (one, other) in enumerate(pairs):
            yield self._rank(f"{self.name}-rank-{index}", one, other)

    def _rank(self, name: str, one: str, other: str) -> Figure:
        from optuna.visualization import plot_rank

        found = plot_rank(self._shown.study, [one, other], target_name=self._objective).to_plotly_json()
        ranked = sorted(trial.value or 0.0 for trial in self._shown.complete)
        points = found["data"][0]
        both = [trial for trial in self._shown.complete if one in trial.params and other in trial.params]
        values = [trial.value or 0.0 for trial in both]
        marker = {
            "color": [ranked.index(value) / max(1, len(ranked) - 1) for value in values],
            "colorscale": POINTS_SCALE, "cmin": 0, "cmax": 1, "size": 8, "showscale": True,
            "colorbar": {"tickvals": [0, 0.5, 1], "ticktext": ["worst", "median", "best"], "thickness": 10},
        }  # fmt: skip
        trace = {**points, "hovertext": None, "text": [f"{value:.1f}" for value in values], "marker": marker}
        return Figure(
            name=name,
            title=f"{self.arm.name}: {one} and {other}, by rank",
            alt=f"Scatter plot of {other} against {one}; colours are ranks of {self._objective}."
            f" {self._best_in_words(one, other)}",
            drawing=drawing([trace], self._axes(found["layout"], x=one, y=other), hover="%{x}, %{y}: %{text}"),
            height=320,
            is_wide=False,
        )

    def _contour(self, one: str, other: str) -> Figure | None:
        from optuna.visualization import plot_contour

        copy = StudyCopy(self.arm, MOST_IN_CONTOUR, is_complete=True)
        if not all(num_values(copy.complete, name) > 1 for name in (one, other)):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = plot_contour(copy.study, [one, other], target_name=self._objective).to_plotly_json()
        if len(found["data"]) < 2:
            return None
        area, points = found["data"][:2]
        bar = {"title": {"text": "dev"}, "thickness": 10}
        area = {**area, "colorscale": SCALE, "reversescale": False, "colorbar": bar, "line": {"width": 0.5}}
        points = {**points, "marker": {"color": "#1b1f24", "size": 4}}
        return Figure(
            name=f"{self.name}-contour",
            title=f"{self.arm.name}: {one} and {other}, interpolated",
            alt=f"Contour plot of {self._objective} over {one} and {other}. {self._best_in_words(one, other)}",
            drawing=drawing([area, points], self._axes(found["layout"], x=min(one, other), y=max(one, other))),
            height=320,
            notes=("Between the dots, which are the points that were run, the colours are a guess.", *copy.notes),
            is_wide=False,
        )

    @cached_property
    def _shown(self) -> StudyCopy:
        """What pictures of single points show."""
        most = max(50, MOST_POINTS // max(1, self.num_arms))
        return (
            self.importances.whole
            if len(self.importances.whole.points) <= most
            else StudyCopy(self.arm, most, is_complete=True)
        )

    @cached_property
    def _ordered(self) -> list[str]:
        """The same, the most important first where that is known."""
        shown = [name for name in self.importances.varied if num_values(self._shown.complete, name) > 1]
        known = list(self.importances.shares)
        return sorted(shown, key=lambda name: known.index(name) if name in known else len(known))

    @property
    def _objective(self) -> str:
        return f"dev {metric_name(self.arm.metric)}"

    def _axes(self, layout: Values, **names: str) -> JsonObject:
        """The layout with ticks that can be read on a small picture; `names`: which parameter an axis shows."""
        found: JsonObject = dict(layout)
        for key, name in names.items():
            axis = dict(found.get(f"{key}axis") or {})
            values = [trial.params[name] for trial in self._shown.complete if name in trial.params]
            if axis.get("type") == "log":
                decades = math.log10(max(values) / min(values)) if values else 0
                axis |= {
                    "dtick": 1 if decades > 1.5 else "D2",
                    "tickformat": "~e" if min(values, default=1.0) < 1e-3 else "~g",
                }
            found[f"{key}axis"] = {**axis, "tickangle": 0}
        return found

    def _marker(self, marker: JsonObject) -> JsonObject:
        return {**marker, "colorscale": POINTS_SCALE, "showscale": False, "size": 7, "line": {"width": 0}}

    def _best_in_words(self, *parameter_names: str) -> str:
        leader = self.arm.leader
        if leader is None:
            return ""
        found = [f"{name} {parameter(leader.params[name])}" for name in parameter_names if name in leader.params]
        return (
            f"The best point, {leader.number}, has {names(found)} and {percent(leader.value)} on dev." if found else ""
        )


def _unquoted(values: Sequence[object]) -> list[object]:
    """Choices as they are, where Optuna shows Python's quotes around a text."""
    return [value[1:-1] if isinstance(value, str) and value[:1] == value[-1:] == "'" else value for value in values]


def _flat(name: str) -> str:
    """A name inside a template of plotly, which would fill in what stands in braces."""
    return "".join(sign for sign in name if sign.isalnum() or sign in "_-. ")
