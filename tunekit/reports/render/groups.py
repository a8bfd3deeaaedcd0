"""Tables of a comparison by what is known of its languages: how finely they are written, resources and script."""

from __future__ import annotations

from collections.abc import Callable

from tunekit.languages import SCRIPTS, resource_class, script, separates_words
from tunekit.markdown import plain
from tunekit.reports.render.formats import markdown_table, spread
from tunekit.reports.results import ArmResult, Comparison
from tunekit.segmentation import Granularity
from tunekit.wording import NOTHING, count, names

UNKNOWN = "unknown"
"""The group of the languages that the table of :mod:`tunekit.languages` lacks."""
LEAST_GROUPS = 2
"""Fewer known groups than this say nothing."""


def has_words(found: Granularity, language: str) -> bool:
    """Whether tokens a word mean anything: the data give the words, or the language parts them by white space."""
    return found.are_words_given or separates_words(language)


def tokens(comparison: Comparison) -> str:
    """Language, tokens a word and the score of each arm; empty where no journal says how many tokens there are.

    Arms that write all languages alike share a column of tokens.
    """
    arms = [arm for arm in comparison.arms if arm.best is not None]
    written: dict[tuple[str, ...], list[str]] = {}
    for arm in arms:
        written.setdefault(tuple(_ratio(arm, language) for language in comparison.languages), []).append(arm.name)
    written = {ratios: owners for ratios, owners in written.items() if set(ratios) != {NOTHING}}
    if not written:
        return ""
    is_one = len(written) == 1
    heads = ["tokens a word" if is_one else f"tokens a word: {plain(names(owners))}" for owners in written.values()]
    rows = []
    for place, language in enumerate(comparison.languages):
        scores = [spread(arm.best.score(language, comparison.metric)) if arm.best else NOTHING for arm in arms]
        rows.append([plain(language), *(ratios[place] for ratios in written), *scores])
    return markdown_table(["language", *heads, *(plain(arm.name) for arm in arms)], rows)


def _ratio(arm: ArmResult, language: str) -> str:
    found = arm.best.granularity(language) if arm.best else None
    if found is None:
        return NOTHING
    return f"{found.per_word:.2f}" if has_words(found, language) else f"{found.per_character:.2f} a character"


def finer(comparison: Comparison) -> str:
    """Which arms split pieces further, and how many of those drawn stayed whole; empty if none does."""
    said: dict[str, list[str]] = {}
    for arm in comparison.arms:
        for language, chance in (arm.arm.backbone.segmentation or {}).items():
            found = arm.best.granularity(language) if arm.best else None
            if found is not None:
                drawn = count(found.num_split + found.num_whole)
                text = f"in {plain(language)} with probability {chance.split:g}, of {drawn} drawn in test"
                said.setdefault(f"{text} {count(found.num_whole)} stay whole", []).append(plain(arm.name))
    listed = "; ".join(f"{names(arms)} {text}" for text, arms in said.items())
    return f"Pieces split further (`segmentation`): {listed}." if listed else ""


def by_groups(comparison: Comparison) -> list[str]:
    """A table for resource classes and one for scripts, of those that tell at least two groups of targets apart."""
    kinds: tuple[Callable[[str], str], ...] = (_class_of, _script_of)
    return [table for kind in kinds if (table := _table(comparison, kind))]


def _class_of(language: str) -> str:
    found = resource_class(language)
    return UNKNOWN if found is None else f"class {found}"


def _script_of(language: str) -> str:
    found = script(language)
    return UNKNOWN if found is None else SCRIPTS[found]


def _table(comparison: Comparison, group_of: Callable[[str], str]) -> str:
    """The mean over each group's targets for each arm, with the number of these languages; empty for one group."""
    groups: dict[str, list[str]] = {}
    for language in comparison.languages[1:]:
        groups.setdefault(group_of(language), []).append(language)
    if len(groups.keys() - {UNKNOWN}) < LEAST_GROUPS or all(arm.best is None for arm in comparison.arms):
        return ""
    order = sorted(groups, key=lambda group: (group == UNKNOWN, group))
    rows = [[plain(arm.name), *_means(arm, [groups[group] for group in order], comparison)] for arm in comparison.arms]
    return markdown_table(["arm", "n", *(f"{group} ({len(groups[group])})" for group in order)], rows)


def _means(arm: ArmResult, groups: list[list[str]], comparison: Comparison) -> list[str]:
    """n, and the mean over each group; an arm that scores only some of its languages says how many."""
    if arm.best is None:
        return ["0", *[NOTHING] * len(groups)]
    cells = []
    for languages in groups:
        own = [language for language in languages if language in arm.targets]
        part = f" ({len(own)})" if 0 < len(own) < len(languages) else ""
        cells.append(f"{spread(arm.best.zero_shot(own, comparison.metric))}{part}")
    return [str(len(arm.best.trials)), *cells]
