"""A task: examples by split and language, a label inventory, metrics, and fingerprints of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from statistics import fmean

from tunekit.errors import ConfigError, DataChanged, DataError, nearest
from tunekit.tasks import sampling
from tunekit.tasks.examples import (
    SPLITS,
    Example,
    Kind,
    Languages,
    Reader,
    Split,
    labels_of,
)
from tunekit.tasks.fingerprints import of_examples
from tunekit.tasks.inventory import Inventory, Key
from tunekit.tasks.keys import check_keys
from tunekit.tasks.label_faults import split_off_nulls
from tunekit.tasks.metrics import Counts, Predictions, counts, scored
from tunekit.tasks.parallel_pairs import PARALLEL, NoParallelText, ParallelPair, ParallelTexts
from tunekit.tasks.readers.parsed import ReadingNotes
from tunekit.tasks.readers.sources import Given, Source
from tunekit.tasks.schemes import OUTSIDE
from tunekit.trial import TaskConfig


class Task:
    """Examples, labels and scores of one task, read lazily and kept.

    Args:
        config: languages, sample sizes and shots; they are applied here, after `read`.
        kind: ``token`` (one label for each word) or ``pair`` (one label for a pair of texts).
        read: gives every example of a split in a language; called at most once for each.
        labels: the inventory in its fixed order; None takes it, sorted, from the whole train split.
        metric: ``f1`` (entities) or ``accuracy``; None takes f1 where train's labels mark entities, else accuracy.
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
        self._inventory = Inventory(config, kind, labels, metric)
        self._is_metric_given = metric is not None
        self._examples: dict[Key, tuple[Example, ...]] = {}
        self._train: Key = ("train", config.source_language)
        self._num_dropped: dict[Key, int] = {}
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
        """The inventory, in a fixed order: all that can be predicted. Reads train where it is not known beforehand."""
        return self._known().labels

    @property
    def metric(self) -> str:
        """The main metric, a key of what `score` returns. It follows from what is declared, else from train's labels.

        Raises:
            DataError: the labels are nearly entity tags, or may be tags or classes, and nothing says which.
        """
        return self._known().reading.metric

    @property
    def metric_reason(self) -> str:
        """Why `metric` is the metric: the end of a sentence for people."""
        if self.config.kind is None and self._is_metric_given:
            return f"it is that of {self.config.name}"
        return self._known().reading.reason

    @property
    def scheme(self) -> str:
        """How labels mark entities: iob1, iob2, bioes, bilou, bmes or io; ``none`` where they mark none.

        Reads every split that the config reads, so that a rare mark in one of them is not overlooked.

        Raises:
            DataError: the splits together follow more than one scheme.
        """
        if self._known().reading.tags is None or self.config.scheme is not None:
            return self.config.scheme or "none"
        found = [key for key in self._named(target_dev=False) if key[1] in (self._source.languages(key[0]) or ())]
        for key in found:
            self.examples(*key)
        return self._inventory.scheme(found)

    def label_counts(self, split: Split, language: str) -> Counter[str]:
        """How many words (or pairs) of the examples that are used have each label."""
        return _label_counts(self.examples(split, language))

    def unseen_labels(self, split: Split, language: str) -> Counter[str]:
        """Labels of the examples that are used which the whole train split lacks, with their counts."""
        self.examples(*self._train)
        counts = self.label_counts(split, language)
        return Counter({name: number for name, number in counts.items() if self._inventory.lacks(name)})

    def num_dropped(self, split: Split, language: str) -> int:
        """How many examples of the whole split were left out because a label is missing (``null_labels: drop``)."""
        self.examples(split, language)
        return self._num_dropped[split, language]

    def notes(self, split: Split, language: str) -> ReadingNotes:
        """How the whole split was read: what was left out, and what was decided about it."""
        return self._source.reading(split, language)

    def examples(self, split: Split, language: str) -> tuple[Example, ...]:
        """The examples of a split in a language, sampled as the config says; read once, then kept.

        Raises:
            ConfigError: nothing is there in this language.
            DataError: this split is missing, empty or torn, or its labels cannot be right. A label that train lacks is
                no error outside of train.
            DataChanged: the file was replaced after its fingerprint was given.
        """
        key = (split, language)
        if key not in self._examples:
            self._require_language(split, language)
            found, places = self._labelled(key)
            if key != self._train and not self._inventory.is_fixed:
                self.examples(*self._train)
            self._inventory.note(key, found, lambda index, word: self._source.locate(*key, places[index], word))
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

        Entities: f1, precision, recall. Otherwise accuracy and macro_f1 (over words or pairs), and of words also
        seqeval_f1, as published code scores parts of speech.

        Raises:
            ValueError: there are no examples, or not exactly one prediction for each pair or word.
        """
        return scored(examples, predictions, self._known().reading)

    def counts(self, examples: Sequence[Example], predictions: Predictions) -> list[Counts]:
        """What the main metric is made of, for each example: what is right, what was predicted, and what there is.

        In entities for f1, else in words or pairs. With these summed over examples, the metric is
        2 right / (predicted + there), which for words and pairs is the share that is right.

        Raises:
            ValueError: not exactly one prediction for each pair or word.
        """
        return counts(examples, predictions, self._known().reading)

    @property
    def style(self) -> str | None:
        """How tags are written (`tunekit.tasks.schemes.Style`); None where labels mark no entities."""
        tags = self._known().reading.tags
        return None if tags is None else tags.style

    def majority(self, split: Split, language: str) -> dict[str, float]:
        """The score of knowing nothing: train's most frequent label everywhere, or no entity at all.

        Where several labels are equally frequent, as in a few-shot draw: the mean of their scores, so that it does not
        depend on the order of the labels.
        """
        examples = self.examples(split, language)
        if self.metric == "f1":
            return self.score(examples, [[OUTSIDE] * len(labels_of(e)) for e in examples])
        counts = _label_counts(self.examples(*self._train))
        most = max(counts.values())
        found = [self._always(name, examples) for name in self.labels if counts[name] == most]
        return {key: fmean(scores[key] for scores in found) for key in found[0]}

    def _always(self, label: str, examples: Sequence[Example]) -> dict[str, float]:
        """The score of predicting one label everywhere."""
        if self.kind == "pair":
            return self.score(examples, [label] * len(examples))
        return self.score(examples, [[label] * len(labels_of(e)) for e in examples])

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
            DataError: the first split that is missing, empty or torn, or whose labels cannot be right.
        """
        for language in (self.config.source_language, *self.config.target_languages):
            self._require_language("test", language)
        named = self._named(target_dev)
        for key in named:
            self.examples(*key)
        _ = self.scheme

    def _known(self) -> Inventory:
        """The labels, once train has been read where they are not known beforehand."""
        if not self._inventory.is_fixed:
            self.examples(*self._train)
        return self._inventory

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

    def _labelled(self, key: Key) -> tuple[Sequence[Example], Sequence[int]]:
        """The examples that have all their labels, and their places; all examples, unless ``null_labels: drop``.

        Raises:
            DataError: none is left.
        """
        found = self._whole(key)
        if self.config.null_labels == "refuse":
            self._num_dropped[key] = 0
            return found, range(len(found))
        places, self._num_dropped[key] = split_off_nulls(found)
        if not places:
            raise DataError(f"{self._source.place(*key)}: not one example has its label; null_labels: drop leaves none")
        return [found[index] for index in places], places

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
        sample = self._drawn(split, language, found)
        if split == "train" and self.config.draw_seed is not None and len(sample) == len(found):
            key = "max_train_examples" if self.config.shots is None else "shots"
            cure = f"set {key} lower" if self.config.draw == "sampled" else "write draw: sampled"
            raise DataError(
                f"{self.config.name}: every draw of train is the same, since all of its {len(found)} examples are used "
                f"({key} is {getattr(self.config, key)}); {cure}, or leave `draws` (or draw_seed) out"
            )
        return sample

    def _drawn(self, split: Split, language: str, found: Sequence[Example]) -> tuple[Example, ...]:
        config = self.config
        seed = config.sample_seed if split == "test" else config.learning_seed
        if config.shots is not None and split != "test":
            if config.draw == "files":
                return tuple(found)
            where = f"{config.name} {split} of {language!r}"
            tags = self._inventory.reading.tags
            return sampling.by_shots(found, config.shots, seed=seed, split=split, where=where, tags=tags)
        size = getattr(config, f"max_{split}_examples")
        return tuple(found) if size is None else sampling.by_size(found, size, seed=seed, split=split)

    def _require_language(self, split: Split, language: str) -> None:
        known = self._source.languages(split)
        if known is None or language in known:
            return
        anywhere = {name for each in SPLITS for name in self._source.languages(each) or ()}
        if language not in anywhere:
            raise ConfigError(f"{self.config.name}: unknown language {language!r}; {nearest(language, anywhere)}")
        have = ", ".join(sorted(known)) or "none"
        raise DataError(f"{self.config.name}: no {split} data in {language!r}; languages that have it: {have}")


def _label_counts(examples: Sequence[Example]) -> Counter[str]:
    return Counter(chain.from_iterable(map(labels_of, examples)))
