"""A tiny task of pairs in several languages with parallel text, found by name like a user's own: ``pair_world:load``.

A language's words are English ones moved along the list, so a translation is exact word by word. Two texts that share
their first word are an entailment, two that share another are neutral, others contradict.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_models import WORDS as ALL_WORDS
from tiny_models import folder_of

from tunekit.tasks import Example, PairExample, Task, TokenExample
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

NAME = "pair_world:load"
TAGS_NAME = "pair_world:load_tags"
WORDS = tuple(word for word in ALL_WORDS if word.isascii() and word != "unhappily")
LABELS = ("contradiction", "entailment", "neutral")
VERBALIZER = {"contradiction": "cat", "entailment": "dog", "neutral": "house"}
SIZES = {"train": 24, "dev": 12, "test": 12}
NUM_PARALLEL = 40
"""Pairs of parallel text in each language."""


def load(config: TaskConfig, locations: Locations) -> Task:
    """Pairs in whatever languages the configuration names; the labels take turns."""

    def read(split: str, language: str) -> Sequence[Example]:
        generator = random.Random(split)
        found = [_pair(generator, LABELS[index % 3]) for index in range(SIZES[split])]
        return [PairExample(said(e.text_a, language), said(e.text_b, language), e.label) for e in found]

    return Task(config, kind="pair", read=read, labels=LABELS)


def load_tags(config: TaskConfig, locations: Locations) -> Task:
    """Sentences of the same words, each tagged by how long it is."""

    def read(split: str, language: str) -> Sequence[Example]:
        generator = random.Random(split)
        texts = [said(_pair(generator, "neutral").text_a, language).split() for _ in range(SIZES[split])]
        return [TokenExample(tuple(words), tuple(LABELS[len(word) % 3] for word in words)) for words in texts]

    return Task(config, kind="token", read=read, labels=LABELS)


def said(text: str, language: str) -> str:
    """An English text in another language."""
    shift = 0 if language == "en" else 1 + sum(map(ord, language)) % (len(WORDS) - 1)
    return " ".join(WORDS[(WORDS.index(word) + shift) % len(WORDS)] for word in text.split())


def _pair(generator: random.Random, label: str) -> PairExample:
    words = generator.sample(WORDS, 6)
    first, second = words[:3], words[3:]
    if label != "contradiction":
        second[0 if label == "entailment" else 2] = first[0]
    return PairExample(" ".join(first), " ".join(second), label)


def write_parallel(folder: Path, languages: Sequence[str]) -> Path:
    """``<language>.tsv`` files that are aligned by line."""
    folder.mkdir(exist_ok=True)
    generator = random.Random("parallel")
    pairs = [_pair(generator, "neutral") for _ in range(NUM_PARALLEL)]
    for language in ("en", *languages):
        rows = [f"{said(pair.text_a, language)}\t{said(pair.text_b, language)}\n" for pair in pairs]
        (folder / f"{language}.tsv").write_text("".join(rows), encoding="utf-8")
    return folder


def locations_in(folder: Path, languages: Sequence[str] = ("de", "fr")) -> Locations:
    """Parallel text and a random BERT with its vocabulary head, written into `folder`."""
    backbone = folder_of("bert", folder / "backbone")
    parallel = write_parallel(folder / "parallel", languages)
    return Locations(backbone_path=str(backbone), parallel_dir=str(parallel), device="cpu")


def trial(method: str = "mpt", *, seed: int = 1, training: dict[str, Any] | None = None, **options: Any) -> TrialConfig:
    """Two epochs of six labelled updates on the tiny task in two target languages."""
    rest = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 4, "max_length": 48, **(training or {})}
    return TrialConfig(
        task=TaskConfig(name=NAME, target_languages=("de", "fr")),
        backbone=BackboneConfig(name="tiny"),
        method=method,
        options={"verbalizer": VERBALIZER, **options},
        training=TrainingConfig(**rest),
        seed=seed,
    )
