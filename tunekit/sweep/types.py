"""What to search: arms, their spaces, one budget. Plain data, which a journal keeps and a report reads.

A :class:`Sweep` is a checked sweep file (:mod:`tunekit.sweep.reader` reads one, :mod:`tunekit.sweep.parameters` makes
trials of it). No method's code is needed here, and so neither torch nor Ray.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from tunekit.errors import ConfigError, nearest, require
from tunekit.schema import JsonObject, Values, to_json
from tunekit.sweep.budget import BudgetConfig, Rates
from tunekit.sweep.dimensions import Dimension, points_of, space_size
from tunekit.sweep.finalise import FinaliseConfig
from tunekit.sweep.source import Source
from tunekit.sweep.trackers import TrackingConfig
from tunekit.trial import TOKENS_PER_STEP, BackboneConfig, Locations, Replicate, TaskConfig
from tunekit.wording import plural

Selection = Literal["source_dev", "target_dev"]
"""What the search maximises."""

MIN_HANG_S = 60
"""A worker cannot be taken for hung sooner: it shows its progress every ten seconds or so."""


def crossed(seeds: Sequence[int], draws: Sequence[int | None]) -> tuple[Replicate, ...]:
    """Every seed on every draw; all seeds of the first draw come first, since a worker keeps the data it has read."""
    return tuple(Replicate(seed, draw) for draw in draws for seed in seeds)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One method on one backbone and one task; its own study."""

    name: str
    method: str
    task: TaskConfig
    backbone: BackboneConfig
    locations: Locations
    fixed: Values
    space: tuple[Dimension, ...]
    """In an order in which every `when` refers back."""
    enqueue: tuple[Values, ...] = ()
    metric: str | None = None
    """The task's main metric; None until the task has been loaded, which a launch does."""

    @property
    def searches_seed(self) -> bool:
        """Whether the seed is drawn like any parameter."""
        return any(dimension.name == "seed" for dimension in self.space)

    @cached_property
    def size(self) -> float:
        """How many different points the space has, the seed among them if it is searched; may be infinite.

        A parameter counts where it is searched. Nothing is enumerated but the values that a `when` names.
        """
        return space_size(self.space)

    def grid(self) -> Iterator[JsonObject]:
        """Every point once, in a fixed order; inactive conditional parameters are left out.

        Raises:
            ConfigError: a float without `step` has no finite grid.
        """
        return points_of(self.space, {})

    def place(self, params: Values) -> tuple[tuple[str, object], ...]:
        """What two spellings of one point have in common; see `Dimension.place`."""
        return tuple((d.name, d.place(params[d.name])) for d in self.space if d.name in params)


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How points are drawn, for each arm alike."""

    searcher: Literal["tpe", "random", "grid", "qmc", "cmaes", "gp", "nsga2"] = "tpe"
    num_trials: int = 20
    """Points an arm."""
    seed: int = 0
    """Of the searcher; the same seed and history draw the same point."""

    def __post_init__(self) -> None:
        require(self.num_trials >= 1, "num_trials", self.num_trials, "at least 1")


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """When a trial is stopped early. All counts in epochs."""

    name: Literal["asha", "hyperband", "median", "none"] = "none"
    grace_period: int = 1
    """No trial is stopped before this epoch."""
    reduction_factor: int = 3
    """asha, hyperband: one in this many goes on at each rung."""
    min_trials: int = 3
    """median: how many other trials must have reported the epoch."""

    def __post_init__(self) -> None:
        require(self.grace_period >= 1, "grace_period", self.grace_period, "at least 1 epoch")
        require(self.reduction_factor >= 2, "reduction_factor", self.reduction_factor, "at least 2")
        require(self.min_trials >= 1, "min_trials", self.min_trials, "at least 1")


@dataclass(frozen=True, kw_only=True)
class ResourcesConfig:
    """What one trial takes. Never part of a trial's identity."""

    cpu: float = 1
    """Cores, and the number of torch threads (rounded up)."""
    gpu: float = 0
    """GPUs; a fraction shares one."""
    memory: int | None = None
    """Bytes of main memory that Ray reserves."""
    retries: int = 3
    """How often a trial whose worker died is taken up again from its last checkpoint."""
    hang_after: float | Literal["auto", "off"] = "auto"
    """Seconds without progress after which a worker is taken for hung and its process ended; auto: by the arm's own
    pace."""
    tokens_per_step: int = TOKENS_PER_STEP
    """Ceiling of padded tokens computed at once; larger batches are accumulated over several steps. With a frozen
    backbone it changes rounding only; a trained one draws other dropout masks."""
    pack: int | Literal["auto", "off"] = "auto"
    """Trials of a frozen backbone that one worker trains together, at most; auto: as many as are worth it."""

    def __post_init__(self) -> None:
        require(self.cpu > 0, "cpu", self.cpu, "greater than 0")
        whole = self.gpu <= 1 or float(self.gpu).is_integer()  # Ray shares one GPU, not several
        require(self.gpu >= 0 and whole, "gpu", self.gpu, "0 or more, and a whole number if more than 1")
        require(self.memory is None or self.memory > 0, "memory", self.memory, "greater than 0 bytes")
        require(self.retries >= 0, "retries", self.retries, "0 or more")
        right = f"auto, off, or at least {MIN_HANG_S} seconds, such as 30 min"
        require(_is_hang(self.hang_after), "hang_after", self.hang_after, right)
        require(self.tokens_per_step >= 1, "tokens_per_step", self.tokens_per_step, "at least 1")
        require(_is_pack(self.pack), "pack", self.pack, "auto, off, or a whole number of trials, at least 1")


