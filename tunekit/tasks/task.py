"""What a task is to the rest of the house: examples by split and language, a label inventory and its metrics."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain
from typing import cast

from tunekit.errors import ConfigError, DataError, nearest, require
from tunekit.schema import canonical_json
from tunekit.tasks import metrics, sampling
from tunekit.tasks.examples import (
    SPLITS,
    Example,
    Kind,
    Languages,
    Locator,
    PairExample,
    Reader,
    Split,
    TokenExample,
    labels_of,
)
from tunekit.tasks.parallel import ParallelPair, ParallelText
from tunekit.tasks.readers.sources import Source
from tunekit.trial import Locations, TaskConfig

Predictions = Sequence[str] | Sequence[Sequence[str]]
"""One label a pair, or a list of exactly one label a word for each sentence."""
NEVER_IN_TRAIN = "never occurs in train, so it cannot be learnt"


class Task:
    """Examples, labels and scores of one task, read lazily and kept.

    Args:
        config: languages, sample sizes and shots; they are applied here, after `read`.
        kind: ``token`` (one label a word) or ``pair`` (one label a pair of texts).
        read: gives every example of a split in a language; called at most once for each.
        labels: the inventory in its fixed order; None takes it, sorted, from the whole train split.
        metric: ``f1`` (entities) or ``accuracy``; None takes f1 where the labels are BIO, else accuracy.
        languages: which languages have a split; None leaves that to `read`.
        locate: names a word's or a pair's place in messages; None counts examples.

    Raises:
        ConfigError: a size, a language list or a metric of `config` that makes no sense.
    """

    def __init__(
        self,
        config: TaskConfig,
        *,
        kind: Kind,
        read: Reader,
        labels: Sequence[str] | None = None,
        metric: str | None = None,
        languages: Languages | None = None,
        locate: Locator | None = None,
    ) -> None:
        _check(config)
        self.config = config
        self.kind: Kind = kind
        self._read, self._languages, self._locate = read, languages, locate
        self._labels = None if labels is None else tuple(labels)
        self._is_inventory_known = labels is not None
        self._metric = metric
        self._examples: dict[tuple[Split, str], tuple[Example, ...]] = {}
        self._train: tuple[Split, str] = ("train", config.source_language)
        self._seen: dict[tuple[Split, str], frozenset[str]] = {}
        self.parallel_text = ParallelText(config, Locations())
        """What `parallel` reads; `tasks.load` puts the places of this machine in."""

    @classmethod
    def of(
        cls,
        config: TaskConfig,
        source: Source,
        *,
        kind: Kind,
        labels: Sequence[str] | None = None,
        metric: str | None = None,
    ) -> Task:
        """A task that reads from `source`, which also knows its languages and lines."""
        return cls(
            config,
            kind=kind,
            read=source.read,
            labels=labels,
            metric=metric,
            languages=source.languages,
            locate=source.locate,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The inventory, in a fixed order. Reads train where it is not known beforehand."""
        if self._labels is None:
            self.examples(*self._train)
            self._labels = tuple(sorted(self._seen[self._train]))
        return self._labels

    @property
    def metric(self) -> str:
        """The main metric, a key of what `score` returns."""
        if self._metric is None:
            self._metric = "f1" if self.kind == "token" and metrics.looks_bio(self.labels) else "accuracy"
        return self._metric

    def examples(self, split: Split, language: str) -> tuple[Example, ...]:
        """The examples of a split in a language, sampled as the config says; read once, then kept.

        Raises:
            ConfigError: nothing is there in this language.
            DataError: this split is missing, empty, torn, or holds a label that is not in the inventory.
        """
        key = (split, language)
        if key not in self._examples:
            self._require_language(split, language)
            found = self._read(split, language)
            if not found:
                raise DataError(f"{self.config.name}: {split} of {language!r} holds no examples")
            self._seen[key] = frozenset(chain.from_iterable(map(labels_of, found)))
            if self._is_inventory_known or key != self._train:
                self._check_labels(key, found)
            self._examples[key] = self._sample(split, language, found)
        return self._examples[key]

    def reading(self, read: Reader, *, any_language: bool = False) -> Task:
        """The same task with its examples from elsewhere.

        Args:
            read: gives them.
            any_language: leave it to `read` which languages have a split.
        """
        return Task(
            self.config,
            kind=self.kind,
            read=read,
            labels=self.labels,
            metric=self.metric,
            languages=None if any_language else self._languages,
        )

    def parallel(self, corpus: str, language: str, size: int | None = None) -> tuple[ParallelPair, ...]:
        """Unlabelled pairs of texts in the source language and in `language`; see `ParallelText.pairs`."""
        return self.parallel_text.pairs(corpus, language, size)

    def score(self, examples: Sequence[Example], predictions: Predictions) -> dict[str, float]:
        """The main metric and secondary ones, in [0, 1].

        Entities: f1, precision, recall. Otherwise accuracy and macro_f1 (over words or pairs).

        Raises:
            ValueError: there are no examples, or not exactly one prediction for each pair or word.
        """
        if not examples or len(examples) != len(predictions):
            raise ValueError(f"{len(predictions)} predictions for {len(examples)} examples; one each is needed")
        if self.kind == "pair":
            return metrics.label_scores(
                [cast(PairExample, e).label for e in examples], cast("Sequence[str]", predictions)
            )
        gold = [cast(TokenExample, e).labels for e in examples]
        for index, (right, given) in enumerate(zip(gold, predictions, strict=True)):
            if isinstance(given, str) or len(right) != len(given):
                raise ValueError(f"example {index} has {len(right)} words but {len(given)} predictions")
        if self.metric == "f1":
            return metrics.entity_scores(gold, predictions)
        return metrics.label_scores(
            [name for row in gold for name in row], [name for row in predictions for name in row]
        )

    def majority(self, split: Split, language: str) -> dict[str, float]:
        """The score of knowing nothing: train's most frequent label everywhere, or no entity at all."""
        examples = self.examples(split, language)
        if self.metric == "f1":
            return self.score(examples, [["O"] * len(labels_of(e)) for e in examples])
        counts = _label_counts(self.examples(*self._train))
        most = max(self.labels, key=lambda name: counts[name])  # of equals the first in the inventory's order
        if self.kind == "pair":
            return self.score(examples, [most] * len(examples))
        return self.score(examples, [[most] * len(labels_of(e)) for e in examples])

    def fingerprint(self) -> str:
        """12 hex digits over the name, the labels, and train and dev as sampled in the source language."""
        digest = hashlib.sha256(canonical_json([self.config.name, self.kind, self.metric, self.labels]).encode())
        for key in (self._train, ("dev", self.config.source_language)):
            for example in self.examples(*key):
                digest.update(json.dumps(_contents(example)).encode())
        return digest.hexdigest()[:12]

    def validate(self, *, target_dev: bool = False) -> None:
        """Read everything that the config names: train, dev and test of the source, test of every target.

        Args:
            target_dev: also the targets' dev, for a selection on it.

        Raises:
            ConfigError: an unknown language.
            DataError: the first split that is missing, empty or torn, or that holds a label which train never shows.
        """
        source, targets = self.config.source_language, self.config.target_languages
        for language in (source, *targets):
            self._require_language("test", language)
        named: list[tuple[Split, str]] = [("train", source), ("dev", source), ("test", source)]
        named += [("test", language) for language in targets]
        named += [("dev", language) for language in targets if target_dev]
        for key in named:
            self.examples(*key)
        for key in named:
            if not self._seen[key] <= self._seen[self._train]:
                self._require_labels(key, self._read(*key), self._seen[self._train], NEVER_IN_TRAIN)

    def _sample(self, split: Split, language: str, found: Sequence[Example]) -> tuple[Example, ...]:
        config = self.config
        if config.shots is not None and split != "test":
            if config.draw == "files":
                return tuple(found)
            where = f"{config.name} {split} of {language!r}"
            return sampling.by_shots(found, config.shots, seed=config.sample_seed, split=split, where=where)
        size = getattr(config, f"max_{split}_examples")
        return tuple(found) if size is None else sampling.by_size(found, size, seed=config.sample_seed, split=split)

    def _require_language(self, split: Split, language: str) -> None:
        if self._languages is None or language in self._languages(split):
            return
        anywhere = {name for each in SPLITS for name in self._languages(each)}
        if language not in anywhere:
            raise ConfigError(f"{self.config.name}: unknown language {language!r}; {nearest(language, anywhere)}")
        have = ", ".join(sorted(self._languages(split))) or "none"
        raise DataError(f"{self.config.name}: no {split} data in {language!r}; languages that have it: {have}")

    def _check_labels(self, key: tuple[Split, str], found: Sequence[Example]) -> None:
        reason = f"is not a label of {self.config.name}" if self._is_inventory_known else NEVER_IN_TRAIN
        self._require_labels(key, found, self.labels, reason)
        if self.metric == "f1" and self._seen[key] <= {"O"}:
            # What a test split without its gold labels looks like; every score on it would be 0.
            raise DataError(f"{self.config.name}: {key[0]} of {key[1]!r} holds no entity at all; has it gold labels?")

    def _require_labels(
        self, key: tuple[Split, str], found: Sequence[Example], valid: Collection[str], reason: str
    ) -> None:
        wrong = self._seen[key].difference(valid)
        if not wrong:
            return
        index, word, label = next(
            (i, w, name) for i, e in enumerate(found) for w, name in enumerate(labels_of(e)) if name in wrong
        )
        place = f"{self.config.name}: {key[0]} of {key[1]!r}, example {index}, word {word}"
        place = place if self._locate is None else self._locate(*key, index, word)
        raise DataError(f"{place}: label {label!r} {reason}; {nearest(label, valid)}")


