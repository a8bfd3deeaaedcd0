"""Pairs of texts with one label: natural-language inference (XNLI) and paraphrases (PAWS-X), scored by accuracy.

From `data_dir` (``<task>/<split>-<language>.tsv``: two texts and the label, separated by tabs) or the Hugging Face
hub. With ``shots`` and ``draw: files`` train and dev are a fixed few-shot draw (``<language>/<split>-<shots>.jsonl``
with sentence1, sentence2, gold) and test comes from the same place as without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunekit.errors import ConfigError
from tunekit.tasks.keys import refuse_own_keys
from tunekit.tasks.readers.hub import Hub, pairs
from tunekit.tasks.readers.jsonl import jsonl
from tunekit.tasks.readers.pairs import tsv_pairs
from tunekit.tasks.readers.parsed import Parsed
from tunekit.tasks.readers.pawsx import HUB as PAWSX_HUB
from tunekit.tasks.readers.pawsx import LANGUAGES as PAWSX_LANGUAGES
from tunekit.tasks.readers.pawsx import translated_file
from tunekit.tasks.readers.sources import Drawn, Files, Source, in_fewshot_folder, in_folder
from tunekit.tasks.task import Task
from tunekit.trial import Locations, TaskConfig

__all__ = ["PAWSX_LANGUAGES", "XNLI_LANGUAGES", "drawn", "load_pawsx", "load_xnli"]

XNLI_LABELS = ("contradiction", "entailment", "neutral")
XNLI_LANGUAGES = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
PAWSX_LABELS = ("0", "1")

XNLI_HUB = Hub("facebook/xnli", {name: name for name in XNLI_LANGUAGES}, pairs("premise", "hypothesis"))


@dataclass(frozen=True)
class _Places:
    """Where a data set is read from; both give the same examples."""

    hub: Hub
    parse: Callable[[Path, str], Parsed]


def load_xnli(config: TaskConfig, locations: Locations) -> Task:
    """XNLI: does the second text follow from the first, contradict it, or neither? Train is MultiNLI."""
    return _load(config, locations, XNLI_LABELS, _Places(XNLI_HUB, lambda path, language: tsv_pairs(path, width=3)))


def load_pawsx(config: TaskConfig, locations: Locations) -> Task:
    """PAWS-X: do two texts of nearly the same words mean the same (1) or not (0)?"""
    return _load(config, locations, PAWSX_LABELS, _Places(PAWSX_HUB, lambda path, language: translated_file(path)))


def _load(config: TaskConfig, locations: Locations, labels: tuple[str, ...], places: _Places) -> Task:
    refuse_own_keys(config)
    source: Source = places.hub
    if locations.data_dir is not None:
        folder = Path(locations.data_dir).expanduser() / config.name
        source = Files(in_folder(folder), places.parse)
    return Task.of(config, drawn(config, locations, source), kind="pair", labels=labels, metric="accuracy")


def drawn(config: TaskConfig, locations: Locations, source: Source) -> Source:
    """`source`, or with ``draw: files`` the fixed few-shot draw and `source` for test.

    Raises:
        ConfigError: there is no `fewshot_dir`.
        DataError: it has no draw of that size.
    """
    if config.draw == "sampled" or config.shots is None:
        return source
    if locations.fewshot_dir is None:
        raise ConfigError(
            "task: draw is 'files', so fewshot_dir must name the folder of <language>/<split>-<shots>.jsonl"
        )
    paths = in_fewshot_folder(Path(locations.fewshot_dir).expanduser(), config.shots)
    keys = ("sentence1", "sentence2", "gold")
    return Drawn(Files(paths, lambda path, language: jsonl(path, "pair", keys)), source)
