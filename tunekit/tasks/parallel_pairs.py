"""What parallel text is to a task: pairs by corpus and language, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tunekit.errors import ConfigError
from tunekit.tasks.corpora import Texts

PARALLEL = "parallel"
"""Begins a key of fingerprints, and in the seed of a sample stands for the split: train is sampled at other rows."""


@dataclass(frozen=True, slots=True)
class ParallelPair:
    """One pair of texts (premise and hypothesis, say) in two languages."""

    source: Texts
    target: Texts


class ParallelTexts(Protocol):
    """Where a task's parallel text comes from, such as :class:`tunekit.tasks.parallel.ParallelText`."""

    def pairs(self, corpus: str, language: str, size: int | None = None) -> tuple[ParallelPair, ...]:
        """Pairs of a corpus in the source language and in `language`."""

    def fingerprint(self, corpus: str, language: str) -> str:
        """16 hex digits of all its pairs."""

    def where(self, corpus: str, language: str) -> str:
        """Where they come from, for messages."""


class NoParallelText:
    """Parallel text of a task that was made without any."""

    def pairs(self, corpus: str, language: str, size: int | None = None) -> tuple[ParallelPair, ...]:
        """None.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"the task was made without parallel text, so there is no corpus {corpus!r} in {language!r}")

    def fingerprint(self, corpus: str, language: str) -> str:
        """None.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"the task was made without parallel text, so there is no corpus {corpus!r} in {language!r}")

    def where(self, corpus: str, language: str) -> str:
        """Nowhere, in words."""
        return f"the parallel corpus {corpus!r} in {language!r}"
