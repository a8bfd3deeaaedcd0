"""What the labels of words are: entity tags, types of entities without a mark, or classes; so how they are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tunekit.tasks import slips
from tunekit.tasks.schemes import MARKED, OUTSIDE, Style, Tags, Unreadable, is_odd, is_tag, name_of, require_allowed
from tunekit.wording import names, share

FEW = 0.1
"""An ``O`` on fewer words than this share is a class like others, such as the pronouns of a tag set."""


@dataclass(frozen=True)
class Reading:
    """What an inventory turned out to be."""

    metric: str
    """``f1`` or ``accuracy``."""
    tags: Tags | None
    """Reads the labels; None where they mark no entities."""
    reason: str
    """Why this metric: the end of a sentence."""


def recognise(counts: Mapping[str, int], *, scheme: str | None = None, metric: str | None = None) -> Reading:
    """How the labels of a token task are read and scored.

    Args:
        counts: words with each label.
        scheme: as the user says it.
        metric: as the user says it.

    Raises:
        Unreadable: the labels are nearly entity tags, are none although scheme or metric say so, or may be either.
    """
    if scheme == "none":
        return Reading("accuracy", None, "the sweep file says that the labels mark no entities (scheme: none)")
    if scheme is not None:
        tags = _declared(counts, scheme)
        if metric is not None:
            return Reading(metric, tags, f"it is given (metric: {metric})")
        return Reading("f1", tags, f"the sweep file says that the labels mark entities (scheme: {scheme})")
    if metric == "accuracy":
        return Reading(metric, _marked_or_none(counts), f"it is given (metric: {metric})")
    marked = _marked(counts)
    if marked is not None:
        if metric is not None:
            return Reading(metric, marked, f"it is given (metric: {metric})")
        return Reading("f1", marked, f"the labels are entity tags, written as {marked.style}")
    if metric is not None:
        _require_types(counts)
        return Reading(metric, Tags("PER"), f"it is given (metric: {metric}); labels without a mark are entity types")
    return _bare(counts)


def _declared(counts: Mapping[str, int], scheme: str) -> Tags:
    fits = {style: _fitting(style, counts) for style in MARKED}
    best = max(MARKED, key=lambda style: len(fits[style]))  # of equals the first
    if scheme == "io" and len(fits[best]) < len(set(counts) - {OUTSIDE}):
        best = "PER"
    tags = Tags(best)
    require_allowed(tags, scheme, _frequent_first(counts))
    return tags


def _marked_or_none(counts: Mapping[str, int]) -> Tags | None:
    try:
        return _marked(counts)
    except Unreadable:
        return None


def _marked(counts: Mapping[str, int]) -> Tags | None:
    """Reads the labels if most of them have a mark.

    Raises:
        Unreadable: most have one and some have not.
    """
    inventory = set(counts) - {OUTSIDE}
    for style in MARKED:
        fitting = _fitting(style, counts)
        if fitting and fitting == inventory and _is_plausible(style, counts):
            tags = Tags(style)
            name_of(tags, inventory)
            return tags
    for style in MARKED[:-1]:
        fitting = _fitting(style, counts)
        odd = [label for label in _frequent_first(counts) if label in inventory - fitting]
        num_tags, num_odd = sum(counts[label] for label in fitting), sum(counts[label] for label in odd)
        if fitting and _is_plausible(style, counts) and (len(fitting) >= len(odd) or num_tags >= num_odd):
            raise Unreadable(odd, slips.cause_of(odd[0], style))
    often = _frequent_first(counts)
    slipped = [label for label in often if slips.is_slip(label) and label != "0"]
    if slipped and (2 * len(slipped) >= len(inventory) or slipped[0] == often[0]):
        raise Unreadable(slipped, slips.cause_of(slipped[0], "B-PER"))
    return None


def _is_plausible(style: Style, counts: Mapping[str, int]) -> bool:
    """Letters at the end of a label, or alone, are marks only where ``O`` or several of them are there too."""
    marks = {Tags(style).mark_of(label) for label in counts} - {None}
    return style == "B-PER" or OUTSIDE in counts or ("B" in marks and len(marks) > 1)


def _require_types(counts: Mapping[str, int]) -> None:
    """Refuse what cannot be types of entities, though f1 is wanted."""
    inventory = [label for label in _frequent_first(counts) if label != OUTSIDE]
    if OUTSIDE not in counts or not inventory:
        what = "all are O" if not inventory else f"such as {names(map(repr, inventory[:4]))}, and none is O"
        raise Unreadable(
            (),
            f"metric is f1, which counts entities, but the labels mark none ({what}); write tags such as B-PER and O, "
            "or metric: accuracy, or scheme: io if every word belongs to an entity whose type is its label",
        )
    odd = [label for label in inventory if is_odd("PER", label)]
    if odd:
        raise Unreadable(odd, slips.cause_of(odd[0], "PER"))


def _bare(counts: Mapping[str, int]) -> Reading:
    """Labels without marks: types of entities, if ``O`` is what most words have, or classes of words."""
    inventory, total = set(counts) - {OUTSIDE}, max(1, sum(counts.values()))
    if all(label.isdecimal() for label in counts) and len(counts) > 2 and 2 * counts.get("0", 0) >= total:
        raise Unreadable(
            (),
            f"the labels are numbers, and 0 is that of {share(counts['0'] / total)} of the words, as O is where "
            "entity tags were turned into numbers; write the tags (B-PER, O), or metric: accuracy if they are none",
        )
    part = counts.get(OUTSIDE, 0) / total
    most = max(counts.values(), default=0)
    if OUTSIDE not in counts or (part < FEW and counts[OUTSIDE] < most):
        few = f"O is on {share(part)} of the words only" if part else "there is neither O nor a mark such as B-"
        return Reading("accuracy", None, f"the labels mark no entities: {few}")
    if not inventory:
        raise Unreadable((OUTSIDE,), "is the only label: there is no entity at all; has it gold labels?")
    if counts[OUTSIDE] == most and not any(map(slips.is_no_type, inventory)):
        _require_types(counts)
        reason = f"O is the most frequent label ({share(part)} of the words) and the others look like entity types"
        return Reading("f1", Tags("PER"), f"{reason}; metric: accuracy would count words")
    shown = names(map(repr, [label for label in _frequent_first(counts) if label != OUTSIDE][:4]))
    raise Unreadable(
        (OUTSIDE,),
        f"is on {share(part)} of the words, beside labels without a mark ({shown}): they may be types of entities "
        "or classes of words; say metric: f1 (entities) or metric: accuracy (words)",
    )


def _frequent_first(counts: Mapping[str, int]) -> list[str]:
    return [label for label, _ in Counter(counts).most_common()]


def _fitting(style: Style, labels: Iterable[str]) -> set[str]:
    return {label for label in labels if label != OUTSIDE and is_tag(style, label)}
