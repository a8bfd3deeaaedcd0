"""What is known of each language, beside what each arm gains in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunekit import languages, typology
from tunekit.languages import SCRIPTS, resource_class, script
from tunekit.reports.analysis.gains import Pair
from tunekit.reports.analysis.naming import key_of, keys_of, title_of
from tunekit.reports.analysis.relations import tokens_per_word
from tunekit.reports.language_facts import LanguageFacts
from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.tables import Cell, Column, Table, Value
from tunekit.typology import distance, family, genus, no_distances, num_shared
from tunekit.wording import names


@dataclass(frozen=True, kw_only=True)
class _Filled:
    """A column, and what stands in it for a language."""

    column: Column
    of: Callable[[str], Value]


def language_table(
    comparison: Comparison, scored: Sequence[ArmResult], beside: Sequence[Pair], facts: LanguageFacts | None = None
) -> Table:
    """A row for each language of a comparison.

    Args:
        comparison: which.
        scored: its arms with test scores.
        beside: its pairs of arms.
        facts: what the user told of languages.
    """
    filled = [
        *_known(comparison.source),
        *_given(facts),
        *_of_arms(comparison, scored),
        *map(_gain, beside, keys_of([pair.arm for pair in beside])),
    ]
    rows = tuple(tuple(Cell(value=each.of(language)) for each in filled) for language in comparison.languages)
    notes = [] if no_distances() else [f"Distance: {_distance_in_words()}"]
    notes.append(f"Resource classes and scripts: {languages.SOURCE}. Families and genera: the usual classification.")
    if facts is not None:
        notes.append(f"From {facts.name}, as it was given: {names(fact.title for fact in facts.facts)}.")
    if beside:
        notes.append(_of_gains(beside))
    return Table(
        name=f"languages_{key_of(comparison)}",
        title=f"Languages of {title_of(comparison)}, and what each arm gains in them",
        columns=tuple(each.column for each in filled),
        rows=rows,
        notes=tuple(notes),
    )


def _known(source: str) -> list[_Filled]:
    """What does not depend on an arm."""
    return [
        _Filled(column=Column(key="language", title="language"), of=str),
        _Filled(column=Column(key="script", title="script"), of=_script),
        _Filled(column=Column(key="family", title="family"), of=family),
        _Filled(column=Column(key="genus", title="genus"), of=genus),
        *_distances(source),
        _Filled(column=Column(key="resource_class", title="resource class", kind="count"), of=resource_class),
    ]


def _distances(source: str) -> list[_Filled]:
    if no_distances():
        return []
    apart = Column(key="distance", title=f"syntactic distance from {source}", kind="number")
    shared = Column(key="features", title="features known of both", kind="count")
    return [
        _Filled(column=apart, of=lambda language: distance(language, source)),
        _Filled(column=shared, of=lambda language: num_shared(language, source)),
    ]


def _given(facts: LanguageFacts | None) -> list[_Filled]:
    """What the user told, as it stands in the file."""
    return [
        _Filled(column=Column(key=fact.key, title=fact.title, kind="number"), of=fact.values.get)
        for fact in (facts.facts if facts else ())
    ]


def _script(language: str) -> str | None:
    found = script(language)
    return None if found is None else SCRIPTS[found]


def _of_arms(comparison: Comparison, scored: Sequence[ArmResult]) -> list[_Filled]:
    """What depends on the backbones: tokens a word, where it is known."""
    written = {arm.name: tuple(tokens_per_word(arm, each) for each in comparison.languages) for arm in scored}
    known = {name: counts for name, counts in written.items() if any(counts)}
    if len(set(known.values())) == 1 and len(known) == len(scored):
        return [_tokens("tokens", "tokens a word", scored[0])]
    keyed = zip(scored, keys_of(scored), strict=True)
    return [_tokens(f"tokens_{key}", f"tokens a word: {a.name}", a) for a, key in keyed if a.name in known]


def _tokens(key: str, title: str, arm: ArmResult) -> _Filled:
    return _Filled(
        column=Column(key=key, title=title, kind="number"), of=lambda language: tokens_per_word(arm, language)
    )


def _gain(pair: Pair, key: str) -> _Filled:
    column = Column(key=f"gain_{key}", title=pair.label, kind="difference")
    return _Filled(column=column, of=lambda language: pair.gain([language]))


def _distance_in_words() -> str:
    return (
        "the angle between the syntactic features that are known of the language and of the source, 0 where all are"
        " alike to 1 where they have nothing in common; none where fewer than"
        f" {typology.LEAST_SHARED} are known of both. {typology.SOURCE}."
    )


def _of_gains(beside: Sequence[Pair]) -> str:
    counts = sorted({len(pair.shared) for pair in beside})
    return (
        "Gains: test score of the first arm named minus that of the second, which is the first arm of the file with as"
        " many shots; mean ± standard deviation over trials of the same seed and draw"
        f" (n = {names(counts)})."
    )