def _is_hang(value: object) -> bool:
    """Whether ``resources.hang_after`` may be `value`."""
    if isinstance(value, str):
        return value in ("auto", "off")
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= MIN_HANG_S


def _is_pack(value: object) -> bool:
    """Whether ``resources.pack`` may be `value`; a truth value is a whole number to Python alone."""
    if isinstance(value, str):
        return value in ("auto", "off")
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """What is kept on the disk of trials that are over. Never part of a trial's identity."""

    keep: Literal["top", "all", "none"] = "top"
    """Whose trained parameters: of the trials that finalising needs or has scored, of all trials, or of none once
    nothing needs them. What a trial that may go on needs is always kept, and nothing of a frozen backbone ever."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published figure that stands beside ours in reports. It is no result of this sweep, and decides nothing."""

    method: str
    """As its publication calls it."""
    language: str
    metric: str
    split: Literal["dev", "test", "unknown"]
    value: float
    """A fraction in [0, 1]."""
    source: str
    """Where it was published."""
    task: str
    backbone: str | None = None
    spread: float | None = None
    """Sample standard deviation over the n runs, a fraction."""
    n: int | None = None
    """Runs that it is the mean of; None where that is not known."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One sweep file, checked."""

    name: str
    arms: tuple[Arm, ...]
    search: SearchConfig
    scheduler: SchedulerConfig
    seeds: tuple[int, ...]
    draws: tuple[int, ...] = ()
    """Seeds of the few-shot draws and samples that each point runs on; empty: one, the task's own."""
    finalise: FinaliseConfig
    resources: ResourcesConfig
    budget: BudgetConfig
    storage: StorageConfig = StorageConfig()
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    selection: Literal["source_dev", "target_dev"]
    protocol: str | None = None
    """Which of the file's protocols this is; None where it has none."""
    references: tuple[Reference, ...] = ()
    """Published figures, read from the files that the sweep file names. They may change between launches."""
    definition: Values
    """The file's content, overrides applied and paths absolute, variables in them kept; read again it gives this."""
    source: Source = field(default=Source("sweep"), compare=False, repr=False)
    """Where it was read from, for messages."""

    def arm(self, name: str) -> Arm:
        """The arm called `name`.

        Raises:
            ConfigError: there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ConfigError(f"sweep {self.name!r} has no arm {name!r}; {nearest(name, [arm.name for arm in self.arms])}")

    @property
    def final_draws(self) -> tuple[int, ...]:
        """The draws that finalising runs on; empty: one, the task's own."""
        return self.finalise.draws or self.draws

    def replicates(self, arm: Arm) -> tuple[Replicate, ...]:
        """What every point of `arm` runs on in the search, the first one first."""
        return crossed(self.seeds, self.draws or (arm.task.draw_seed,))

    def final_replicates(self, arm: Arm) -> tuple[Replicate, ...]:
        """What all of the best points of `arm` run on when they are finalised; in a race, some run on more."""
        return self.on_final_draws(arm, self.finalise.seeds)

    def on_final_draws(self, arm: Arm, seeds: Sequence[int]) -> tuple[Replicate, ...]:
        """Each of `seeds` on each draw that finalising runs on."""
        return crossed(seeds, self.final_draws or (arm.task.draw_seed,))

    @property
    def final_seeds(self) -> tuple[int, ...]:
        """The seeds that a finalised point may come to run on, in their order."""
        return self.finalise.seeds_in_order(self.seeds)

    def num_finals_anew(self, arm: Arm) -> int:
        """Trials of a finalised point that its search has not run; all of them, at most, where it searches the seed."""
        searched = () if arm.searches_seed else self.replicates(arm)
        return len(set(self.final_replicates(arm)) - set(searched))

    def num_raced(self, num_points: int) -> int:
        """Trials that a race of so many points adds at most to what all of them run on, confirmation included."""
        race, num_first = self.finalise.race, len(self.finalise.seeds)
        if race is None or not num_points:
            return 0
        return num_points * (race.max_seeds - num_first) * max(1, len(self.final_draws)) + self.num_confirming

    @property
    def num_confirming(self) -> int:
        """Trials of the winner of a race on new seeds."""
        return self.finalise.num_confirming * max(1, len(self.final_draws))

    def num_replicates(self, arm: Arm) -> int:
        """Trials of a point in the search."""
        return max(1, len(self.draws)) * (1 if arm.searches_seed else len(self.seeds))

    def num_points(self, arm: Arm) -> int:
        """Points that the search draws for `arm`: `num_trials`, or as many as its space has."""
        return int(min(self.search.num_trials, arm.size))

    @property
    def rates(self) -> Rates:
        """What an hour of one of its workers costs now."""
        return self.budget.rates(self.resources.gpu)

    def points_in_words(self) -> str:
        """How many points each arm draws, and why not more."""
        few = {arm.name: found for arm in self.arms if (found := self.num_points(arm)) < self.search.num_trials}
        if not few:
            return f"{plural(self.search.num_trials, 'point')} per arm"
        if len(few) == len(self.arms) and len(set(few.values())) == 1:
            return f"{plural(next(iter(few.values())), 'point')} per arm (the space has no more)"
        listed = ", ".join(f"{name} {plural(number, 'point')}" for name, number in few.items())
        rest = "" if len(few) == len(self.arms) else f"{plural(self.search.num_trials, 'point')} per arm, but "
        return f"{rest}{listed} ({'its space has' if len(few) == 1 else 'their spaces have'} no more)"

    def identity(self) -> JsonObject:
        """What may not change between launches: everything that decides which trials are run and how they score."""
        arms = {
            arm.name: {**to_json(dataclasses.replace(arm, locations=Locations(), metric=None)), "locations": None}
            for arm in self.arms
        }
        search = {"searcher": self.search.searcher, "seed": self.search.seed}
        return {
            "arms": arms,
            "search": search,
            "scheduler": to_json(self.scheduler),
            "seeds": list(self.seeds),
            "draws": list(self.draws),
            "selection": self.selection,
        }
