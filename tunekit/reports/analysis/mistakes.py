"""What goes wrong in each language: the most frequent confusion, or what becomes of entities."""

from __future__ import annotations

from tunekit.reports.analysis.confusions import Confusion, Confusions, pooled, scores_of, targets_of
from tunekit.reports.analysis.entities import ALONE, BORDER, BOTH, RIGHT, TYPE
from tunekit.reports.analysis.kept import Kept
from tunekit.reports.tables import Cell, Column, Table, plain_row

ALL = "all targets"
"""All target languages together."""
OF_ENTITIES = {
    RIGHT: "right",
    TYPE: "right words, wrong type",
    BORDER: "right type, wrong words",
    BOTH: "both wrong",
    ALONE: "missed",
}
"""What becomes of the entities that are there, in words."""


def entity_tables(kept: Kept, found: Confusions, key: str) -> list[Table]:
    """What becomes of the entities that are there, and which predicted ones are invented: by arm, and by language."""
    columns = (
        Column(key="arm", title="arm"),
        Column(key="language", title="language"),
        Column(key="there", title="entities", kind="count"),
        *(Column(key=_key(words), title=f"{words}, %", kind="score") for words in OF_ENTITIES.values()),
        Column(key="predicted", title="predicted", kind="count"),
        Column(key="invented", title="invented, %", kind="score"),
        Column(key="f1", title="F1", kind="score"),
    )
    notes = (
        "Of the entities that are there, in %: right; the same words with another type; some of its words with its"
        " type, or with another one; no word found (missed). Of those predicted: without a word of any entity"
        " (invented). The shares of a row from right to missed add up to 100.",
        kept.read,
    )
    whole = {arm.arm.name: {ALL: pooled(list(targets_of(arm, found).values()))} for arm in kept.arms}
    return [
        Table(name=f"{name}_{key}", title=f"{title}: {kept.title}", columns=columns, rows=_entity_rows(of), notes=notes)
        for name, title, of in (
            ("entity_errors", "What becomes of entities", whole),
            ("entity_errors_by_language", "What becomes of entities in each language", found),
        )
    ]


def _key(words: str) -> str:
    return words.replace(",", "").replace(" ", "_")


def _entity_rows(found: Confusions) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        _entity_row(arm, language, each) for arm, by_language in found.items() for language, each in by_language.items()
    )


def _entity_row(arm: str, language: str, found: Confusion) -> tuple[Cell, ...]:
    assert found.outcomes is not None
    of_true, of_given = found.outcomes.tolist()
    there, predicted = sum(of_true), sum(of_given)
    shares = [of_true[outcome] / there if there else None for outcome in OF_ENTITIES]
    invented = of_given[ALONE] / predicted if predicted else None
    f1 = scores_of(of_true[RIGHT], predicted, there)[2]
    return plain_row((arm, language, there, *shares, predicted, invented, f1))


def label_errors_table(kept: Kept, found: Confusions, key: str) -> Table:
    """Accuracy and the most frequent confusion, by arm and language."""
    unit = "pairs" if kept.is_pairs else "words"
    columns = (
        Column(key="arm", title="arm"),
        Column(key="language", title="language"),
        Column(key="n", title=unit, kind="count"),
        Column(key="accuracy", title="accuracy", kind="score"),
        Column(key="right", title="most often wrong: right answer"),
        Column(key="said", title="predicted"),
        Column(key="of_errors", title="of its errors, %", kind="score"),
    )
    rows = [
        _label_row(arm.arm.name, language, each) for arm in kept.arms for language, each in found[arm.arm.name].items()
    ]
    return Table(
        name=f"errors_by_language_{key}",
        title=f"The most frequent confusion of each language: {kept.title}",
        columns=columns,
        rows=tuple(rows),
        notes=(kept.read,),
    )


def _label_row(arm: str, language: str, found: Confusion) -> tuple[Cell, ...]:
    wrong, there = found.wrong, int(found.there.sum())
    right, said = divmod(int(wrong.argmax()), len(found.names))
    times, errors = int(wrong[right, said]), int(wrong.sum())
    pair = (found.names[right], found.names[said], times / errors) if errors else (None, None, None)
    accuracy = int(found.right.sum()) / there if there else None
    return plain_row((arm, language, there, accuracy, *pair))
