"""Which label is taken for which, and how well each label or type of entity is found: over the target languages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tunekit.reports.analysis.entities import ALONE, OUTCOMES, RIGHT, TYPE, Entities, Inventory
from tunekit.reports.analysis.kept import Answers, ArmAnswers, Ints, Kept
from tunekit.reports.tables import Cell, Column, Table

NOTHING = "nothing"
"""What a missed entity is taken for, and what an invented one is made of."""
LEAST_CASES = 20
"""Of so many cases a share is worth naming a language for."""
NUM_TOP = 10
"""Confusions of an arm that are listed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusion:
    """How often each name was answered where each was right."""

    names: tuple[str, ...]
    table: Ints
    """Right answers by what was said, [names, names]; the diagonal is right. Entities of which only some words were
    found are on neither side."""
    there: Ints
    """How many there are of each name, [names]."""
    said: Ints
    """How often each name was predicted, [names]."""
    outcomes: Ints | None = None
    """How many entities there are of each of `tunekit.reports.analysis.entities.OUTCOMES`, and how many predicted ones,
    [2, outcomes]; None of labels."""

    @property
    def right(self) -> Ints:
        """How many of each name are right, [names]."""
        return np.diag(self.table).copy()

    @property
    def wrong(self) -> Ints:
        """`table` without its diagonal."""
        return self.table - np.diag(np.diag(self.table))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            names=self.names,
            table=self.table + other.table,
            there=self.there + other.there,
            said=self.said + other.said,
            outcomes=None if self.outcomes is None or other.outcomes is None else self.outcomes + other.outcomes,
        )


def _of_labels(answers: Answers, labels: tuple[str, ...]) -> Confusion:
    size = len(labels)
    table = np.bincount(answers.asked.gold * size + answers.said, minlength=size * size).reshape(size, size)
    return Confusion(names=labels, table=table, there=table.sum(axis=1), said=table.sum(axis=0))


def _of_types(true: Entities, given: Entities, types: tuple[str, ...]) -> Confusion:
    size = len(types) + 1  # the last one is nothing
    nothing, of_true, of_given = size - 1, true.outcomes(given), given.outcomes(true)
    whole = (of_true == RIGHT) | (of_true == TYPE)
    pairs = [
        (true.types[whole], given.word_types[true.starts[whole]]),
        (true.types[of_true == ALONE], nothing),
        (nothing, given.types[of_given == ALONE]),
    ]
    counts = [np.bincount(right * size + said, minlength=size * size) for right, said in pairs]
    return Confusion(
        names=(*types, NOTHING),
        table=np.sum(counts, axis=0).reshape(size, size),
        there=np.bincount(true.types, minlength=size),
        said=np.bincount(given.types, minlength=size),
        outcomes=np.stack([np.bincount(side, minlength=len(OUTCOMES)) for side in (of_true, of_given)]),
    )


def pooled(found: Sequence[Confusion]) -> Confusion:
    """All of them together; at least one."""
    first, *others = found
    for other in others:
        first = first + other
    return first


Confusions = dict[str, dict[str, Confusion]]
"""By arm, by language."""


def of_labels(kept: Kept) -> Confusions:
    """Of the labels of words or pairs, of every arm in every language."""
    return {
        arm.arm.name: {language: _of_labels(each, kept.labels) for language, each in arm.by_language.items()}
        for arm in kept.arms
    }


def of_entities(kept: Kept, inventory: Inventory) -> Confusions:
    """Of the types of entities, likewise; arms that were asked the same examples share what is there."""
    found: Confusions = {arm.arm.name: {} for arm in kept.arms}
    for language in dict.fromkeys(language for arm in kept.arms for language in arm.by_language):
        there: dict[int, Entities] = {}  # of one language at a time: entities of all of them would fill the memory
        for arm in (arm for arm in kept.arms if language in arm.by_language):
            answers = arm.by_language[language]
            if id(answers.asked) not in there:
                there[id(answers.asked)] = Entities.of(answers.asked.gold, answers.asked, inventory)
            given = Entities.of(answers.said, answers.asked, inventory)
            found[arm.arm.name][language] = _of_types(there[id(answers.asked)], given, inventory.types)
    return found


