"""Tasks of the toy world: ``toy_tagging`` (a tag for each word), ``toy_pair`` (does a text follow?), and text.

Nothing is downloaded or read: examples are generated, always the same ones. A split holds the same meanings in every
language, as XNLI does, and no meaning is in two splits or in the text that backbones are pretrained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from tunekit.errors import ConfigError, nearest
from tunekit.tasks.corpora import CorpusRows, require_text
from tunekit.tasks.examples import Example, PairExample, Split, TokenExample
from tunekit.tasks.keys import refuse_own_keys
from tunekit.tasks.readers.parsed import ReadingNotes
from tunekit.tasks.task import Task
from tunekit.toy import world as toy_world
from tunekit.trial import Locations, TaskConfig

NUM_SENTENCES: dict[Split, int] = {"train": 600, "dev": 200, "test": 300}
"""Sentences of ``toy_tagging`` in every language."""
NUM_PAIRS: dict[Split, int] = {"train": 600, "dev": 210, "test": 300}
"""Pairs of ``toy_pair`` in every language, a third for each label."""
NUM_PARALLEL_PAIRS = 600
"""Pairs of the parallel corpus ``toy``."""

Render = Callable[[Split, str], Iterator[Example]]
"""``(split, language) -> examples``."""


def load_tagging(config: TaskConfig, locations: Locations) -> Task:
    """Toy world: one of 12 parts of speech for each word of a generated language; accuracy over words."""
    source = _generated(config, locations, _Generated(_sentences))
    return Task.of(config, source, kind="token", labels=sorted(toy_world.TAGS), metric="accuracy")


def load_pair(config: TaskConfig, locations: Locations) -> Task:
    """Toy world: do two sentences of a generated language entail, contradict or neither? Accuracy over pairs."""
    source = _generated(config, locations, _Generated(_pairs))
    return Task.of(config, source, kind="pair", labels=sorted(toy_world.RELATIONS), metric="accuracy")


def parallel_text(languages: Sequence[str], num_texts: int) -> tuple[tuple[str, ...], ...]:
    """Unlabelled sentences that no split holds, each in all of `languages`.

    Gives ``num_texts`` rows with one text for each language.

    Raises:
        ConfigError: a language that the toy world does not have.
    """
    for language in languages:
        if language not in toy_world.LANGUAGES:
            raise ConfigError(f"unknown toy language {language!r}; {nearest(language, toy_world.LANGUAGES)}")
    meanings = islice(toy_world.meanings("text"), num_texts)
    return tuple(tuple(toy_world.text(meaning, language) for language in languages) for meaning in meanings)


def parallel_rows(config: TaskConfig, locations: Locations, language: str) -> CorpusRows:
    """The parallel corpus ``toy`` in a language: pairs of sentences that no split holds.

    Raises:
        ConfigError: a language that the toy world does not have.
    """
    require_text("toy", language, tuple(toy_world.LANGUAGES))
    texts = [(toy_world.text(a, language), toy_world.text(b, language)) for a, b, _ in _parallel_meanings()]
    return CorpusRows(f"toy world: text of {language!r}", texts)


@dataclass(frozen=True)
class _Generated:
    """A source of examples that are made when they are asked for."""

    render: Render

    def read(self, split: Split, language: str) -> Sequence[Example]:
        return tuple(self.render(split, language))

    def languages(self, split: Split) -> Sequence[str]:
        return tuple(toy_world.LANGUAGES)

    def place(self, split: Split, language: str) -> str:
        return f"toy world: {split} of {language!r}"

    def locate(self, split: Split, language: str, index: int, word: int) -> str:
        return f"{self.place(split, language)}, example {index}"

    def fingerprint(self, split: Split, language: str) -> None:
        """None: the examples are digested."""

    def reading(self, split: Split, language: str) -> ReadingNotes:
        return ReadingNotes(self.place(split, language))


def _generated(config: TaskConfig, locations: Locations, source: _Generated) -> _Generated:
    refuse_own_keys(config)
    if config.draw == "files":
        raise ConfigError(f"task: draw is 'files', but {config.name!r} is generated; draw: sampled is right")
    places = {"data_dir": locations.data_dir, "fewshot_dir": locations.fewshot_dir}
    if locations.parallel_dir is None:  # the only data of a generated task that lie somewhere
        places["data_name"] = config.data_name
    for key, value in places.items():
        if value is not None:
            raise ConfigError(f"task: {key} has no effect on {config.name!r}, which is generated; drop it")
    return source


def _sentences(split: Split, language: str) -> Iterator[Example]:
    for meaning in _meanings(split):
        words = toy_world.render(meaning, language)
        yield TokenExample(tuple(word.form for word in words), tuple(word.tag for word in words))


def _pairs(split: Split, language: str) -> Iterator[Example]:
    for premise, hypothesis, relation in _meanings_of_pairs(split):
        yield PairExample(toy_world.text(premise, language), toy_world.text(hypothesis, language), relation)


# Most of the time goes into drawing meanings, which are the same in every language.


@cache
def _meanings(split: Split) -> tuple[toy_world.Clause, ...]:
    return tuple(islice(toy_world.meanings(split), NUM_SENTENCES[split]))


@cache
def _meanings_of_pairs(split: Split) -> tuple[tuple[toy_world.Clause, toy_world.Clause, str], ...]:
    return tuple(islice(toy_world.pairs(split), NUM_PAIRS[split]))


@cache
def _parallel_meanings() -> tuple[tuple[toy_world.Clause, toy_world.Clause, str], ...]:
    return tuple(islice(toy_world.pairs("text"), NUM_PARALLEL_PAIRS))
