"""A first column of numbers: whether it counts words or rows, or names the sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

NUMBER = re.compile(r"(?i:sent\w*\W*)?\d{1,12}|\d{1,12}[-.]\d{1,12}")
"""What stands in a first column that numbers words, rows or sentences."""
NO_WORD = re.compile(r"\d{1,12}[-.]\d{1,12}")
"""The number of a range of words or of an empty node, as in CoNLL-U."""


def is_running(values: Sequence[tuple[int, bool]]) -> bool:
    """Whether numbers go up one by one and begin again, at 0 or 1, after an empty line or after more than one word.

    Args:
        values: each number, and whether an empty line stands before it.
    """
    return values[0][0] <= 1 and all(
        number == before + 1 or (number in (0, 1) and (starts or before >= 2))
        for (before, _), (number, starts) in pairwise(values)
    )


def first_fall(values: Sequence[tuple[int, bool]]) -> int | None:
    """Where a number is smaller than the one before, so that they cannot be those of sentences; None if nowhere."""
    return next((at for at, (a, b) in enumerate(pairwise(values), 1) if a[0] > b[0]), None)