def top_table(kept: Kept, found: Confusions, key: str) -> Table:
    """The most frequent confusions of each arm."""
    unit = "entities" if kept.is_entities else "labels"
    columns = (
        Column(key="arm", title="arm"),
        Column(key="right", title="right answer"),
        Column(key="said", title="predicted"),
        Column(key="count", title="times", kind="count"),
        Column(key="of_right", title="of that answer, %", kind="score"),
        Column(key="of_errors", title="of these errors, %", kind="score"),
        Column(key="language", title="most often in"),
    )
    rows = tuple(row for arm in kept.arms for row in _top_rows(arm.arm.name, targets_of(arm, found)))
    notes = [
        f"The {NUM_TOP} most frequent of each arm, all target languages together, so that languages with more examples"
        " weigh more. Most often in: the language in which the largest share of that answer's cases goes this way"
        f" (of {LEAST_CASES} cases or more).",
        kept.read,
    ]
    if kept.is_entities:
        notes.insert(1, f"Types of entities whose words are all found; {NOTHING}: entities without a word in common.")
    return Table(
        name=f"confusions_{key}",
        title=f"Which {unit} are taken for which: {kept.title}",
        columns=columns,
        rows=rows,
        notes=tuple(notes),
    )


def targets_of(arm: ArmAnswers, found: Confusions) -> dict[str, Confusion]:
    """Those of an arm's target languages."""
    return {each.asked.language: found[arm.arm.name][each.asked.language] for each in arm.targets}


def _top_rows(arm: str, by_language: dict[str, Confusion]) -> Iterator[tuple[Cell, ...]]:
    whole = pooled(list(by_language.values()))
    wrong, size = whole.wrong, len(whole.names)
    order = np.argsort(-wrong, axis=None, kind="stable")[:NUM_TOP]
    for place in order:
        right, said = divmod(int(place), size)
        times = int(wrong[right, said])
        if not times:
            return
        there = int(whole.there[right])
        yield tuple(
            Cell(value=value)
            for value in (
                arm,
                whole.names[right],
                whole.names[said],
                times,
                times / there if there else None,
                times / int(wrong.sum()),
                _most_often(by_language, right, said),
            )
        )


def _most_often(by_language: dict[str, Confusion], right: int, said: int) -> str | None:
    shares = {
        language: each.table[right, said] / each.there[right]
        for language, each in by_language.items()
        if each.there[right] >= LEAST_CASES
    }
    if not shares:
        return None
    language = max(shares, key=lambda each: shares[each])
    return f"{language} ({100 * shares[language]:.0f} %)"


def label_table(kept: Kept, found: Confusions, key: str) -> Table:
    """Precision, recall and F1 of each label, or type of entity, for each arm."""
    by_arm = {arm.arm.name: pooled(list(targets_of(arm, found).values())) for arm in kept.arms}
    what = "type" if kept.is_entities else "label"
    columns = (
        Column(key="label", title=what),
        Column(key="arm", title="arm"),
        Column(key="there", title="there", kind="count"),
        Column(key="predicted", title="predicted", kind="count"),
        Column(key="precision", title="precision", kind="score"),
        Column(key="recall", title="recall", kind="score"),
        Column(key="f1", title="F1", kind="score"),
    )
    known = next(iter(by_arm.values())).names
    order = sorted(range(len(known)), key=lambda place: -max(int(each.there[place]) for each in by_arm.values()))
    rows = [row for place in order if known[place] != NOTHING for row in _label_rows(known[place], place, by_arm)]
    return Table(
        name=f"labels_{key}",
        title=f"How well each {what} is found: {kept.title}",
        columns=columns,
        rows=tuple(rows),
        notes=("All target languages together.", kept.read),
    )


def _label_rows(label: str, place: int, by_arm: dict[str, Confusion]) -> Iterator[tuple[Cell, ...]]:
    scores = {arm: scores_of(int(c.right[place]), int(c.said[place]), int(c.there[place])) for arm, c in by_arm.items()}
    if not any(int(each.there[place]) + int(each.said[place]) for each in by_arm.values()):
        return
    for arm, found in by_arm.items():
        precision, recall, f1 = scores[arm]
        yield (
            Cell(value=label),
            Cell(value=arm),
            Cell(value=int(found.there[place])),
            Cell(value=int(found.said[place])),
            Cell(value=precision),
            Cell(value=recall),
            Cell(value=f1),
        )


def scores_of(right: int, predicted: int, there: int) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1; None where there is nothing that they could be of."""
    whole = predicted + there
    return (
        right / predicted if predicted else None,
        right / there if there else None,
        2 * right / whole if whole else None,
    )
