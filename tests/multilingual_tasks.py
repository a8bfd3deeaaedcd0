"""A tiny task in three languages, with parallel text, for methods that know the language of their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tiny_models import TAGS, examples_of, setting_of

from tunekit.backbone import Backbone
from tunekit.methods import Method
from tunekit.methods.parts.multilingual import LanguageBatch, LanguageFeature
from tunekit.registry import lookup
from tunekit.schema import build
from tunekit.tasks import Example, ParallelPair, ParallelText, Task
from tunekit.trial import Locations, TaskConfig

TARGETS = ("de", "zh")
WORDS = {"N": "cat", "V": "dog", "X": "house"}
"""Label -> answer word."""
PAIRS = {
    "de": (ParallelPair(("the cat", "a dog"), ("the red cat", "old dog")), ParallelPair(("now", "here"), ("a", "the"))),
    "zh": (ParallelPair(("the cat", "a dog"), ("猫 猫", "犬")), ParallelPair(("now", "here"), ("犬 here", "猫"))),
}
"""Parallel text of the tiny task."""


class Corpora(ParallelText):
    """`PAIRS`, and a list of what was asked for."""

    def __init__(self) -> None:
        super().__init__(TaskConfig(name="tiny"), Locations())
        self.asked: list[tuple[str, str, int | None]] = []

    def pairs(self, corpus: str, language: str, size: int | None = None) -> tuple[ParallelPair, ...]:
        self.asked.append((corpus, language, size))
        return PAIRS[language][:size]


def task_in(*targets: str, kind: Any = "pair", labels: Sequence[str] = TAGS) -> Task:
    """`examples_of` in every language and split."""
    config = TaskConfig(name="tiny", target_languages=targets)
    task = Task(config, kind=kind, read=lambda split, language: examples_of(kind), labels=tuple(labels))
    task.parallel_text = Corpora()
    return task


def make(
    name: str, backbone: Backbone, *, task: Task | None = None, seed: int = 0, max_length: int = 60, **options: Any
) -> Any:
    """A method on the tiny task in `TARGETS`, with words that the tiny tokenizers know."""
    cls: type[Method] = lookup("method", name)
    torch.manual_seed(seed)
    return cls(
        build(cls.Config, {"verbalizer": WORDS, **options}, name),
        setting_of(backbone, task or task_in(*TARGETS), max_length=max_length),
    )


def rows_of(method: Method, examples: Sequence[Example], language: str | None = None) -> list[LanguageFeature]:
    """All rows of the examples in a language."""
    found: list[Any] = [row for rows in method.encode_all(examples, language=language) for row in rows]
    return found


def batch_of(method: Method, language: str | None = None, count: int = 8) -> LanguageBatch:
    """A batch of the tiny task's first examples in a language."""
    batch: Any = method.collate(rows_of(method, examples_of(method.kind)[:count], language))
    return batch


def tokens(method: Method, row: LanguageFeature) -> str:
    """The row's pieces by a space."""
    return " ".join(method.backbone.tokenizer.convert_ids_to_tokens(list(row.input_ids)))
