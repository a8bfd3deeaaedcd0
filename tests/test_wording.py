"""How numbers and lists are written, wherever a person reads them."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

import pytest

from tunekit import wording

PACKAGE = Path(wording.__file__).parent


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(wording)
    assert found.attempted >= 11
    assert found.failed == 0


def test_a_clock_shows_hours_only_where_there_are_some() -> None:
    shown = [wording.clock(seconds) for seconds in (0, 59.9, 61, 3600, 360_000)]
    assert shown == ["0:00", "0:59", "1:01", "1:00:00", "100:00:00"]


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 s"),
        (0.6, "1 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2.0 h"),
        (172_799, "48.0 h"),
        (172_800, "2.0 days"),
        (86_400 * 400, "400 days"),
    ],
)
def test_a_duration_has_the_unit_that_needs_few_digits(seconds: float, written: str) -> None:
    assert wording.duration(seconds) == written


def test_a_plural_sets_thousands_apart_and_only_one_is_single() -> None:
    assert [wording.plural(n, "trial") for n in (0, 1, 2, 1000)] == ["0 trials", "1 trial", "2 trials", "1,000 trials"]


def test_a_line_has_no_line_breaks_and_is_cut_with_a_sign() -> None:
    assert wording.one_line("no\nspace\r\n left") == "no space left"
    assert len(wording.one_line("x" * 300)) == 200
    assert wording.one_line("x" * 300, limit=10) == "xxxxxxxxx…"
    assert wording.one_line("caf\udce9") == "caf\\udce9"


def test_nobody_else_puts_a_noun_in_the_plural_or_sets_thousands_apart() -> None:
    """Two functions for one idea would soon write one number in two ways."""
    own = re.compile(r"""'s' \* \(|"s" if .+ else ""|'' if .+ == 1 else 's'|:,\}|:,d\}""")
    for path in PACKAGE.rglob("*.py"):
        if path.name == "wording.py":
            continue
        text = path.read_text(encoding="utf-8")
        strings = [ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.JoinedStr)]
        found = [string for string in strings if own.search(string)]
        assert not found, f"{path.relative_to(PACKAGE)}: use tunekit.wording: {found}"
