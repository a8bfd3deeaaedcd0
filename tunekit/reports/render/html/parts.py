"""What stands on the page beside tables and texts, and the chapters that all of it is put into."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.reports.figures.figure import Figure
from tunekit.reports.tables import Listing, Table


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Small figures side by side."""

    title: str
    """Plain text."""
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    """Sentences on all of them, plain text."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """The winner of one arm: what it is, how sure that is, and how to have it again."""

    arm: str
    facts: tuple[tuple[str, str], ...]
    """Names and values, plain text."""
    verdict: str
    """What is to be said first, plain text; may be empty."""
    command: str
    """The shell command that repeats it; empty if there is nothing to repeat."""
    file: str
    """The name of the file that the command reads."""
    yaml: str
    """What is in it."""


Part = str | Table | Listing | Figure | Gallery | Card
"""A text is a paragraph or a list, in Markdown."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """What stands below one heading of the third level, or at the head of a chapter."""

    title: str
    """Plain text; empty at the head of a chapter."""
    parts: tuple[Part, ...]
    key: str = ""
    """Fit for an anchor."""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What stands below one heading of the second level."""

    key: str
    """Fit for an anchor."""
    title: str
    """Plain text."""
    blocks: tuple[Block, ...]
