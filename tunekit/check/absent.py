"""Stand-ins for data that are not on this machine, so that all the rest of a sweep can still be checked.

A stand-in has the task's labels, languages and sizes, and sentences of the usual length without any meaning.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from tunekit import tasks
from tunekit.tasks import Example, PairExample, ParallelPair, ParallelText, Split, Task, TokenExample
from tunekit.tasks.readers.sources import DataAbsent
from tunekit.trial import Locations, TaskConfig


@dataclass(frozen=True)
class Sizes:
    """How much a task has, as far as it is documented."""

    train: int
    dev: int
    test: int
    """In English; every language is taken to have as many."""
    words: int
    """Of a sentence, or of both texts of a pair, in English."""


SIZES = {
    "xnli": Sizes(train=392_702, dev=2_490, test=5_010, words=29),
    "pawsx": Sizes(train=49_401, dev=2_000, test=2_000, words=43),
    "panx": Sizes(train=20_000, dev=10_000, test=10_000, words=8),
    "udpos": Sizes(train=21_253, dev=3_974, test=5_440, words=18),
}
"""Train and dev as XTREME counts them (Hu et al. 2020, table 1); test likewise, udpos's being that of its English
treebanks; words are the mean, counted in train (panx, udpos) and dev (MultiNLI's for xnli, pawsx)."""
PARALLEL_PAIRS = 1
"""Pairs of parallel text that stand for a whole corpus, where no number is asked for; a check needs no more."""
SHARE_DRAWN = 10
"""A few-shot draw is made from this many times as many examples."""


def has_stand_in(config: TaskConfig) -> bool:
    """Whether the sizes of the task are documented."""
    return config.kind is None and config.name in SIZES


def stand_in(config: TaskConfig, locations: Locations) -> Task:
    """A task like the one that `config` names, without its data; it must have a stand-in.

    Languages are the hub's, or any where the data are in a folder that is not there.
    """
    known = tasks.load(dataclasses.replace(config, draw="sampled"), Locations())
    reader = _Reader(config, known.kind == "pair", known.labels, SIZES[config.name])
    return known.reading(reader.read, any_language=locations.data_dir is not None)


@dataclass(frozen=True)
class _Reader:
    config: TaskConfig
    is_pair: bool
    labels: tuple[str, ...]
    sizes: Sizes

    def read(self, split: Split, language: str) -> Sequence[Example]:
        """As many examples as the split has, few of them different."""
        size: int = getattr(self.sizes, split)
        if self.config.shots is not None and split != "test":
            size = min(size, self.config.shots * len(self.labels) * SHARE_DRAWN)
        examples = [self._example(index) for index in range(len(self.labels))]
        return [examples[index % len(examples)] for index in range(size)]

    def _example(self, index: int) -> Example:
        words = ("word",) * self.sizes.words
        if self.is_pair:
            middle = 2 * len(words) // 3
            return PairExample(" ".join(words[:middle]), " ".join(words[middle:]), self.labels[index])
        labels = tuple(self.labels[(index + place) % len(self.labels)] for place in range(len(words)))
        return TokenExample(words, labels)


class LenientParallelText(ParallelText):
    """Parallel text, or where it is not on this machine a pair that stands for it.

    Args:
        config: as of `ParallelText`.
        locations: as of `ParallelText`.
        absences: gets, for each corpus that is not here, the reason.
    """

    def __init__(self, config: TaskConfig, locations: Locations, absences: dict[str, str]) -> None:
        super().__init__(config, locations)
        self._absences = absences

    def pairs(self, corpus: str, language: str, size: int | None = None) -> tuple[ParallelPair, ...]:
        """As `ParallelText.pairs`; a corpus that was once found absent is not looked for again."""
        if corpus not in self._absences:
            try:
                return super().pairs(corpus, language, size)
            except DataAbsent as error:
                self._absences[corpus] = str(error)
        return _stand_ins(PARALLEL_PAIRS if size is None else size)


@functools.lru_cache(maxsize=16)
def _stand_ins(number: int) -> tuple[ParallelPair, ...]:
    """As many different pairs; kept, since every corner of every arm asks for them in every language."""
    texts = [(f"word {place}", "word") for place in range(number)]
    return tuple(map(ParallelPair, texts, texts))
