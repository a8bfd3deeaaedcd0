"""Which parameters matter: shares of importance, by PED-ANOVA as Optuna computes it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tunekit.reports.figures.figure import BLUE, Figure, drawing
from tunekit.reports.figures.studies import MOST_STUDIED, StudyCopy
from tunekit.reports.results import ArmResult
from tunekit.reports.tables import Cell, Column, Table
from tunekit.wording import count, names, parameter, share

if TYPE_CHECKING:
    import optuna

LEAST_POINTS = 10
"""Fewer COMPLETE points than this tell nothing of importances."""
SURE_POINTS = 50
"""PED-ANOVA is said to need five points among its best tenth."""


@dataclass(frozen=True)
class Importances:
    """Those of one arm's parameters."""

    arm: ArmResult

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """Each parameter's share of the importance, highest first; empty where too little is known.

        PED-ANOVA (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255) as Optuna has it.
        """
        if len(self.whole.points) < LEAST_POINTS or not self.varied:
            return {}
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(
                self.whole.study, evaluator=self._evaluator, params=self.varied
            )
        return found

    @property
    def why_none(self) -> str:
        """A sentence for where :attr:`shares` is empty."""
        if not self.arm.arm.space:
            return "Nothing was searched."
        found = len(self.whole.points)
        if found < LEAST_POINTS:
            few = f"{count(found)}, at least {LEAST_POINTS} needed"
            return f"Too few COMPLETE points to say which parameter matters: {few}."
        return "No parameter has two values on COMPLETE points."

    def figure(self, name: str) -> Figure | None:
        """Bars of :attr:`shares`, as Optuna draws them; None if there are none."""
        if not self.shares:
            return None
        from optuna.visualization import plot_param_importances

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = plot_param_importances(
                self.whole.study, evaluator=self._evaluator, params=self.varied
            ).to_plotly_json()
        bars = [{**trace, "marker": {"color": BLUE}} for trace in found["data"]]
        n, listed = len(self.whole.complete), [f"{name} {share(part)}" for name, part in self.shares.items()]
        rough = [f"With {count(n)} points this is a rough guide."] if n < SURE_POINTS else []
        return Figure(
            name=name,
            title=f"Importance of the parameters of {self.arm.name}",
            alt=f"Bar chart. Share of the importance: {names(listed)}.",
            drawing=drawing(
                bars,
                {
                    "xaxis": {
                        "title": {"text": "share of the importance"},
                        "range": [0, 1.15 * max(self.shares.values())],
                    },
                    "yaxis": {"automargin": True, "categoryorder": "total ascending"},
                    "showlegend": False,
                },
                hover="%{y}: %{x}",
            ),
            height=110 + 32 * len(self.shares),
            notes=(
                f"PED-ANOVA as Optuna computes it, from n = {count(n)} COMPLETE points: how far the best"
                f" {share(self._quantile)} of them differ from all, parameter by parameter; the shares add up to 1.",
                *rough,
                *self.whole.notes,
            ),
            table=self._table(),
        )

    @cached_property
    def whole(self) -> StudyCopy:
        """All COMPLETE points, or as many of them as are studied."""
        return StudyCopy(self.arm, MOST_STUDIED, is_complete=True)

    @property
    def _quantile(self) -> float:
        """The share of the points that count as good: a tenth, or as many as hold five points."""
        return max(0.1, min(0.5, 5 / max(1, len(self.whole.complete))))

    @property
    def _evaluator(self) -> optuna.importance.PedAnovaImportanceEvaluator:
        import optuna

        return optuna.importance.PedAnovaImportanceEvaluator(target_quantile=self._quantile)

    @cached_property
    def varied(self) -> list[str]:
        """Parameters with more than one value on COMPLETE points, in the order of the space."""
        return [d.name for d in self.arm.arm.space if num_values(self.whole.complete, d.name) > 1]

    def _table(self) -> Table:
        best = self.arm.leader.params if self.arm.leader is not None else {}
        kinds = {dimension.name: str(dimension) for dimension in self.arm.arm.space}
        rows = []
        for name, part in self.shares.items():
            value = parameter(best[name]) if name in best else None
            rows.append((Cell(value=name), Cell(value=part), Cell(value=kinds[name]), Cell(value=value)))
        columns = (
            Column(key="parameter", title="parameter"),
            Column(key="importance", title="importance", kind="number"),
            Column(key="searched", title="searched"),
            Column(key="best", title="of the best point"),
        )
        title = f"Importance of the parameters of {self.arm.name}"
        return Table(name="importance", title=title, columns=columns, rows=tuple(rows))


def num_values(trials: tuple[optuna.trial.FrozenTrial, ...], name: str) -> int:
    """How many values a parameter has in them."""
    return len({str(trial.params[name]) for trial in trials if name in trial.params})
