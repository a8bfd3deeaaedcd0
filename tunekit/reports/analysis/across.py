"""What there is to tell across the languages of a comparison: tables, correlations, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.reports.analysis.correlation_table import correlation_table
from tunekit.reports.analysis.gains import pairs
from tunekit.reports.analysis.group_table import group_table
from tunekit.reports.analysis.language_table import language_table
from tunekit.reports.analysis.naming import title_of
from tunekit.reports.analysis.relations import Relation, relate
from tunekit.reports.language_facts import LanguageFacts
from tunekit.reports.results import Comparison
from tunekit.reports.tables import Table
from tunekit.typology import family, no_distances
from tunekit.wording import names, plural


def tables(comparison: Comparison, facts: LanguageFacts | None) -> list[Table]:
    """What there is of the gains, the groups and the correlations of a comparison, in this order.

    Args:
        comparison: which.
        facts: what the user told of languages.
    """
    scored = [arm for arm in comparison.arms if arm.best is not None]
    if not scored or len(comparison.languages) < 3:
        return []
    beside = pairs(comparison)
    found = [language_table(comparison, scored, beside, facts), group_table(comparison, scored, beside)]
    if beside:
        found.append(correlation_table(comparison, relations(comparison, facts), facts))
    return [table for table in found if table is not None]


def relations(comparison: Comparison, facts: LanguageFacts | None) -> tuple[Relation, ...]:
    """The gain of each arm over its reference against each property of the languages."""
    return relate(title_of(comparison), pairs(comparison), facts)


def missing(comparison: Comparison) -> Iterator[str]:
    """Why a table of this comparison is left out or holds less than it could, a sentence each."""
    title = title_of(comparison)
    scored = [arm for arm in comparison.arms if arm.best is not None]
    if not scored:
        yield f"Across languages: no arm of {title} has test scores yet."
        return
    if len(comparison.languages) < 3:
        found = plural(len(comparison.languages) - 1, "target language")
        yield f"Across languages: {title} has {found}, and two are needed."
        return
    if not pairs(comparison):
        yield f"Gains: no two arms of {title} have test scores and as many shots, so there is nothing to compare."
    for pair in pairs(comparison):
        if not pair.shared:
            yield f"Gains: {pair.label} share no seed of a reported trial; differences are of means, without a spread."
        elif not pair.is_complete:
            yield (
                f"Gains: {pair.label} are over {plural(len(pair.shared), 'trial')} of each on the same seeds and draws;"
                " the others have no partner."
            )
    unknown = [language for language in comparison.languages if family(language) is None]
    if unknown:
        yield f"No family is known of {names(unknown)}, and perhaps no other property."
    if no_distances():
        yield no_distances()
