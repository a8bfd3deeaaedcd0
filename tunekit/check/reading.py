"""What was read of a task: numbers and examples by which a person sees that the files were understood."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunekit.check.spelling import Limit, Speller, Spelling, words_of
from tunekit.schema import canonical_json
from tunekit.segmentation import split_of
from tunekit.sweep import Arm
from tunekit.tasks import Example, PairExample, Split, Task

if TYPE_CHECKING:
    from tunekit.backbone import Backbone

UNKNOWN_SHARE = 0.01
"""More words than this that a tokenizer cannot spell are worth a note."""
SEEN_SHARE = 0.05
"""More of a test split than this that train holds already is worth a note."""
REPEATED_SHARE = 0.1
"""More of train than this that repeats an earlier example is worth a note."""
BEYOND_SHARE = 0.05
"""More words than this beyond the length limit are worth a note."""
FEW_LABELS = 0.5
"""A split that shows fewer of train's labels than this share is worth a note, if it is large enough to show them."""
LABELS_EACH = 10
"""Large enough is this many labelled words, or pairs, for each label of train."""

Part = tuple[Split, str]
"""A split and a language."""


@dataclass(frozen=True, kw_only=True)
class PartReading:
    """One split in one language, as the trials read it."""

    split: Split
    language: str
    num_examples: int
    num_words: int
    """Labelled words; of pairs, words between white space."""
    first: Example
    labels: Mapping[str, int]
    """How often each label stands there."""
    unseen: Mapping[str, int]
    """The same for labels that train lacks."""
    num_in_train: int
    """Examples whose text stands in train too; in train itself those that repeat an earlier one."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What the reader did not take for an example, counted by what it is."""
    notes: tuple[str, ...] = ()
    """What the reader decided: columns, separator and the like."""

    @property
    def name(self) -> str:
        """Such as ``test fr``."""
        return f"{self.split} {self.language}"

    @property
    def num_labels(self) -> int:
        """Labelled words, or pairs."""
        return sum(self.labels.values())


@dataclass(frozen=True, kw_only=True)
class RowLimit:
    """What a row of some arms holds."""

    limit: Limit
    tokens: int
    """The longest text, special tokens included."""
    arms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Spellings:
    """How one backbone's tokenizer writes the task."""

    backbone: str
    limits: tuple[RowLimit, ...]
    """The shortest first."""
    parts: Mapping[Part, Spelling]
    splits: Mapping[str, float] = field(default_factory=dict)
    """By language, how likely a piece of its text is split further."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One task as it was read from one place."""

    name: str
    kind: str
    source: str
    arms: tuple[str, ...]
    """Those that read it from there."""
    reader: str
    """The arm whose examples are shown; the others draw from the same files."""
    labels: tuple[str, ...]
    metric: str
    scheme: str
    """How labels mark entities, or ``none``."""
    why: str
    """Why the metric is this one."""
    parts: tuple[PartReading, ...]
    """Train, then dev and test, the source language first."""
    spellings: tuple[Spellings, ...]

    @property
    def unit(self) -> str:
        """What an example is."""
        return "sentence" if self.kind == "token" else "pair"


@dataclass(frozen=True)
class Read:
    """One arm with what was read for it."""

    arm: Arm
    task: Task
    backbone: Backbone
    limits: frozenset[Limit]
    """At the corners of its space."""


def readings(found: Sequence[Read], languages: Mapping[Split, bool]) -> tuple[Reading, ...]:
    """What the arms read, each place once.

    Args:
        found: arms whose data are on this machine.
        languages: whether a split is read in the target languages too.
    """
    places: dict[str, list[Read]] = {}
    for each in found:
        places.setdefault(_place(each.arm), []).append(each)
    return tuple(_reading(arms, languages) for arms in places.values())


def _place(arm: Arm) -> str:
    """Equal for arms that draw from the same files."""
    unset = dataclasses.replace(arm.task, max_train_examples=None, max_dev_examples=None, max_test_examples=None)
    task = dataclasses.replace(unset, shots=arm.task.shots if arm.task.draw == "files" else None, sample_seed=0)
    return canonical_json([task, dataclasses.replace(arm.locations, backbone_path=None, device=None, cache_dir=None)])


def _reading(arms: Sequence[Read], languages: Mapping[Split, bool]) -> Reading:
    shown = max(arms, key=lambda each: len(each.task.examples("train", each.task.config.source_language)))
    task = shown.task
    config = task.config
    parts: list[Part] = []
    for split, in_all in languages.items():
        parts += [(split, name) for name in (config.source_language, *(config.target_languages if in_all else ()))]
    return Reading(
        name=config.name,
        kind=task.kind,
        source=config.source_language,
        arms=tuple(each.arm.name for each in arms),
        reader=shown.arm.name,
        labels=task.labels,
        metric=task.metric,
        scheme=task.scheme,
        why=task.metric_reason,
        parts=tuple(_parts(task, parts)),
        spellings=tuple(_spellings(arms, task, parts)),
    )


def _parts(task: Task, parts: Sequence[Part]) -> Iterator[PartReading]:
    train = task.examples("train", task.config.source_language)
    seen = {_text_key(example) for example in train}
    for split, language in parts:
        examples = task.examples(split, language)
        if split == "train":
            in_train = len(train) - len(seen)
        else:
            in_train = sum(_text_key(example) in seen for example in examples)
        notes = task.notes(split, language)
        dropped = task.num_dropped(split, language)
        yield PartReading(
            split=split,
            language=language,
            num_examples=len(examples),
            num_words=sum(len(words_of(example)) for example in examples),
            first=examples[0],
            labels=task.label_counts(split, language),
            unseen=task.unseen_labels(split, language),
            num_in_train=in_train,
            left_out={**notes.left_out, **({"examples without a label": dropped} if dropped else {})},
            notes=notes.notes,
        )


def _text_key(example: Example) -> int:
    """Equal for equal texts; a number, so that a large split takes little room."""
    return hash((example.text_a, example.text_b) if isinstance(example, PairExample) else example.words)


def _spellings(arms: Sequence[Read], task: Task, parts: Sequence[Part]) -> Iterator[Spellings]:
    backbones: dict[int, list[Read]] = {}
    for each in arms:
        backbones.setdefault(id(each.backbone), []).append(each)
    for users in backbones.values():
        limits: dict[Limit, list[str]] = {}
        for each in users:
            for limit in each.limits:
                limits.setdefault(limit, []).append(each.arm.name)
        config = users[0].arm.backbone
        speller = Speller(users[0].backbone.tokenizer, task.kind, tuple(limits))
        rows = [RowLimit(limit=at, tokens=speller.tokens_of(at), arms=tuple(arms)) for at, arms in limits.items()]
        yield Spellings(
            backbone=users[0].backbone.name,
            limits=tuple(sorted(rows, key=lambda row: row.tokens)),
            parts={
                part: speller.measure(task.examples(*part), split_of(config.segmentation, part[1])) for part in parts
            },
            splits={language: split_of(config.segmentation, language) for language in config.segmentation or ()},
        )
