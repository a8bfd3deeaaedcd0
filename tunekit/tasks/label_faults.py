"""Label inventories that are no inventories: marks of a missing label, two spellings of one label, a column of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from unicodedata import category

from tunekit.errors import DataError
from tunekit.tasks.examples import Example, Kind, TokenExample, labels_of
from tunekit.tasks.schemes import OUTSIDE
from tunekit.tasks.slips import OUTSIDE_SLIPS, cause_of, is_cut_wrongly
from tunekit.wording import count, one_line

NULLS = ("", "-", "-1", "_", "nan", "NaN", "null", "NULL", "<NA>", "#N/A")
"""What data sets write where there is no label. ``None`` and ``none`` are not among them: they name classes too."""
MANY = 100
"""No check of how an inventory grows before it has this many labels."""
SHARE_OF_PAIRS = 0.1
"""More labels than this share of the pairs are a column of text."""
SHARE_OF_WORDS = 0.5
"""More labels than this share of the different words are a column of words (or of lemmas)."""
FEW_ROWS = 20
"""Fewer words or pairs than that say nothing about how an inventory grows."""
MANY_OF_FEW = 10
"""So many labels on less than twice as many pairs are a column of text."""
ADVICE = "is the label's column mistaken for the text's? (columns says which is which)"
LONG = 5
"""A label of so many words is a text."""


NUM_SHOWN = 3
"""Lines that a message names."""
MAX_QUOTED = 80
"""Characters of a label that a message quotes."""
MAX_TEXT = 600
"""Characters that a message says about it."""
Locate = Callable[[int, int], str]
"""``(example, word) -> place``, for messages."""


@dataclass(frozen=True)
class Fault:
    """Labels that cannot be right."""

    labels: Sequence[str]
    """Those whose lines are shown; the first is the one that is named. Empty: it is the whole split."""
    text: str
    """What is wrong and what would be right, after ``label '...'``."""


class Labelled:
    """The examples of a split, and its labels.

    Args:
        examples: all of them.
        locate: tells where a word (or pair) stands.
        kind: of the examples.
    """

    def __init__(self, examples: Sequence[Example], locate: Locate, kind: Kind) -> None:
        self.examples, self.kind, self._locate = examples, kind, locate
        self.counts = Counter(chain.from_iterable(map(labels_of, examples)))
        self.often = [label for label, _ in self.counts.most_common()]
        """The labels, the most frequent first."""

    def error(self, fault: Fault) -> DataError:
        """What is wrong, with the first lines."""
        text = one_line(fault.text, limit=MAX_TEXT)  # it may quote a label, or list all that train has
        if not fault.labels:
            return DataError(f"{self._locate(0, 0)}: {text}")
        label, unit = fault.labels[0], "words" if self.kind == "token" else "pairs"
        places = list(dict.fromkeys(self._locate(*at) for at in self._shown(fault.labels)))
        more = f"; see also {', '.join(places[1:])}" if places[1:] else ""
        quoted = repr(label if len(label) <= MAX_QUOTED else label[: MAX_QUOTED - 3] + "...")
        number = f"{count(self.counts[label])} of {count(self.counts.total())} {unit} have it"
        return DataError(f"{places[0]}: label {quoted} {text} ({number}{more})")

    def _shown(self, labels: Sequence[str]) -> list[tuple[int, int]]:
        """The first place of each label, in their order, then more places of the first one."""
        wanted, firsts, more = set(labels), dict[str, tuple[int, int]](), list[tuple[int, int]]()
        for index, example in enumerate(self.examples):
            for word, label in enumerate(labels_of(example)):
                if label in wanted and firsts.setdefault(label, (index, word)) != (index, word) and label == labels[0]:
                    more.append((index, word))
        return [*(firsts[label] for label in labels if label in firsts), *more][:NUM_SHOWN]


def split_off_nulls(examples: Sequence[Example]) -> tuple[list[int], int]:
    """The places of examples all of whose labels are there, and how many others there are."""
    nulls = frozenset(NULLS)
    kept = [index for index, example in enumerate(examples) if nulls.isdisjoint(labels_of(example))]
    return kept, len(examples) - len(kept)


def sign_faults(split: Labelled) -> Iterator[Fault]:
    """Labels with a tab, a line end or another sign that is not to be seen: columns that ran into each other."""
    found = [label for label in split.often if any(category(sign) in ("Cc", "Zl", "Zp") for sign in label)]
    if found:
        yield Fault(found, "holds a tab, a line end or another sign that is not to be seen; is a separator misread?")


def null_faults(labels: Collection[str], *, droppable: bool) -> Iterator[Fault]:
    """Marks of a missing label among the labels.

    Args:
        labels: all that occur.
        droppable: whether ``null_labels: drop`` may be said for this task.
    """
    found = [label for label in NULLS if label in labels]
    if not found:
        return
    advice = "null_labels: drop leaves such examples out and counts them" if droppable else "leave such rows out"
    yield Fault(found, f"says that there is no label; {advice}, or write the label")


def slip_faults(split: Labelled) -> Iterator[Fault]:
    """Labels of words that were probably meant as ``O``, where it is there too, or that were not cut out rightly."""
    if split.kind == "token":
        has_outside = OUTSIDE in split.counts
        found = [label for label in split.often if (has_outside and label in OUTSIDE_SLIPS) or is_cut_wrongly(label)]
        if found:
            yield Fault(found, cause_of(found[0], ""))


def spelling_faults(split: Labelled, known: Iterable[str] = ()) -> Iterator[Fault]:
    """Two labels (or two entity types) that differ in blanks or in case only.

    Args:
        split: the labels looked at.
        known: labels that they must not resemble either.
    """
    first: dict[str, str] = {}
    for label in [*known, *split.often]:
        for form in _forms(label):
            other = first.setdefault(form, label)
            if _differ(label, other):
                text = f"differs from {other!r} only in blanks or in case; write one of them everywhere"
                yield Fault((label, other), text)


def _forms(label: str) -> Collection[str]:
    plain = "".join(label.split()).casefold()
    has_mark = plain[:1] in set("biesulm") and plain[1:2] == "-" and len(plain) > 2
    return (plain, f"type {plain[2:]}") if has_mark else (plain,)


def _differ(label: str, other: str) -> bool:
    """Whether labels of one form are written differently; tags of one type may have different marks."""
    if label[1:2] == "-" == other[1:2] and _forms(label) != _forms(other):
        return label[2:] != other[2:]
    return label != other


def text_faults(split: Labelled) -> Iterator[Fault]:
    """Labels that are texts: of many words, as many as the words of the language, or nearly one for each pair."""
    long = [label for label in split.often if len(label.split()) >= LONG]
    if long:
        yield Fault(long, f"is a text of {len(long[0].split())} words; {ADVICE}")
    if split.counts.total() >= FEW_ROWS:
        yield from _word_faults(split) if split.kind == "token" else _pair_faults(split)


def _pair_faults(split: Labelled) -> Iterator[Fault]:
    number, total = len(split.counts), split.counts.total()
    if (number >= MANY_OF_FEW and 2 * number > total) or (number > MANY and number > SHARE_OF_PAIRS * total):
        yield Fault(split.often[-3:], f"is one of {count(number)} different ones of {count(total)} pairs; {ADVICE}")


def _word_faults(split: Labelled) -> Iterator[Fault]:
    found = Counter(
        (word, word.casefold() == label.casefold())
        for example in split.examples
        if isinstance(example, TokenExample)
        for word, label in zip(example.words, example.labels, strict=True)
        if word[:1].isalpha()
    )
    same = sum(number for (_, is_same), number in found.items() if is_same)
    if 2 * same > found.total():
        yield Fault(split.often[:3], f"is a word: {count(same)} words have themselves for a label; {ADVICE}")
    number, different = len(split.counts), len({word for word, _ in found})
    if number > MANY and number > SHARE_OF_WORDS * different:
        text = f"is one of {count(number)} different ones, beside {count(different)} different words; {ADVICE}"
        yield Fault(split.often[-3:], text)
