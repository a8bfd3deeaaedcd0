"""A task: examples by split and language, a label inventory, metrics, and fingerprints of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain
from typing import cast

from tunekit.errors import ConfigError, DataChanged, DataError, nearest
from tunekit.tasks import metrics, sampling
from tunekit.tasks.examples import (
    SPLITS,
    Example,
    Kind,
    Languages,
    PairExample,
    Reader,
    Split,
    TokenExample,
    labels_of,
)
from tunekit.tasks.fingerprints import of_examples
from tunekit.tasks.keys import check_keys
from tunekit.tasks.parallel_pairs import PARALLEL, NoParallelText, ParallelPair, ParallelTexts
from tunekit.tasks.readers.parsed import ReadingNotes
from tunekit.tasks.readers.sources import Given, Source
from tunekit.trial import TaskConfig

Predictions = Sequence[str] | Sequence[Sequence[str]]
"""One label for each pair, or for each sentence a list of exactly one label per word."""
Key = tuple[Split, str]
"""A split and a language."""
NEVER_IN_TRAIN = "never occurs in train, so it cannot be learnt"


class Task:
    """Examples, labels and scores of one task, read lazily and kept.

    Args:
        config: languages, sample sizes and shots; they are applied here, after `read`.
        kind: ``token`` (one label for each word) or ``pair`` (one label for a pair of texts).
        read: gives every example of a split in a language; called at most once for each.
        labels: the inventory in its fixed order; None takes it, sorted, from the whole train split.
        metric: ``f1`` (entities) or ``accuracy``; None takes f1 where the labels are BIO, else accuracy.
        languages: which languages have a split; None leaves that to `read`.

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
    ) -> None:
        check_keys(config)
        self.config = config
        self.kind: Kind = kind
        self._source: Source = Given(config.name, read, languages)
        self._labels = None if labels is None else tuple(labels)
        self._is_inventory_known = labels is not None
        self._metric = metric
        self._examples: dict[Key, tuple[Example, ...]] = {}
        self._train: Key = ("train", config.source_language)
        self._seen: dict[Key, frozenset[str]] = {}
        self._fingerprints: dict[Key, str] = {}
        self.parallel_text: ParallelTexts = NoParallelText()
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
        """A task that reads from `source`, which also knows its languages, places and fingerprints."""
        task = cls(config, kind=kind, read=source.read, labels=labels, metric=metric)
        task._source = source
        return task

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

    @property
    def metric_reason(self) -> str:
        """Why `metric` is the metric: the end of a sentence for people, such as ``the labels are iob2 tags``."""
        if self.kind == "pair":
            return "pairs have one label each"
        if self.config.metric is not None:
            return "the sweep file says so"
        return "the labels are entity tags" if self.scheme != "none" else "the labels are no entity tags"

    @property
    def scheme(self) -> str:
        """How labels mark entities: iob1, iob2, bioes, bilou, bmes or io; ``none`` where they mark none."""
        if self.config.scheme is not None:
            return self.config.scheme
        return "iob2" if self.kind == "token" and metrics.looks_bio(self.labels) else "none"

    def label_counts(self, split: Split, language: str) -> Counter[str]:
        """How many words (or pairs) of the examples that are used have each label."""
        return _label_counts(self.examples(split, language))

    def unseen_labels(self, split: Split, language: str) -> Counter[str]:
        """Labels of the examples that are used which the whole train split lacks, with their counts."""
        counts = self.label_counts(split, language)
        self.examples(*self._train)
        seen = self._seen[self._train]
        return Counter({name: number for name, number in counts.items() if name not in seen})

    def num_dropped(self, split: Split, language: str) -> int:
        """How many examples of the whole split were left out because a label is missing (``null_labels: drop``)."""
        self.examples(split, language)
        return 0

    def notes(self, split: Split, language: str) -> ReadingNotes:
        """How the whole split was read: what was left out, and what was decided about it."""
        return self._source.reading(split, language)

    def examples(self, split: Split, language: str) -> tuple[Example, ...]:
        """The examples of a split in a language, sampled as the config says; read once, then kept.

        Raises:
            ConfigError: nothing is there in this language.
            DataError: this split is missing, empty, torn, or holds a label that is not in the inventory.
            DataChanged: the file was replaced after its fingerprint was given.
        """
        key = (split, language)
        if key not in self._examples:
            self._require_language(split, language)
            found = self._whole(key)
            self._seen[key] = frozenset(chain.from_iterable(map(labels_of, found)))
            if self._is_inventory_known or key != self._train:
                self._check_labels(key, found)
            self._examples[key] = self._sample(split, language, found)
        return self._examples[key]

    def reading(self, read: Reader, *, any_language: bool = False) -> Task:
        """The same task with examples that stand in for its own; their fingerprint is ``stand-in``.

        Args:
            read: gives them.
            any_language: leave it to `read` which languages have a split.
        """
        languages = None if any_language else self._source.languages
        source = Given(self.config.name, read, languages, mark="stand-in")
        return Task.of(self.config, source, kind=self.kind, labels=self.labels, metric=self.metric)

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
            raise ValueError(f"{len(predictions)} predictions for {len(examples)} examples; each example needs one")
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

    def fingerprints(self, *, target_dev: bool = False) -> dict[str, str]:
        """What the config reads, as ``{"train/en": ..., "dev/en": ..., "test/en": ..., "test/fr": ...}``.

        Values are 16 hex digits: of a file's bytes as they are now, which need no parsing; where there is no file, of
        the examples as they are or were read, before any sampling. A file that is read later must be the one whose
        fingerprint was given first.

        Args:
            target_dev: also the targets' dev, for a selection on it.

        Raises:
            ConfigError: an unknown language.
            DataError: a split is missing or cannot be read.
        """
        return {f"{split}/{name}": self._fingerprint((split, name)) for split, name in self._named(target_dev)}

    def where(self, key: str) -> str:
        """The place that a key of `fingerprints` (or ``parallel/<corpus>/<language>``) speaks of, for messages.

        Gives a path such as ``data/udpos/test-fr.tsv``, or a data set of the hub and its split.

        Raises:
            ValueError: no such key.
        """
        split, _, language = key.partition("/")
        if split == PARALLEL and "/" in language:
            return self.parallel_text.where(*language.split("/", 1))
        if split not in SPLITS or not language:
            raise ValueError(f"{key!r} names no data; keys are train/en, dev/en, test/en, parallel/files/en and so on")
        known = self._source.languages(split)
        if known is not None and language not in known:
            return f"{self.config.name}: {split} of {language!r}"
        return self._source.place(split, language)

    def validate(self, *, target_dev: bool = False) -> None:
        """Read everything that the config names: train, dev and test of the source, test of every target.

        Args:
            target_dev: also the targets' dev, for a selection on it.

        Raises:
            ConfigError: an unknown language.
            DataError: the first split that is missing, empty or torn, or that holds a label which train never shows.
        """
        for language in (self.config.source_language, *self.config.target_languages):
            self._require_language("test", language)
        named = self._named(target_dev)
        for key in named:
            self.examples(*key)
        for key in named:
            if not self._seen[key] <= self._seen[self._train]:
                self._require_labels(key, self._source.read(*key), self._seen[self._train], NEVER_IN_TRAIN)

    def _named(self, target_dev: bool) -> list[Key]:
        """Every split that the config reads, in each of its languages."""
        source, targets = self.config.source_language, self.config.target_languages
        named: list[Key] = [("train", source), ("dev", source), ("test", source)]
        named += [("test", language) for language in targets]
        return named + [("dev", language) for language in targets if target_dev]

    def _fingerprint(self, key: Key) -> str:
        self._require_language(*key)
        now = self._source.fingerprint(*key)
        if now is None:
            self.examples(*key)  # they are digested while they are all there, before the sample is taken
            return self._fingerprints[key]
        self._fingerprints.setdefault(key, now)
        return now

    def _whole(self, key: Key) -> Sequence[Example]:
        """All examples; their fingerprint is noted, or must be the one that was noted before."""
        now = self._source.fingerprint(*key)
        found = self._source.read(*key)
        if not found:
            raise DataError(f"{self.config.name}: {key[0]} of {key[1]!r} holds no examples")
        now = of_examples(found) if now is None else now
        before = self._fingerprints.setdefault(key, now)
        if now != before:
            raise DataChanged(
                f"{self._source.place(*key)} is no longer the file that this task began with (fingerprint {before}, "
                f"now {now}); put the old file back, or start anew with the new one"
            )
        return found

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
        known = self._source.languages(split)
        if known is None or language in known:
            return
        anywhere = {name for each in SPLITS for name in self._source.languages(each) or ()}
        if language not in anywhere:
            raise ConfigError(f"{self.config.name}: unknown language {language!r}; {nearest(language, anywhere)}")
        have = ", ".join(sorted(known)) or "none"
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
        place = self._source.locate(*key, index, word)
        raise DataError(f"{place}: label {label!r} {reason}; {nearest(label, valid)}")


def _label_counts(examples: Sequence[Example]) -> Counter[str]:
    return Counter(chain.from_iterable(map(labels_of, examples)))
