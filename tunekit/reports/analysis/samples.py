"""A few test examples that went wrong, with what each arm answered: chosen by rule, and never by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from tunekit.reports.analysis.kept import MOST_TEXTS, Answers, ArmAnswers, Asked, Bools, Ints, Kept
from tunekit.reports.tables import Cell, Column, Table
from tunekit.tasks.schemes import Style, Tags
from tunekit.wording import count, names, one_line

NUM_LANGUAGES = 5
"""Target languages of which examples are shown: those with the lowest scores."""
NUM_EXAMPLES = 2
"""Of each of them."""
LEAST_WORDS, MOST_WORDS = 4, 25
"""Of a sentence that is shown; of a pair both texts together have `MOST_WORDS` times 2 at most."""
MOST_CHARACTERS = 140
"""Of a text or an answer that is shown; the rest is cut off."""
MOST_NAMED = 4
"""Labels or entities of an answer that are written out."""
RIGHT, NO_ENTITY = "right", "no entity"


def sample_table(kept: Kept, keys: Sequence[str], key: str) -> Table | None:
    """Wrong answers in the languages with the lowest scores; None where nothing went wrong."""
    rows = tuple(row for language in _languages(kept.arms) for row in _of_language(kept, language))
    if not rows:
        return None
    columns = (
        Column(key="language", title="language"),
        Column(key="text", title="text"),
        Column(key="gold", title="right answer"),
        *(Column(key=f"said_{own}", title=arm.arm.name) for own, arm in zip(keys, kept.arms, strict=True)),
    )
    size = f"{LEAST_WORDS} to {MOST_WORDS} words" if not kept.is_pairs else f"at most {2 * MOST_WORDS} words"
    unit = "entities" if kept.is_entities else "words"
    notes = [
        f"The first {NUM_EXAMPLES} test examples of {size} that an arm has wrong, those first that another arm has"
        f" right, among the first {count(MOST_TEXTS)} of each of the {NUM_LANGUAGES} target languages with the lowest"
        " scores (mean over arms). They illustrate and prove nothing."
        f" At most {MOST_NAMED} {unit} of an answer are named.",
        kept.read,
    ]
    return Table(
        name=f"examples_{key}",
        title=f"Examples of errors: {kept.title}",
        columns=columns,
        rows=rows,
        notes=tuple(notes),
    )


def _languages(arms: Sequence[ArmAnswers]) -> list[str]:
    """The target languages with the lowest mean score over the arms that have them."""
    scores: dict[str, list[float]] = {}
    for answers in (answers for arm in arms for answers in arm.targets):
        right, predicted, there = answers.counts.sum(axis=0).tolist()
        if predicted + there:
            scores.setdefault(answers.asked.language, []).append(2 * right / (predicted + there))
    return sorted(scores, key=lambda language: sum(scores[language]) / len(scores[language]))[:NUM_LANGUAGES]


def _of_language(kept: Kept, language: str) -> Iterator[tuple[Cell, ...]]:
    """Rows of a language; an arm that was asked other examples than the first one has an empty cell."""
    found = [arm.by_language.get(language) for arm in kept.arms]
    asked = next(answers.asked for answers in found if answers is not None)
    alike = [answers if answers is not None and answers.asked is asked else None for answers in found]
    for place in _chosen(asked, [_wrong(answers) for answers in alike if answers is not None]):
        example = _Example(kept, asked, place)
        cells = [Cell(value=language), Cell(value=example.text), Cell(value=example.gold(alike))]
        yield (*cells, *(Cell(value=example.said(answers) if answers else None) for answers in alike))


def _wrong(answers: Answers) -> Bools:
    """For each example whether something counts as wrong; other tags that mean the same entities do not."""
    right, predicted, there = answers.counts.T
    is_wrong: Bools = (right < there) | (right < predicted)
    return is_wrong


def _chosen(asked: Asked, wrong: Sequence[Bools]) -> list[int]:
    """The places of the examples to show, in the order of the test."""
    num_wrong = np.sum(wrong, axis=0)
    wrong_ones = np.flatnonzero(num_wrong[: len(asked.examples.texts)] > 0).tolist()
    candidates = [place for place in wrong_ones if _fits(asked, place)]
    candidates.sort(key=lambda place: num_wrong[place] == len(wrong))  # stable: the order of the test stays
    return sorted(candidates[:NUM_EXAMPLES])


def _fits(asked: Asked, place: int) -> bool:
    if asked.is_pairs:
        return int(asked.num_words[place]) <= 2 * MOST_WORDS
    return LEAST_WORDS <= int(asked.lengths[place]) <= MOST_WORDS


@dataclass(frozen=True)
class _Example:
    """One test example, as a reader sees it."""

    kept: Kept
    asked: Asked
    place: int

    @property
    def own(self) -> slice:
        """Its words among those of its language."""
        start = int(self.asked.starts[self.place])
        return slice(start, start + int(self.asked.lengths[self.place]))

    @property
    def text(self) -> str:
        """Its words, or the two texts of a pair."""
        between = " ‖ " if self.asked.is_pairs else " "
        return one_line(between.join(self.asked.examples.texts[self.place]), limit=MOST_CHARACTERS)

    def gold(self, arms: Sequence[Answers | None]) -> str:
        """The right answer, where answers of `arms` differ from it."""
        gold = self.asked.gold[self.own]
        differ = np.any([answers.said[self.own] != gold for answers in arms if answers is not None], axis=0)
        return self._shown(gold, differ)

    def said(self, answers: Answers) -> str:
        """What an arm answered, where it is wrong."""
        said = answers.said[self.own]
        return self._shown(said, said != self.asked.gold[self.own]) if _wrong(answers)[self.place] else RIGHT

    def _shown(self, numbers: Ints, differ: Bools) -> str:
        """The entities that labels mean; else the label of a pair, or of the words in which answers differ."""
        words = self.asked.examples.texts[self.place]
        labels: list[str] = [self.kept.labels[number] for number in numbers.tolist()]
        if self.asked.is_pairs:
            return labels[0]
        if self.kept.is_entities and self.kept.style is not None:
            spans = Tags(cast(Style, self.kept.style)).spans(labels)
            items = [f"{kind or 'entity'}: {' '.join(words[start:end])}" for start, end, kind in spans]
        else:
            items = [f"{words[at]}: {labels[at]}" for at in np.flatnonzero(differ).tolist()]
        more = [f"{len(items) - MOST_NAMED} more"] if len(items) > MOST_NAMED else []
        return one_line(names([*items[:MOST_NAMED], *more]) or NO_ENTITY, limit=MOST_CHARACTERS)
