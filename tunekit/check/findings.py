"""What a check finds, as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from tunekit.check.reading import Reading
from tunekit.sweep import Arm, Sweep


@dataclass(frozen=True, kw_only=True)
class Span:
    """The least and the most of something over the corners of a space."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float]) -> Self:
        """The span of `values`, at least one."""
        found = list(values)
        return cls(low=min(found), high=max(found))

    def __mul__(self, factor: float) -> Span:
        return Span(low=self.low * factor, high=self.high * factor)

    def __add__(self, other: Span) -> Span:
        return Span(low=self.low + other.low, high=self.high + other.high)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How fast a trial computes."""

    flops_per_s: float
    """Sustained, of one trial with the sweep's `resources`."""
    basis: str
    """Where the number comes from, as the end of a sentence."""


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """The data of one task, read and found whole, or what stands for them."""

    kind: str
    metric: str
    labels: tuple[str, ...]
    num_train_examples: int
    num_dev_examples: int
    """In the language, or languages, whose dev score selects."""
    num_test_examples: Mapping[str, int]
    """By language, the source first."""
    absence: str | None = None
    """Why nothing could be read; the sizes are then the documented ones."""


@dataclass(frozen=True, kw_only=True)
class ArmCheck:
    """What one arm would run. Spans are over the corners of its space."""

    arm: Arm
    data: DataCheck
    num_points: int
    num_search_trials: int
    """Points times seeds times draws."""
    num_final_trials: int
    """Trials scored on test, at most: top points times the seeds and draws of finalise, and all that a race may add."""
    num_backbone_parameters: int
    num_trainable: Span
    trainable_share: Span
    """As a fraction of the backbone's parameters."""
    num_updates: Span
    """Of the optimiser, in one trial that is not stopped early; those on a side task included."""
    num_side_updates: Span
    """Those of them on data of the method's own, such as parallel text."""
    trial_flops: Span
    """Training and dev evaluation of one trial that is not stopped early."""
    trial_hours: Span
    search_hours: Span
    """All search trials, none stopped early."""
    final_hours: Span
    """Training on the seeds and draws of finalise that the search has not seen, and scoring test. Of a race: the least
    is that it ends at once, the most that all points run on all its seeds."""
    rate: Rate
    tokens_basis: str
    """How tokens were counted, as the end of a sentence."""
    shape_basis: str
    """Where the backbone's shape comes from, as the end of a sentence."""
    notes: tuple[str, ...] = ()
    pack_keys: frozenset[str | None] = frozenset({None})
    """What its trials have in common with those that they may be packed with; None for those that run alone."""
    update_tokens: Span = Span(low=0.0, high=0.0)
    """Mean tokens of a trial's update, its prompt included."""

    @property
    def hours(self) -> Span:
        """Search and finalising together."""
        return self.search_hours + self.final_hours


@dataclass(frozen=True, kw_only=True)
class SweepCheck:
    """What a whole sweep would run. That it exists means that nothing was found wrong in what could be read."""

    sweep: Sweep
    arms: tuple[ArmCheck, ...]
    readings: tuple[Reading, ...] = ()
    """What was read, each place once; none of what is not on this machine."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and not wrong."""
    free_bytes: int | None = None
    """Where the sweep is to be kept; None if that was not asked, or cannot be told."""

    @property
    def lacks_data(self) -> bool:
        """Whether data of some arm could not be read."""
        return any(arm.data.absence is not None for arm in self.arms)

    @property
    def num_search_trials(self) -> int:
        """Over all arms."""
        return sum(arm.num_search_trials for arm in self.arms)

    @property
    def num_final_trials(self) -> int:
        """Over all arms."""
        return sum(arm.num_final_trials for arm in self.arms)

    @property
    def search_hours(self) -> Span:
        """Hours of all search trials, one after the other, none stopped early."""
        return _sum(arm.search_hours for arm in self.arms)

    @property
    def final_hours(self) -> Span:
        """Hours of finalising, one trial after the other."""
        return _sum(arm.final_hours for arm in self.arms)


def _sum(spans: Iterable[Span]) -> Span:
    total = Span(low=0.0, high=0.0)
    for span in spans:
        total = total + span
    return total
