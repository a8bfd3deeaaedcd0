"""`finalise`: which points are brought to an end, on which seeds, and how they race for further ones."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice

from tunekit.errors import require

NUM_SEEDS = 2**32
SEED_RANGE = f"whole numbers from 0 to {NUM_SEEDS - 1}"


def is_seed(value: float) -> bool:
    """Whether every random generator takes `value` as its seed (numpy's takes the least)."""
    return 0 <= value < NUM_SEEDS


@dataclass(frozen=True, kw_only=True)
class RaceConfig:
    """When the points that are finalised need more seeds than all of them have run on."""

    max_seeds: int
    """Seeds that a point runs on at most in the race; more than `finalise.seeds` has."""
    delta: float = 0.005
    """How much worse than the best point the winner may be: a fraction in the unit of the score."""
    confidence: float = 0.95
    """The race is over once the chance that another point is better by more than delta is less than 1 - confidence."""

    def __post_init__(self) -> None:
        right = "a fraction of the score, 0 or more and less than 1 (0.005 is half a point of 100)"
        require(0 <= self.delta < 1, "delta", self.delta, right)
        require(0.5 < self.confidence < 1, "confidence", self.confidence, "between 0.5 and 1")


@dataclass(frozen=True, kw_only=True)
class FinaliseConfig:
    """The last act: the best points of each arm on all seeds, then test, once."""

    top: int = 1
    """Points an arm, chosen by dev score."""
    seeds: tuple[int, ...] = (10, 42, 421)
    draws: tuple[int, ...] | None = None
    """Each of these seeds runs on each of these draws; None: the sweep's own `draws`."""
    race: RaceConfig | None = None
    """How the points race for further seeds; None: each runs on `seeds` alone."""

    def __post_init__(self) -> None:
        require(self.top >= 0, "top", self.top, "0 (no finalising) or more")
        require(len(self.seeds) >= 1, "seeds", self.seeds, "at least one seed")
        require(len(set(self.seeds)) == len(self.seeds), "seeds", self.seeds, "seeds without repetition")
        require(all(map(is_seed, self.seeds)), "seeds", self.seeds, SEED_RANGE)
        draws = self.draws
        require(draws is None or len(draws) >= 1, "draws", draws, "at least one draw, or left out")
        require(len(set(draws or ())) == len(draws or ()), "draws", draws, "draws without repetition")
        if self.race is None:
            return
        require(self.top >= 2, "top", self.top, "at least 2 where points race; leave `race` out for one point")
        number, right = len(self.seeds), f"more than the {len(self.seeds)} in finalise.seeds, which every point runs on"
        require(self.race.max_seeds > number, "race.max_seeds", self.race.max_seeds, right)

    @property
    def num_confirming(self) -> int:
        """New seeds that the winner of a race runs on at its end."""
        return len(self.seeds) if self.race is not None else 0

    @property
    def num_seeds(self) -> int:
        """Seeds that one point may come to run on."""
        return self.race.max_seeds + self.num_confirming if self.race is not None else len(self.seeds)

    def seeds_in_order(self, searched: Container[int]) -> tuple[int, ...]:
        """All seeds that a point may come to run on: the listed ones, then for a race the next whole numbers.

        Args:
            searched: seeds of the search, which are no new ones.
        """
        return (*self.seeds, *islice(self._next_seeds(searched), self.num_seeds - len(self.seeds)))

    def _next_seeds(self, searched: Container[int]) -> Iterator[int]:
        """The whole numbers after the largest listed one; after the last that is a seed comes 0."""
        seed = max(self.seeds)
        while True:
            seed = (seed + 1) % NUM_SEEDS
            if seed not in self.seeds and seed not in searched:
                yield seed
