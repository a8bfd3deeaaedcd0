"""Tables of a comparison by what is known of its languages: how finely they are written, resources and script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tunekit import languages
from tunekit.languages import SCRIPTS, resource_class, script, separates_words
from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.tables import Cell, Column, Table, table_name
from tunekit.segmentation import Granularity
from tunekit.wording import count, names

UNKNOWN = "unknown"
"""The group of the languages that the table of :mod:`tunekit.languages` lacks."""
LEAST_GROUPS = 2
"""Fewer known groups than this say nothing."""
A_CHARACTER = "a character"


def has_words(found: Granularity, language: str) -> bool:
    """Whether tokens a word mean anything: the data give the words, or the language parts them by white space."""
    return found.are_words_given or separates_words(language)


def tokens(comparison: Comparison) -> Table | None:
    """Language, tokens a word and the score of each arm; None where no journal says how many tokens there are.

    Arms that write all languages alike share a column of tokens.
    """
    arms = [arm for arm in comparison.arms if arm.best is not None]
    written: dict[tuple[Cell, ...], list[str]] = {}
    for arm in arms:
        written.setdefault(tuple(_ratio(arm, language) for language in comparison.languages), []).append(arm.name)
    written = {cells: owners for cells, owners in written.items() if any(cell.value is not None for cell in cells)}
    if not written:
        return None
    is_one = len(written) == 1
    columns = [Column(key="language", title="language")]
    for number, owners in enumerate(written.values(), start=1):
        title = "tokens a word" if is_one else f"tokens a word: {names(owners)}"
        columns.append(Column(key=f"tokens_{number}", title=title, kind="number"))
    columns += [Column(key=f"score_{arm.name}", title=arm.name, kind="score") for arm in arms]
    rows = []
    for place, language in enumerate(comparison.languages):
        scores = [arm.best.score(language, comparison.metric) if arm.best else None for arm in arms]
        ratios = [cells[place] for cells in written]
        rows.append((Cell(value=language), *ratios, *(Cell(value=score) for score in scores)))
    return Table(
        name=table_name("tokens", comparison.task, comparison.source),
        title=f"{comparison.task}: tokens a word",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(
            [
                "Tokens of the whole test texts, without special ones, and test scores. Words are those that the data"
                " give; of pairs, what white space parts, and where a language does not part its words, tokens a"
                " character.",
                *([finer] if (finer := _finer(comparison)) else []),
            ]
        ),
    )


def _ratio(arm: ArmResult, language: str) -> Cell:
    found = arm.best.granularity(language) if arm.best else None
    if found is None:
        return Cell(value=None)
    if has_words(found, language):
        return Cell(value=found.per_word)
    return Cell(value=found.per_character, remark=A_CHARACTER)


def _finer(comparison: Comparison) -> str:
    """Which arms split pieces further, and how many of those drawn stayed whole; empty if none does."""
    said: dict[str, list[str]] = {}
    for arm in comparison.arms:
        for language, chance in (arm.arm.backbone.segmentation or {}).items():
            found = arm.best.granularity(language) if arm.best else None
            if found is not None:
                drawn = count(found.num_split + found.num_whole)
                text = f"in {language} with probability {chance.split:g}, of {drawn} drawn in test"
                said.setdefault(f"{text} {count(found.num_whole)} stay whole", []).append(arm.name)
    listed = "; ".join(f"{names(arms)} {text}" for text, arms in said.items())
    return f"Pieces split further (key segmentation): {listed}." if listed else ""


def by_groups(comparison: Comparison) -> list[Table]:
    """A table for resource classes and one for scripts, of those that tell at least two groups of targets apart."""
    kinds: dict[str, Callable[[str], str]] = {"resource class": _class_of, "script": _script_of}
    found = [table for kind, of in kinds.items() if (table := _by_group(comparison, kind, of)) is not None]
    note = f"Means over the target languages of a group, each as zero_shot is; {languages.SOURCE}."
    return [*found[:-1], *(replace(table, notes=(note,)) for table in found[-1:])]


def _class_of(language: str) -> str:
    found = resource_class(language)
    return UNKNOWN if found is None else f"class {found}"


def _script_of(language: str) -> str:
    found = script(language)
    return UNKNOWN if found is None else SCRIPTS[found]


def _by_group(comparison: Comparison, kind: str, group_of: Callable[[str], str]) -> Table | None:
    """The mean over each group's targets for each arm, with the number of these languages; None for one group."""
    groups: dict[str, list[str]] = {}
    for language in comparison.languages[1:]:
        groups.setdefault(group_of(language), []).append(language)
    if len(groups.keys() - {UNKNOWN}) < LEAST_GROUPS or all(arm.best is None for arm in comparison.arms):
        return None
    order = sorted(groups, key=lambda group: (group == UNKNOWN, group))
    return Table(
        name=table_name("by", kind, comparison.task, comparison.source),
        title=f"{comparison.task}: by {kind}",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="n", title="n", kind="count"),
            *(Column(key=table_name(g), title=f"{g} ({len(groups[g])})", kind="score") for g in order),
        ),
        rows=tuple(tuple(_means(arm, [groups[group] for group in order], comparison)) for arm in comparison.arms),
    )


def _means(arm: ArmResult, groups: list[list[str]], comparison: Comparison) -> list[Cell]:
    """n, and the mean over each group; an arm that scores only some of its languages says how many."""
    if arm.best is None:
        return [Cell(value=arm.name), Cell(value=0), *[Cell(value=None)] * len(groups)]
    cells = [Cell(value=arm.name), Cell(value=len(arm.best.trials))]
    for found in groups:
        own = [language for language in found if language in arm.targets]
        part = f"({len(own)})" if 0 < len(own) < len(found) else ""
        cells.append(Cell(value=arm.best.zero_shot(own, comparison.metric), remark=part))
    return cells
