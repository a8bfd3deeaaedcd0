"""How labels mark entities: the scheme of an inventory, and the entities that a row of labels means.

A tag is a mark and a type: ``B-PER``, ``B_PER``, ``PER-B``, ``PER_B``, a mark alone (``B``) or a type alone (``PER``).
``O`` is outside of every entity.

| scheme | marks | an entity of three words, one of one word |
|---|---|---|
| iob1 | I, and B right after an entity of the same type | I I I, I |
| iob2 | B I | B I I, B |
| bioes (also BIESO, IOBES) | B I E S | B I E, S |
| bilou | B I L U | B I L, U |
| bmes | B M E S | B M E, S |
| io | I, or types without a mark | I I I, I |

A mark means the same in every scheme, so entities are counted alike whichever it is: as conlleval (Tjong Kim Sang and
Buchholz 2000) and seqeval's default mode count them. An entity may begin with ``I-``, and malformed rows have entities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunekit.tasks import slips
from tunekit.wording import names

Style = Literal["B-PER", "B_PER", "PER-B", "PER_B", "B", "PER"]
"""How a tag is written, by the example of the beginning of a person's name."""
Tag = tuple[str, str]
"""A mark of BIOES, and a type."""
Span = tuple[int, int, str]
"""First word, the one after the last, type."""

OUTSIDE = "O"
MARKS = frozenset("BIESLUM")
PLAIN = {"L": "E", "U": "S", "M": "I"}
"""Marks of BILOU and BMES as those of BIOES that mean the same."""
ALLOWED: Mapping[str, frozenset[str]] = {
    "io": frozenset("I"),
    "iob1": frozenset("BI"),
    "iob2": frozenset("BI"),
    "bioes": frozenset("BIES"),
    "bilou": frozenset("BILU"),
    "bmes": frozenset("BMES"),
}
"""The marks of each scheme. Of schemes that hold the marks of an inventory, the first one is its scheme."""
MARKED: tuple[Style, ...] = ("B-PER", "B_PER", "PER-B", "PER_B", "B")


class Unreadable(Exception):
    """Labels that should be entity tags and are none.

    Args:
        labels: those that cannot be read, the most frequent first; empty where it is the whole inventory.
        text: what is wrong and what would be right.
    """

    def __init__(self, labels: Sequence[str], text: str) -> None:
        super().__init__(text)
        self.labels, self.text = tuple(labels), text


@dataclass(frozen=True)
class Tags:
    """Reads labels that are written in one style."""

    style: Style
    _known: dict[str, Tag | None] = field(default_factory=lambda: {OUTSIDE: None}, repr=False, compare=False)

    def mark_of(self, label: str) -> str | None:
        """The mark as it is written; None for ``O`` and for what is no tag of this style."""
        found = _split(self.style, label)
        return None if found is None or label == OUTSIDE else found[0]

    def read(self, label: str) -> Tag | None:
        """Mark (of BIOES) and type; None for ``O``.

        Raises:
            ValueError: no tag of this style.
        """
        if label not in self._known:
            found = _split(self.style, label)
            if found is None:
                raise ValueError(f"label {label!r} is no entity tag such as {self.style}")
            self._known[label] = (PLAIN.get(found[0], found[0]), found[1])
        return self._known[label]

    def read_or_none(self, label: str) -> Tag | None:
        """As `read`; None also for what is no tag of this style."""
        return None if label not in self._known and _split(self.style, label) is None else self.read(label)

    def spans(self, row: Iterable[str]) -> list[Span]:
        """The entities of one sentence in order, as conlleval counts them; no two share a word."""
        found: list[Span] = []
        start, before = 0, None
        for at, tag in enumerate(map(self.read, row)):
            opens = tag is not None and (before is None or _is_border(before, tag))
            if before is not None and (opens or tag is None):
                found.append((start, at, before[1]))
            if opens:
                start = at
            before = tag
            end = at + 1
        if before is not None:
            found.append((start, end, before[1]))
        return found


def _is_border(before: Tag, tag: Tag) -> bool:
    return tag[0] in "BS" or before[0] in "ES" or before[1] != tag[1]


def name_of(tags: Tags, labels: Iterable[str], *, opened_by_i: int = 0, opened_by_b: int = 0) -> str:
    """The name of the scheme that labels follow.

    Args:
        tags: reads them.
        labels: of all that is read, and not of train alone.
        opened_by_i: entities that begin with I and do not stand right after one of their type.
        opened_by_b: entities that begin with B, likewise.

    Raises:
        Unreadable: their marks belong to no one scheme.
    """
    if tags.style == "PER":
        return "io"
    by_mark: dict[str, str] = {}
    for label in sorted(labels):
        mark = tags.mark_of(label)
        if mark is not None:
            by_mark.setdefault(mark, label)
    for scheme, allowed in ALLOWED.items():
        if by_mark.keys() <= allowed:
            return "iob2" if scheme == "iob1" and (opened_by_b or not opened_by_i) else scheme
    rare = [label for mark, label in by_mark.items() if mark not in "BI"]
    raise Unreadable(
        rare, f"has a mark of another scheme than others: {names(sorted(by_mark))} belong to no one ({_schemes()})"
    )


def require_allowed(tags: Tags, scheme: str | None, labels: Iterable[str]) -> None:
    """Refuse labels that are no tags, or whose mark is not one of a declared scheme.

    Raises:
        Unreadable: they are named, with the likely cause of each.
    """
    odd = [label for label in labels if label != OUTSIDE and is_odd(tags.style, label)]
    if odd:
        raise Unreadable(odd, slips.cause_of(odd[0], tags.style))
    if scheme is None or tags.style == "PER":
        return
    wrong = [label for label in labels if label != OUTSIDE and tags.mark_of(label) not in ALLOWED[scheme]]
    if wrong:
        marks = names(sorted(ALLOWED[scheme]))
        raise Unreadable(wrong, f"has a mark that scheme {scheme} has not (its marks: {marks}); {_schemes()}")


def is_tag(style: Style, label: str) -> bool:
    """Whether a label is written in this style; ``O`` is in none."""
    return label != OUTSIDE and _split(style, label) is not None


def is_odd(style: Style, label: str) -> bool:
    """Whether a label other than ``O`` is probably a slip among tags of this style."""
    if style == "PER":
        return slips.is_slip(label) or (is_tag("B-PER", label) and not label.startswith("I-"))
    return _split(style, label) is None


def _split(style: Style, label: str) -> Tag | None:
    """Mark and type as they are written."""
    if style == "PER":
        return "I", label
    if style == "B":
        return (label, "") if label in MARKS else None
    mark, sign, kind = (label[:1], label[1:2], label[2:]) if style[0] == "B" else (label[-1:], label[-2:-1], label[:-2])
    right = style[1] if style[0] == "B" else style[-2]
    return (mark, kind) if mark in MARKS and sign == right and kind else None


def _schemes() -> str:
    return "schemes: " + ", ".join(f"{name} {''.join(sorted(marks))}" for name, marks in ALLOWED.items())
