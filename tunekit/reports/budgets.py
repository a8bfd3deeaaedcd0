"""What the search of each arm was given, and where arms were given unequal amounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunekit.reports.results import Comparison
from tunekit.reports.tables import Kind
from tunekit.wording import count, duration

ALIKE = 1.1
"""Budgets that differ by less than this factor are called equal; wall time always differs a little."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One kind of effort, by arm."""

    key: str
    title: str
    kind: Kind
    values: Mapping[str, float | None]
    """By the arm's name; None where trials did not say."""
    allowed: float
    """The factor up to which two arms have equal ones."""

    @property
    def known(self) -> dict[str, float]:
        """Those that were said."""
        return {name: value for name, value in self.values.items() if value is not None}

    @property
    def factor(self) -> float | None:
        """How many times the least the most is; None if the least is nothing."""
        least, most = min(self.known.values()), max(self.known.values())
        return most / least if least else None

    @property
    def is_unequal(self) -> bool:
        """Whether some arm got more than another."""
        found = self.known.values()
        return len(found) > 1 and max(found) > self.allowed * min(found)

    def written(self, arm: str) -> str:
        """What an arm got, for people."""
        value = self.values[arm]
        return duration(value) if self.kind == "duration" and value is not None else count(value)


def budgets(comparison: Comparison) -> tuple[Budget, ...]:
    """Trials, updates and time of the search, stopped and failed trials included."""
    arms = comparison.arms
    trials = {arm.name: len(arm.searched) for arm in arms}
    updates = {arm.name: arm.num_updates("search") for arm in arms}
    time = {arm.name: arm.duration_s("search") for arm in arms}
    return (
        Budget(key="search_trials", title="search trials", kind="count", values=trials, allowed=1.0),
        Budget(key="search_updates", title="search updates", kind="count", values=updates, allowed=ALIKE),
        Budget(key="search_s", title="search time", kind="duration", values=time, allowed=ALIKE),
    )


def unequal_budgets(comparison: Comparison) -> tuple[Budget, ...]:
    """Those in which arms differ."""
    return tuple(budget for budget in budgets(comparison) if budget.is_unequal)
