"""Why the languages differ: gains against what is known of the languages, and what goes wrong in each.

`analyse` reads a sweep once; renderers and figures take tables, relations and notes from it. Tables hold values and no
texts that depend on a format. What is missing (no second arm, no predictions, too few languages) is said in `notes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.reports.analysis import across, errors, kept
from tunekit.reports.analysis.naming import key_of
from tunekit.reports.analysis.relations import Estimate, Relation
from tunekit.reports.results import SweepResult
from tunekit.reports.tables import Table

__all__ = ["Analysis", "Estimate", "Relation", "Section", "analyse", "notes", "relations", "sections", "tables"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """Tables that belong together, with what is missing among them."""

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    """Sentences, plain text: what is left out and why."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """All of it."""

    across: Section
    """Gains, groups of languages, correlations."""
    errors: Section
    relations: tuple[Relation, ...]
    """For figures: what `across` tells in its correlations, with every point."""


def analyse(result: SweepResult) -> Analysis:
    """The analysis of a sweep in any state; the same object for the same result, which is read once.

    Raises:
        StorageError: a file of predictions is there and cannot be read.
    """
    return result.once("analysis", lambda: _analysed(result))


def _analysed(result: SweepResult) -> Analysis:
    comparisons, facts = result.comparisons, result.language_facts
    read = {key_of(comparison): kept.read(result, comparison) for comparison in comparisons}
    return Analysis(
        across=Section(
            title="Across languages",
            tables=tuple(table for comparison in comparisons for table in across.tables(comparison, facts)),
            notes=tuple(dict.fromkeys(note for comparison in comparisons for note in across.missing(comparison))),
        ),
        errors=Section(
            title="Errors",
            tables=tuple(table for key, found in read.items() for table in errors.tables(found, key)),
            notes=tuple(dict.fromkeys(note for found in read.values() for note in found.missing)),
        ),
        relations=tuple(relation for comparison in comparisons for relation in across.relations(comparison, facts)),
    )


def tables(result: SweepResult) -> tuple[Table, ...]:
    """Every table, those across languages first."""
    found = analyse(result)
    return (*found.across.tables, *found.errors.tables)


def relations(result: SweepResult) -> tuple[Relation, ...]:
    """Gains against properties of the languages, point by point: what figures are drawn from."""
    return analyse(result).relations


def notes(result: SweepResult) -> tuple[str, ...]:
    """What is left out and why, a sentence each."""
    found = analyse(result)
    return (*found.across.notes, *found.errors.notes)


def sections(result: SweepResult) -> tuple[Section, ...]:
    """The sections of a report that have a table or something to say."""
    found = analyse(result)
    return tuple(section for section in (found.across, found.errors) if section.tables or section.notes)
