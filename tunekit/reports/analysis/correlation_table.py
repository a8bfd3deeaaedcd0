"""Correlations of gains with what is known of the languages, each with its n, its interval and its doubts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunekit.reports.analysis.naming import key_of, title_of
from tunekit.reports.analysis.relations import CONFIDENCE, LEAST_LANGUAGES, WIDE, Estimate, Relation
from tunekit.reports.language_facts import LanguageFacts
from tunekit.reports.results import Comparison
from tunekit.reports.tables import Cell, Column, Table
from tunekit.wording import names, percent, plural

CLEAR = "*"
"""Marks a correlation that stays clear of 0 among all of them."""


def correlation_table(comparison: Comparison, found: Sequence[Relation], facts: LanguageFacts | None = None) -> Table:
    """A row for each relation, those of which nothing is computed included.

    Args:
        comparison: which.
        found: its relations.
        facts: what the user told of languages.
    """
    columns = (
        Column(key="gain", title="gain"),
        Column(key="feature", title="against"),
        Column(key="n", title="languages", kind="count"),
        Column(key="r", title="Pearson's r", kind="number"),
        Column(key="r_low", title="from", kind="number"),
        Column(key="r_high", title="to", kind="number"),
        Column(key="rho", title="Spearman's rho", kind="number"),
        Column(key="rho_low", title="from", kind="number"),
        Column(key="rho_high", title="to", kind="number"),
        Column(key="genera", title="genera", kind="count"),
        Column(key="r_genera", title="r over genera", kind="number"),
        Column(key="r_genera_low", title="from", kind="number"),
        Column(key="r_genera_high", title="to", kind="number"),
        Column(key="said", title="remark"),
    )
    num = sum(relation.r is not None for relation in found)
    level = percent(CONFIDENCE, decimals=0)
    notes = [
        f"Intervals of {level} %, by Fisher's transformation, which for a property of 0 or 1 is rough. They take"
        " languages for independent draws, which languages of one family are not: the true ones are wider. r over"
        " genera is Pearson's r with one point for each genus, the mean of its languages.",
        f"{plural(num, 'correlation')} computed: of that many, {100 - float(level):.0f} % would leave out 0 by chance"
        " alone."
        f" {CLEAR}: r leaves out 0 also at the level corrected for all {num} (Bonferroni). A correlation is no cause:"
        " script, family, resources and tokens a word go together.",
        f"Over target languages of which the property is known; nothing is computed for fewer than {LEAST_LANGUAGES}"
        " languages (or genera). Tokens a word are those of the arm that gains.",
        _of_facts(facts),
        *_unknown(found),
    ]
    title = f"What the gains go with: {title_of(comparison)}"
    rows = tuple(_correlation(relation) for relation in found)
    return Table(name=f"correlations_{key_of(comparison)}", title=title, columns=columns, rows=rows, notes=tuple(notes))


def _correlation(relation: Relation) -> tuple[Cell, ...]:
    cells = [
        Cell(value=f"{relation.arm} − {relation.other}"),
        Cell(value=relation.title),
        Cell(value=relation.n, title=names(point[0] for point in relation.points)),
    ]
    marks = (CLEAR,) if relation.is_clear_of_all else ()
    for estimate, own in ((relation.r, marks), (relation.rho, ())):
        cells += _estimate(estimate, own)
    genera = relation.genera if relation.r is not None else None
    remark = f"not computed: {relation.reason}" if relation.reason else ""
    return (*cells, Cell(value=genera), *_estimate(relation.r_genera, ()), Cell(value=remark))


def _estimate(found: Estimate | None, marks: tuple[str, ...]) -> list[Cell]:
    if found is None:
        return [Cell(value=None)] * 3
    return [Cell(value=found.value, marks=marks), Cell(value=found.low), Cell(value=found.high)]


def _of_facts(facts: LanguageFacts | None) -> str:
    if facts is None:
        return (
            "How much of each language the backbones have read is not among them: `tunekit report NAME --languages"
            " FILE.csv` takes such figures."
        )
    return (
        f"{names(fact.title for fact in facts.facts)}: from {facts.name}; as log10 where all values of target languages"
        f" are above 0 and the largest is more than {WIDE:g} times the smallest."
    )


def _unknown(found: Sequence[Relation]) -> Iterator[str]:
    without: dict[tuple[str, ...], list[str]] = {}
    for relation in found:
        if relation.unknown:
            of = relation.unknown if relation.points else ("any language",)
            without.setdefault(of, []).append(relation.title)
    for unknown, titles in without.items():
        yield f"Unknown, and left out: {names(dict.fromkeys(titles))} of {names(unknown)}."
