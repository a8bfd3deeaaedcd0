"""How many trials a worker packs together. Pure functions and one small object without torch.

On a CPU the number follows from the shapes alone, so that the same sweep packs the same trials: a joint update that
fills the processor's caches with work is fast, and a larger one is no faster. On a GPU it is found by trial: from
`FIRST` members on the pack is doubled, as long as that makes it faster and memory suffices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

PackSetting = int | Literal["auto", "off"]
"""What ``resources: {pack: ...}`` says."""

TARGET_TOKENS = 2048
"""On a CPU: padded tokens of a joint update that a pack is filled up to."""
MOST_ON_CPU = 8
FIRST_ON_GPU, MOST_ON_GPU = 4, 64
GAIN = 1.05
"""A larger pack must compute so many times the tokens per second of the smaller one, else it is not worth it."""
MEMORY_SHARE = 0.85
"""Of the memory that the worker may take; no pack grows beyond."""
NUM_MEASURED = 16
"""Joint updates of a full pack that are measured before it grows; the first few of a size are not representative."""
NUM_SKIPPED = 4
"""Of a size, the joint updates that are not measured: kernels are chosen and memory is asked for then."""


@dataclass
class _Measured:
    """What is known of packs of one size."""

    num_seen: int = 0
    num_tokens: float = 0.0
    seconds: float = 0.0
    memory: float = 0.0
    """Highest part of the memory that the worker may take."""

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def is_known(self) -> bool:
        return self.num_seen >= NUM_SKIPPED + NUM_MEASURED


@dataclass
class PackSize:
    """How many members a pack may have now.

    Mutated by :meth:`observe` and :meth:`ran_out_of_memory`, which have an effect on a GPU with ``auto`` alone; an end
    of the memory also halves a given number.
    """

    setting: PackSetting
    """Of the sweep: ``auto``, a number of trials, or ``off``."""
    on_gpu: bool = False
    _limit: int = field(init=False)
    _ceiling: int = field(init=False)
    _measured: defaultdict[int, _Measured] = field(init=False, default_factory=lambda: defaultdict(_Measured))

    def __post_init__(self) -> None:
        if self.setting == "auto":
            self._ceiling = MOST_ON_GPU if self.on_gpu else MOST_ON_CPU
            self._limit = FIRST_ON_GPU if self.on_gpu else MOST_ON_CPU
        else:
            self._limit = self._ceiling = 1 if self.setting == "off" else self.setting

    @property
    def is_measured(self) -> bool:
        """Whether :meth:`observe` is of use."""
        return self.setting == "auto" and self.on_gpu

    def limit(self, tokens: Sequence[float] = ()) -> int:
        """At most so many members, at least 1.

        Args:
            tokens: mean padded tokens of an update of each member now (:func:`tokens_of_update`); of effect on a CPU
                with ``auto``.
        """
        if self.setting != "auto" or self.on_gpu or not tokens:
            return self._limit
        return max(1, min(self._limit, fill(tokens)))

    def observe(self, *, num_members: int, num_tokens: int, seconds: float, peak_memory_fraction: float) -> None:
        """Take in how a joint update went.

        Args:
            num_members: whose rows it computed.
            num_tokens: padded tokens that it computed.
            seconds: it took, the device's work included.
            peak_memory_fraction: the highest part that was in use of the memory that this worker may take: of the
                device's, or of its share where several workers share one. Usually 0 to 1.
        """
        if not self.is_measured:
            return
        found = self._measured[num_members]
        found.num_seen += 1
        found.memory = max(found.memory, peak_memory_fraction)
        if found.num_seen > NUM_SKIPPED:
            found.num_tokens += num_tokens
            found.seconds += seconds
        if num_members == self._limit and found.is_known:
            self._decide(found)

    def _decide(self, found: _Measured) -> None:
        """The pack is full and measured: double it, leave it, or go back to the half of it."""
        smaller = self._measured.get(self._limit // 2)
        if smaller is not None and smaller.is_known and found.tokens_per_s < GAIN * smaller.tokens_per_s:
            self._limit = self._ceiling = self._limit // 2
            return
        doubled = min(2 * self._limit, self._ceiling)
        if doubled > self._limit and self._memory_at(doubled) < MEMORY_SHARE:
            self._limit = doubled

    def _memory_at(self, num_members: int) -> float:
        """Share of the memory that so many members would take: on the line through the two largest measured packs.

        With one measured alone, what it took: weights of the backbone are most of that, and no member adds to them.
        """
        known = sorted((size, found.memory) for size, found in self._measured.items() if found.is_known)[-2:]
        (smaller, before), (larger, now) = known[0], known[-1]
        slope = max(0.0, (now - before) / (larger - smaller)) if larger > smaller else 0.0
        return now + slope * (num_members - larger)

    def ran_out_of_memory(self, num_members: int) -> None:
        """The memory did not suffice for so many members: from now on it is at most half as many."""
        self._limit = self._ceiling = max(1, min(self._limit, num_members // 2))


def fill(tokens: Sequence[float]) -> int:
    """How many members like those bring a joint update to `TARGET_TOKENS`, rounded; at least 1.

    >>> fill([256.0]), fill([256.0, 512.0]), fill([4096.0])
    (8, 5, 1)
    """
    mean = sum(tokens) / len(tokens)
    return max(1, round(TARGET_TOKENS / max(mean, 1.0)))


def tokens_of_update(*, batch_size: int, num_tokens: int, num_rows: int, prompt_length: int = 0) -> float:
    """Mean tokens of a trial's update.

    Args:
        batch_size: rows of an update.
        num_tokens: of all rows of train, without the prompt.
        num_rows: rows of train.
        prompt_length: positions before each row.
    """
    return batch_size * (num_tokens / max(1, num_rows) + prompt_length)
