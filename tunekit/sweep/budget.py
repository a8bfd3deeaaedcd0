"""What a sweep may spend: its limits, the part kept for finalising, and what is left of them. Pure functions.

Spending is what trials report: seconds of their epochs (training and dev evaluation) and of their test. Each arm has an
equal share of every limit, for its search and its finalising together, and no arm gets what another leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tunekit.errors import require

MOST_RESERVED = 0.5
"""A reserve that is estimated takes no larger part of the budget than this, so that there is a search at all."""


@dataclass(frozen=True)
class Spent:
    """What some trials have used."""

    worker_s: float = 0.0
    """Seconds of a worker."""
    gpu_s: float = 0.0
    """The same, each times the GPUs that a trial took then."""

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.worker_s + other.worker_s, self.gpu_s + other.gpu_s)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What an hour of a worker uses up."""

    gpu: float
    """GPU-hours."""
    money: float


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit of a budget, in its own unit."""

    unit: str
    total: float
    """For the whole sweep."""
    used: float
    per_hour: float
    """What an hour of a worker uses up."""

    def left_s(self, *, part: float) -> float:
        """Seconds of a worker until `part` of the total is used up; not more than 0 if it is."""
        left = self.total * part - self.used
        if not self.per_hour:  # only where the resources were changed since
            return math.inf if left > 0 else 0.0
        return 3600 * left / self.per_hour

    def __str__(self) -> str:
        return f"{self.used:,.{decimals(self.total)}f} of {self.total:,g} {self.unit}"


def decimals(total: float) -> int:
    """How many decimals show what is used of `total`: one, or as many as give a small total three digits."""
    return 1 if total >= 1 else 2 - math.floor(math.log10(total))


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """A ceiling over all arms, divided equally among them; None is no ceiling."""

    trials: int | None = None
    """Search trials, replicates counted."""
    hours: float | None = None
    """Hours of workers: training, dev evaluation and test, summed over trials."""
    gpu_hours: float | None = None
    """The same, each times ``resources.gpu``."""
    money: float | None = None
    """In the currency of the prices."""
    price_per_gpu_hour: float | None = None
    """Of one GPU."""
    price_per_hour: float | None = None
    """Of a worker, beside its GPUs."""
    reserve: float | None = None
    """The part of hours, gpu_hours and money that the search leaves to finalising; None: as much as finalising will
    take by the trials so far, at most half."""
    reserve_hours: float | None = None
    """The same as an amount: hours of workers, over all arms."""

    def __post_init__(self) -> None:
        require(self.trials is None or self.trials >= 1, "trials", self.trials, "at least 1")
        for key in ("hours", "gpu_hours", "money"):
            value = getattr(self, key)
            require(value is None or value > 0, key, value, "greater than 0")
        for key in ("price_per_gpu_hour", "price_per_hour", "reserve_hours"):
            value = getattr(self, key)
            require(value is None or value >= 0, key, value, "0 or more")
        reserve = self.reserve
        require(reserve is None or 0 <= reserve < 1, "reserve", reserve, "a part of the budget: 0 or more, less than 1")
        has_price = bool(self.price_per_gpu_hour or self.price_per_hour)
        needs = "given with price_per_gpu_hour or price_per_hour, greater than 0"
        require(self.money is None or has_price, "money", self.money, needs)
        for key in ("reserve", "reserve_hours"):
            value = getattr(self, key)
            require(value is None or self.is_timed, key, value, "given with hours, gpu_hours or money")
        both = reserve is not None and self.reserve_hours is not None
        require(not both, "reserve", reserve, "left out where reserve_hours is given")

    @property
    def is_timed(self) -> bool:
        """Whether anything but the number of trials is limited."""
        return any(value is not None for value in (self.hours, self.gpu_hours, self.money))

    def rates(self, gpu: float) -> Rates:
        """What an hour of a worker uses up whose trials take `gpu` GPUs."""
        return Rates(gpu=gpu, money=self.price(Spent(3600.0, 3600.0 * gpu)))

    def price(self, spent: Spent) -> float:
        """What `spent` costs."""
        return (spent.worker_s * (self.price_per_hour or 0) + spent.gpu_s * (self.price_per_gpu_hour or 0)) / 3600

    def limits(self, spent: Spent, rates: Rates) -> Iterator[Limit]:
        """Each limit of time or money, with what `spent` has used of it."""
        if self.hours is not None:
            yield Limit(unit="worker-hours", total=self.hours, used=spent.worker_s / 3600, per_hour=1.0)
        if self.gpu_hours is not None:
            yield Limit(unit="GPU-hours", total=self.gpu_hours, used=spent.gpu_s / 3600, per_hour=rates.gpu)
        if self.money is not None:
            yield Limit(unit="of money", total=self.money, used=self.price(spent), per_hour=rates.money)

    def left_s(self, spent: Spent, rates: Rates, *, part: float) -> float:
        """Seconds of a worker that are left of a `part` of the budget, by its tightest limit; infinite without one.

        Args:
            spent: by whoever has the part.
            rates: of a worker now.
            part: of the whole, such as 1 / number of arms.
        """
        return min((limit.left_s(part=part) for limit in self.limits(spent, rates)), default=math.inf)

    def search_left_s(self, spent: Spent, rates: Rates, *, num_arms: int, finalising_s: float) -> float:
        """Seconds of a worker that the search of an arm may still spend, the reserve left out.

        Args:
            spent: by the arm's search.
            rates: of a worker now.
            num_arms: that share the budget.
            finalising_s: what finalising the arm will take, estimated; counts where the file gives no reserve.
        """
        if self.reserve is not None:
            return self.left_s(spent, rates, part=(1 - self.reserve) / num_arms)
        left_s = self.left_s(spent, rates, part=1 / num_arms)
        if self.reserve_hours is not None:
            return left_s - 3600 * self.reserve_hours / num_arms
        half_s = self.left_s(spent, rates, part=(1 - MOST_RESERVED) / num_arms)
        return max(left_s - finalising_s, half_s)
