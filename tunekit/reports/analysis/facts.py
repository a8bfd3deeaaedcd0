"""What is known of the languages of a comparison, and how that sorts them into groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunekit.languages import SCRIPTS, resource_class, script
from tunekit.reports.results import Comparison
from tunekit.typology import distance, family

UNKNOWN = "unknown"
"""The group of languages of which a table does not say."""
NEAR = 0.5
"""A language is near another one where their syntactic distance is below this: half of what it can be."""
LOW_RESOURCE = 2
"""The highest class of Joshi et al. that counts as low."""
LEAST_GROUPS = 2
"""Fewer known groups than this say nothing."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Languages that have something in common."""

    view: str
    """What sorts them, such as ``script``."""
    label: str
    languages: tuple[str, ...]


def groups(comparison: Comparison) -> tuple[Group, ...]:
    """The target languages by what they share with the source language, by resources and by family.

    A view that does not tell at least `LEAST_GROUPS` known groups apart is left out.
    """
    source, targets = comparison.source, comparison.languages[1:]
    views: list[tuple[str, Callable[[str], str]]] = [
        ("distance", lambda language: _near_or_distant(language, source)),
        ("script", lambda language: _same_or_other(script(language), script(source), SCRIPTS.get)),
        ("related", lambda language: _same_or_other(family(language), family(source), str)),
        ("resources", _resources),
        ("family", lambda language: family(language) or UNKNOWN),
    ]
    return tuple(group for view, group_of in views for group in _grouped(view, targets, group_of))


def _grouped(view: str, languages: Sequence[str], group_of: Callable[[str], str]) -> list[Group]:
    found: dict[str, list[str]] = {}
    for language in languages:
        found.setdefault(group_of(language), []).append(language)
    if len(found.keys() - {UNKNOWN}) < LEAST_GROUPS:
        return []
    order = sorted(found, key=lambda label: (label == UNKNOWN, -len(found[label]) if view == "family" else 0, label))
    return [Group(view=view, label=label, languages=tuple(found[label])) for label in order]


def _near_or_distant(language: str, source: str) -> str:
    apart = distance(language, source)
    if apart is None:
        return UNKNOWN
    return f"near {source}" if apart < NEAR else f"distant from {source}"


def _same_or_other(found: str | None, own: str | None, name: Callable[[str], str | None]) -> str:
    if found is None or own is None:
        return UNKNOWN
    return f"{name(own)}, as the source" if found == own else "another"


def _resources(language: str) -> str:
    found = resource_class(language)
    if found is None:
        return UNKNOWN
    return f"low: class 0 to {LOW_RESOURCE}" if found <= LOW_RESOURCE else f"high: class {LOW_RESOURCE + 1} to 5"
