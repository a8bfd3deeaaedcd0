"""What the doctor finds: one line for each thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "wrong"]
"""A sweep runs; it runs, but worse than it could; it does not run, or is not safe."""

LEVELS: tuple[Level, ...] = ("ok", "warning", "wrong")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    level: Level
    found: str
    """What is there, with its value."""
    cure: str = ""
    """What to do; empty where there is nothing to do."""


def ok(name: str, found: str) -> Finding:
    """A thing that is as it should be."""
    return Finding(name, "ok", found)


def warning(name: str, found: str, cure: str) -> Finding:
    """A thing that could be better."""
    return Finding(name, "warning", found, cure)


def wrong(name: str, found: str, cure: str) -> Finding:
    """A thing that stops a sweep, or that makes it unsafe."""
    return Finding(name, "wrong", found, cure)


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What is looked at."""

    root: str
    """The folder of the sweeps, as it was typed."""
    address: str | None = None
    """Of a Ray cluster: ``auto`` or ``host:port``; of its job server: ``http://host:port``."""
