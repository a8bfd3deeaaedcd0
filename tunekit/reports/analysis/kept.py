"""What the reported points answered on test, read once and laid out as arrays.

Of each arm the first of its reported trials is read: the errors of one model, not a mean over several. What cannot be
read is named in `Kept.missing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tunekit.journal import TrialRecord
from tunekit.predictions import TestExamples, TestPredictions, load_examples, load_predictions
from tunekit.reports.analysis.naming import title_of
from tunekit.reports.results import ArmResult, Comparison, SweepResult
from tunekit.storage import SweepFolder
from tunekit.tasks.readers.rows import collected_later
from tunekit.wording import names, plural

MOST_TEXTS = 1000
"""So many texts of a language are looked at; labels are counted in all of them."""
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """The test examples of one language; a pair is an example of one word, which has its label."""

    language: str
    examples: TestExamples
    """Of the first `MOST_TEXTS` of them alone."""
    lengths: Ints
    """Labels of each example, [examples]."""
    num_words: Ints
    """Words of each example, [examples]; of a pair, those of both texts between white space."""
    gold: Ints
    """The places in `Kept.labels` of all labels, example after example, [words]."""
    is_pairs: bool = False
    """Whether an example is a pair of texts with one label."""

    @property
    def starts(self) -> Ints:
        """The place of each example's first word, [examples]."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def owners(self) -> Ints:
        """The example of each word, [words]."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What one trial answered in one language."""

    asked: Asked
    said: Ints
    """As `Asked.gold`."""
    counts: Ints
    """Of each example what is right, predicted and there, [examples, 3]: what the main metric is made of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmAnswers:
    """What the first reported trial of an arm answered, by language."""

    arm: ArmResult
    trial: TrialRecord
    by_language: Mapping[str, Answers]

    @property
    def targets(self) -> tuple[Answers, ...]:
        """Those in the target languages; in the source language where there is no other."""
        found = [self.by_language[each] for each in self.arm.targets if each in self.by_language]
        return tuple(found or self.by_language.values())

    @property
    def styles(self) -> set[str | None]:
        """The ways in which tags are written."""
        return {answers.asked.examples.style for answers in self.by_language.values()}

    @property
    def num_examples(self) -> int:
        """Of `targets`."""
        return sum(len(answers.asked.lengths) for answers in self.targets)


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """The answers of a comparison's arms."""

    title: str
    source: str
    metric: str
    labels: tuple[str, ...]
    """Every label that is asked for or predicted; numbers are places in it."""
    arms: tuple[ArmAnswers, ...]
    missing: tuple[str, ...]
    """What could not be read, a sentence each."""

    @property
    def read(self) -> str:
        """Which trials were read, and how many examples, in a sentence."""
        trials = names(f"{each.arm.name}: {each.trial.trial_id} (seed {each.trial.replicate})" for each in self.arms)
        counts = sorted({(len(each.targets), each.num_examples) for each in self.arms})
        shown = names(
            f"{plural(examples, 'example')} in {plural(languages, 'language')}" for languages, examples in counts
        )
        return f"Of the first reported trial of each arm alone ({trials}); n: {shown}."

    @property
    def is_entities(self) -> bool:
        """Whether errors are counted by entities: the main metric counts them, and all arms write tags in one way."""
        return self.metric == "f1" and self.style is not None

    @property
    def is_pairs(self) -> bool:
        """Whether an example is a pair of texts with one label."""
        return next(iter(self.arms[0].by_language.values())).asked.is_pairs

    @property
    def style(self) -> str | None:
        """How tags are written; None where labels mark no entities, or arms write them in several ways."""
        found = {style for arm in self.arms for style in arm.styles}
        return found.pop() if len(found) == 1 else None


def read(result: SweepResult, comparison: Comparison) -> Kept:
    """Read what the arms of a comparison answered; without predictions `Kept.arms` is empty.

    Raises:
        StorageError: a file is there and cannot be read.
    """
    reader = _Reader(result.folder, comparison.metric)
    with collected_later():
        read = [reader.arm(arm) for arm in comparison.arms]
    found = [answers for answers in read if answers is not None]
    if len({style for answers in found for style in answers.styles}) > 1:
        reader.missing.append("Errors: the arms write tags in several ways, so labels are counted and not entities.")
    if result.folder is None:
        reader.missing.append("Errors: only the journal is at hand, and predictions are kept beside it.")
    return Kept(
        title=title_of(comparison),
        source=comparison.source,
        metric=comparison.metric,
        labels=tuple(reader.places),
        arms=tuple(found),
        missing=tuple(reader.missing),
    )