def _contents(example: Example) -> list[object]:
    if isinstance(example, PairExample):
        return [example.text_a, example.text_b, example.label]
    return [example.words, example.labels]


def _label_counts(examples: Sequence[Example]) -> Counter[str]:
    return Counter(chain.from_iterable(map(labels_of, examples)))


def _check(config: TaskConfig) -> None:
    for key in ("max_train_examples", "max_dev_examples", "max_test_examples", "shots"):
        value = getattr(config, key)
        require(value is None or value >= 1, f"task: {key}", value, "at least 1")
    for key in ("max_train_examples", "max_dev_examples"):
        if config.shots is not None and getattr(config, key) is not None:
            raise ConfigError(f"task: {key} has no effect with shots, which sets the size of train and dev; drop one")
    if config.draw == "files" and config.shots is None:
        raise ConfigError("task: draw is 'files', so shots must say which draw, such as 16")
    targets = (config.source_language, *config.target_languages)
    twice = [name for name, count in Counter(targets).items() if count > 1]
    if twice:
        raise ConfigError(
            f"task: {twice[0]!r} is named twice among source_language and target_languages; once is right"
        )


def refuse_own_keys(config: TaskConfig) -> None:
    """Raise a ConfigError where a built-in task is given a key that only a task of the user's own files has."""
    for key in ("metric", "columns"):
        if getattr(config, key):
            raise ConfigError(f"task: {key} has no effect on {config.name!r}; it is for a task of your own (with kind)")
