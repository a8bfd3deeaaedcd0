"""A task's labels: what train shows, what each other split shows, how they are read, and what in them is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tunekit.errors import DataError, nearest
from tunekit.tasks import schemes
from tunekit.tasks.examples import Example, Kind, Split, TokenExample
from tunekit.tasks.label_faults import (
    Fault,
    Labelled,
    Locate,
    null_faults,
    sign_faults,
    slip_faults,
    spelling_faults,
    text_faults,
)
from tunekit.tasks.recognition import Reading, recognise
from tunekit.tasks.schemes import Unreadable
from tunekit.trial import TaskConfig

Key = tuple[Split, str]
"""A split and a language."""
MOSTLY = 0.5
"""A dev split of the source language is refused if train lacks the labels of more than this share of it."""


class Inventory:
    """The labels of a task, noted and checked split by split; train first where they are not known beforehand.

    Args:
        config: the task.
        kind: of its examples.
        labels: the inventory in its fixed order; None takes it, sorted, from train.
        metric: ``f1`` or ``accuracy``, if it is given.
    """

    def __init__(self, config: TaskConfig, kind: Kind, labels: Sequence[str] | None, metric: str | None) -> None:
        self._config, self._kind, self._metric = config, kind, metric
        self.is_fixed = labels is not None
        self._labels: tuple[str, ...] = () if labels is None else tuple(labels)
        self._train: Key = ("train", config.source_language)
        self._reading: Reading | None = None
        self._counts: dict[Key, Counter[str]] = {}
        self._openings: dict[Key, Counter[str]] = {}
        if labels is not None:
            try:
                self._read(Counter(labels))
            except Unreadable as error:
                raise DataError(f"{config.name}: labels {', '.join(error.labels or labels)}: {error.text}") from None

    @property
    def labels(self) -> tuple[str, ...]:
        """All that can be predicted. Train must have been noted, unless they are fixed."""
        return self._labels

    @property
    def reading(self) -> Reading:
        """How the labels are read and scored. Train must have been noted, unless they are fixed."""
        assert self._reading is not None
        return self._reading

    def lacks(self, label: str) -> bool:
        """Whether the whole train split has no such label. Train must have been noted."""
        return label not in self._counts[self._train]

    def scheme(self, keys: Iterable[Key]) -> str:
        """The scheme of the labels of all these splits together, which must have been noted.

        Raises:
            DataError: they follow more than one.
        """
        tags = self.reading.tags
        if self._config.scheme is not None or tags is None:
            return self._config.scheme or "none"
        opened = sum((self._openings[key] for key in keys), Counter[str]())
        labels = set(self._labels).union(*(self._counts[key] for key in keys))
        try:
            return schemes.name_of(tags, labels, opened_by_i=opened["I"], opened_by_b=opened["B"])
        except Unreadable as error:
            raise DataError(f"{self._config.name}: labels {', '.join(error.labels)}: {error.text}") from None

    def note(self, key: Key, examples: Sequence[Example], locate: Locate) -> None:
        """Take in the labels of a whole split.

        Args:
            key: which split.
            examples: all that are used, before any sampling.
            locate: tells where one of their labels stands.

        Raises:
            DataError: they cannot be right; the message shows the first lines.
        """
        split = Labelled(examples, locate, self._kind)
        for fault in self._faults(key, split):
            raise split.error(fault)
        self._counts[key] = split.counts
        self._openings[key] = self._count_openings(examples)

    def _read(self, counts: Counter[str]) -> None:
        if self._kind == "pair":
            self._reading = Reading(self._metric or "accuracy", None, "each pair has one label")
        else:
            self._reading = recognise(counts, scheme=self._config.scheme, metric=self._metric)

    def _faults(self, key: Key, split: Labelled) -> Iterator[Fault]:
        """What is wrong with a split, the likeliest cause first. Train's labels are taken over on the way."""
        yield from sign_faults(split)
        if not self.is_fixed:
            yield from text_faults(split)
        yield from self._null_faults(key, split)
        yield from slip_faults(split)
        yield from spelling_faults(split, self._labels)
        if self.is_fixed and key[1] == self._config.source_language:
            wrong = [label for label in split.often if label not in self._labels]
            if wrong:
                yield Fault(wrong, f"is not a label of {self._config.name}; {nearest(wrong[0], self._labels)}")
        try:
            if key == self._train and not self.is_fixed:
                self._read(split.counts)
                self._labels = tuple(sorted(split.counts))
            else:
                self._check_tags(split.often)
        except Unreadable as error:
            yield Fault(error.labels, error.text)
        yield from self._strange(key, split)

    def _null_faults(self, key: Key, split: Labelled) -> Iterator[Fault]:
        if self.is_fixed and self._kind == "token" and key[1] != self._config.source_language:
            # A treebank of another language may leave words without a tag: they count as errors, as new tags do.
            yield from null_faults({""} & split.counts.keys(), droppable=False)
        else:
            yield from null_faults(split.counts.keys() - set(self._labels), droppable=self._config.kind is not None)

    def _check_tags(self, often: Sequence[str]) -> None:
        """Refuse labels that are not tags as train's are, or that make another scheme of them."""
        tags = self.reading.tags
        if tags is None or self.reading.metric != "f1":
            return
        schemes.require_allowed(tags, self._config.scheme, often)
        if self._config.scheme is None:
            try:
                schemes.name_of(tags, {*self._labels, *often})
            except Unreadable as error:
                new = [label for label in often if label not in self._labels and tags.mark_of(label) not in ("B", "I")]
                raise Unreadable(new or often[:1], f"does not fit train's labels: {error.text}") from None

    def _strange(self, key: Key, split: Labelled) -> Iterator[Fault]:
        """Gold without an entity, and labels that have nothing to do with train's."""
        counts, is_of_entities = split.counts, self.reading.metric == "f1"
        if is_of_entities and counts.keys() <= {schemes.OUTSIDE}:
            # What a test split without its gold labels looks like; every score on it would be 0.
            yield Fault((), f"{key[0]} of {key[1]!r} holds no entity at all; has it gold labels?")
        new = [label for label in split.often if label not in self._labels]
        if not new:
            return
        num_new = sum(counts[label] for label in new)
        total = counts.total() - (counts[schemes.OUTSIDE] if is_of_entities else 0)
        is_own_dev = key == ("dev", self._config.source_language)
        if len(new) == len(counts) or (is_own_dev and num_new > MOSTLY * total):
            known = nearest(new[0], self._labels)
            yield Fault(new, f"never occurs in train, nor do most labels of this split; train's are others: {known}")

    def _count_openings(self, examples: Iterable[Example]) -> Counter[str]:
        """Entities that do not follow one of their type, by the mark they begin with: what tells iob1 from iob2."""
        found: Counter[str] = Counter()
        tags = self.reading.tags
        if tags is None:
            return found
        for example in examples:
            if isinstance(example, TokenExample):
                before = None
                for label in example.labels:
                    tag = tags.read_or_none(label)
                    if tag is not None and tag[0] in "BI" and (before is None or before[1] != tag[1]):
                        found[tag[0]] += 1
                    before = tag
        return found