class _Reader:
    """Reads each file once and gives labels their places as they come.

    Args:
        folder: of the sweep; None: there is nothing to read.
        metric: what errors are counted for; an arm that is scored by another one is named.
    """

    def __init__(self, folder: SweepFolder | None, metric: str) -> None:
        self._folder, self._metric = folder, metric
        self._asked: dict[str, Asked | None] = {}
        self.places: dict[str, int] = {}
        self.missing: list[str] = []

    def arm(self, arm: ArmResult) -> ArmAnswers | None:
        """The answers of an arm's first reported trial; None if nothing of them can be used."""
        if arm.best is None:
            return None
        if arm.metric != self._metric:
            self.missing.append(
                f"Errors: {arm.name} is scored by {arm.metric}, and errors are counted for {self._metric}."
            )
            return None
        if self._folder is None:
            return None
        trial = arm.best.trials[0]
        found = load_predictions(self._folder.trial(trial.trial_id).path)
        if found is None:
            self.missing.append(f"Errors: no predictions of {arm.name} are kept (trial {trial.trial_id}).")
            return None
        if not found.examples:
            self.missing.append(
                f"Errors: the predictions of {arm.name} (trial {trial.trial_id}) were kept by an older version, without"
                " the examples that they answer."
            )
            return None
        answers = {
            each: self._answers(found, each, arm) for each in (arm.source, *arm.targets) if each in found.numbers
        }
        usable = {language: answer for language, answer in answers.items() if answer is not None}
        broken = [language for language in answers if language not in usable]
        if broken:
            self.missing.append(f"Errors: of {arm.name} the answers in {names(broken)} do not fit the kept examples.")
        return ArmAnswers(arm=arm, trial=trial, by_language=usable) if usable else None

    def _answers(self, found: TestPredictions, language: str, arm: ArmResult) -> Answers | None:
        asked = self._examples(found, language, arm)
        if asked is None:
            return None
        numbers, lengths = _flat(found.numbers[language])
        counts, places = _flat(found.counts.get(language, ()))
        if not np.array_equal(lengths, asked.lengths) or len(places) != len(lengths) or (places != 3).any():
            return None
        return Answers(asked=asked, said=self._placed(found.labels)[numbers], counts=counts.reshape(-1, 3))

    def _examples(self, found: TestPredictions, language: str, arm: ArmResult) -> Asked | None:
        name = found.examples.get(language)
        if name is None or self._folder is None:
            return None
        if name not in self._asked:
            examples = load_examples(self._folder.trial(found.trial_id), name)
            self._asked[name] = self._laid_out(examples, language) if examples is not None else None
        return self._asked[name]

    def _laid_out(self, examples: TestExamples, language: str) -> Asked:
        numbers, lengths = _flat(examples.numbers)
        gold = self._placed(examples.labels)[numbers]
        is_pairs = bool(examples.numbers) and isinstance(examples.numbers[0], int)
        words = [sum(len(text.split()) for text in pair) for pair in examples.texts] if is_pairs else lengths
        first = replace(examples, texts=examples.texts[:MOST_TEXTS], numbers=examples.numbers[:MOST_TEXTS])
        return Asked(
            language=language,
            examples=first,
            lengths=lengths,
            num_words=np.asarray(words, dtype=np.int64),
            gold=gold,
            is_pairs=is_pairs,
        )

    def _placed(self, labels: Sequence[str]) -> Ints:
        """For each label of a file its place in `places`."""
        return np.array([self.places.setdefault(label, len(self.places)) for label in labels], dtype=np.int64)


def _flat(rows: Sequence[int | Sequence[int]]) -> tuple[Ints, Ints]:
    """All numbers one after the other, and how many each row has."""
    if not rows or isinstance(rows[0], int):
        return np.asarray(rows, dtype=np.int64), np.ones(len(rows), dtype=np.int64)
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))  # type: ignore[arg-type]
    numbers = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))  # type: ignore[arg-type]
    return numbers, lengths
