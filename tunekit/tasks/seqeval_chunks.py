"""F1 of bare tags as seqeval counts it: the metric in which published code scores parts of speech.

seqeval takes the first sign of a tag for a mark (B, I, E, S, O) and what follows for a type, so ``NOUN`` is type
``OUN``. Runs of one type are one chunk, except where the first sign happens to be a mark: ``SCONJ`` is a chunk of its
own for each word, and of one type with ``CCONJ``. Whoever compares with published figures needs exactly this count, and
not a better one; it is never the metric that selects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

Chunk = tuple[str, int, int]
"""Type, first and last word, counted over all rows."""

_NEW_CHUNK = frozenset({"EE", "EI", "SE", "SI", "OE", "OI"})
"""Marks of two neighbours between which a chunk begins, whatever their types."""
_END = frozenset({"BB", "BS", "BO", "IB", "IS", "IO"})
"""Likewise, where one ends."""


def chunk_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Micro F1 over chunks, in [0, 1]; 0 where none is right. Equals ``seqeval.metrics.f1_score``.

    Args:
        gold: a row of tags for each sentence, none of them empty.
        predicted: as many for each.
    """
    here, there = set(chunks(gold)), set(chunks(predicted))
    right = len(here & there)
    if not right:
        return 0.0
    precision, recall = right / len(there), right / len(here)
    return 2 * precision * recall / (precision + recall)


def chunks(rows: Iterable[Sequence[str]]) -> Iterator[Chunk]:
    """The chunks of all rows, which seqeval reads as one with an ``O`` after each."""
    mark, kind, begin = "O", "", 0
    for index, tag in enumerate(_joined(rows)):
        next_mark, next_kind = tag[0], tag[1:].split("-", maxsplit=1)[-1] or "_"
        pair, is_other = mark + next_mark, kind != next_kind
        if mark in "ES" or pair in _END or (mark not in "O." and is_other):
            yield kind, begin, index - 1
        if next_mark in "BS" or pair in _NEW_CHUNK or (next_mark not in "O." and is_other):
            begin = index
        mark, kind = next_mark, next_kind


def _joined(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield from row
        yield "O"
    yield "O"
