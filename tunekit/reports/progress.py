"""How far a sweep is, as its journal tells: what the search and the finalising have done and still lack."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.journal.points import missing_seed
from tunekit.reports.results import ArmResult, SweepResult


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one arm is."""

    num_points: int
    """Points that the search has drawn."""
    num_points_asked: int
    is_search_open: bool
    """Whether the search has trials to run or to draw."""
    num_final: int
    """Trials of the finalised points that are over: scored on test, or failed."""
    num_final_asked: int
    """0 until the search is over, since the points are not known before."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.is_search_open and self.num_final == self.num_final_asked


def progress(result: SweepResult, arm: ArmResult) -> Progress:
    """How far `arm` is. Finalising begins when the search of every arm is over."""
    is_over = not any(_is_search_open(result, other) for other in result.arms)
    finals = [trial for _, _, trial in arm.finals]
    return Progress(
        num_points=_num_points(arm),
        num_points_asked=arm.num_points_asked,
        is_search_open=_is_search_open(result, arm),
        num_final=sum(t is not None and (t.state in ("FAILED", "PRUNED") or t.test_scores is not None) for t in finals),
        num_final_asked=len(finals) if is_over else 0,
    )


def is_finished(result: SweepResult) -> bool:
    """Whether the sweep has nothing left to do; one without a single trial has."""
    return bool(result.arms) and all(progress(result, arm).is_done for arm in result.arms)


def _num_points(arm: ArmResult) -> int:
    return len({trial.number for trial in arm.searched})


def _is_search_open(result: SweepResult, arm: ArmResult) -> bool:
    if any(trial.state == "RUNNING" for trial in arm.searched):
        return True
    seeds = result.definition.seeds
    return _may_draw(result, arm) or any(missing_seed(point, seeds) is not None for point in arm.points)


def _may_draw(result: SweepResult, arm: ArmResult) -> bool:
    """Whether the arm may draw another point within the points asked for and its share of the budget."""
    if _num_points(arm) >= arm.num_points_asked:
        return False
    spent_s = arm.duration_s("search")
    budget = result.definition.budget
    return budget.allows(num_trials=len(arm.searched), duration_s=spent_s, num_arms=len(result.arms))
